"""Addresses are absolute, and shown without their secrets."""

from pathlib import Path

import pytest

from pruneplug.tracking.locations import (
    public,
    redact,
    refuse_password,
    resolve_experiment,
    resolve_uri,
    sqlite_path,
)
from pruneplug.tracking.store import reason


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host:5000/x", "http://host:5000/x"),
        ("https://token@host", "https://host"),
        ("postgresql+psycopg2://u:p@ss@db/x", "postgresql+psycopg2://db/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("mail me@host", "mail me@host"),
        ("http://a:b@c and http://d:e@f", "http://c and http://f"),
        ("'mysql://u:p'w\"x/y@db/x'", "'mysql://db/x'"),
        (
            "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3Dabc",
            "mssql+pyodbc:///?odbc_connect=***",
        ),
        ("DRIVER=X;UID=me;PWD={a;b c};x=1", "DRIVER=X;UID=me;PWD=***;x=1"),
        (
            "postgresql:///db?user=me&password=abc&sslmode=require",
            "postgresql:///db?user=me&password=***&sslmode=require",
        ),
        ("http://host/?access_token=abc x", "http://host/?access_token=*** x"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


# Forms that SQLAlchemy or MLflow take; the password is in each of them.
WITH_PASSWORD = [
    "http://me:s3cr3t@host:5000",
    "https://s3cr3t@host",
    "http://:s3cr3t@host",
    "http://host:5000/?token=s3cr3t",
    "postgresql://me:s3cr3t@host/db",
    "postgresql+psycopg2://me@corp:s3cr3t@host/db",
    "postgresql://me:s3cr3t/x@host/db",
    "postgresql://me:s3cr3t'x@host/db",
    'mysql+pymysql://me:s3cr3t"x@host/db',
    "mysql://me:s3cr3t x@host/db",
    "mysql://me:x@s3cr3t@host/db",
    "mysql://me:#?s3cr3t@host/db",
    "mysql://:s3cr3t@/db",
    "postgresql:///db?host=/tmp&password=s3cr3t",
    "postgresql://me@host/db?sslpassword=s3cr3t",
    "mysql+pymysql://host/db?user=me&passwd=s3cr3t",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BUID%3Dme%3BPWD%3Ds3cr3t",
    "mssql+pyodbc:///?odbc_connect=DRIVER={X};UID=me;Pwd={s3cr3t}",
    "mssql+pyodbc://host/db?authentication=ActiveDirectoryPassword&UID=me&Password=s3cr3t",
    "sqlite+pysqlcipher://:s3cr3t@//tmp/x.db",
]
WITHOUT = [
    "sqlite:////tmp/a:b@c/mlflow.db",
    "sqlite:////tmp/mlflow.db?timeout=30",
    "http://host/a@b",
    "https://host:5000",
    "postgresql://me@host:5432/db?sslmode=require&passfile=/home/me/.pgpass",
    "mssql+pyodbc://dsn?trusted_connection=yes",
    "mysql+pymysql://me@host/db?read_default_file=/home/me/.my.cnf",
    "databricks://profile",
]


@pytest.mark.parametrize("uri", WITH_PASSWORD)
def test_a_password_comes_from_the_environment_and_stays_there(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked in (lambda: resolve_uri(uri), lambda: refuse_password("A setting", f"a={uri},b")):
        with pytest.raises(ValueError, match="must hold no address with a password") as error:
            asked()
        assert "s3cr3t" not in str(error.value)
        assert "MLFLOW_TRACKING_URI" in str(error.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert resolve_uri(None) == uri
    assert "s3cr3t" not in public(uri)
    assert resolve_uri(public(uri)) == resolve_uri(uri) == uri
    said = reason(ValueError(f"cannot reach {uri}: no user me with s3cr3t"))
    assert "s3cr3t" not in said


@pytest.mark.parametrize("uri", WITHOUT)
def test_an_address_without_a_password_is_taken_and_shown(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(uri) == uri
    assert public(uri) == uri


def test_secrets_of_the_environment_are_taken_out_of_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql://me:p%40th3@h")
    said = reason(ValueError("no access with pass1, token2, p%40th3 or p@th3"))
    assert said == "ValueError: no access with ***, ***, *** or ***"


def test_the_default_is_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:1")
    assert resolve_uri(None) == "http://host:1"
    assert resolve_uri("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"


def test_the_experiment_is_that_of_the_settings_then_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    assert resolve_experiment(None) == "pruneplug"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    with pytest.warns(UserWarning, match="MLFLOW_EXPERIMENT_ID is not used.*'pruneplug'"):
        assert resolve_experiment(None) == "pruneplug"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert resolve_experiment(None) == "mine"
    assert resolve_experiment("given") == "given"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    assert resolve_experiment(None) == "pruneplug"


def test_sqlite_path() -> None:
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("sqlite:////a/b.db?timeout=30") == Path("/a/b.db")
    assert sqlite_path("http://host") is None


@pytest.mark.parametrize("uri", ["htp://me:pw@host", "./mlruns", "file:///tmp/x"])
def test_an_unknown_scheme_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(ValueError, match="tracking uri must start with one of sqlite") as error:
        resolve_uri(uri)
    assert "pw" not in str(error.value)
