"""Addresses are absolute, and shown without their secrets."""

from pathlib import Path

import pytest

from pruneplug.tracking.locations import redact, resolve_experiment, resolve_uri, sqlite_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host:5000/x", "http://host:5000/x"),
        ("https://token@host", "https://host"),
        ("postgresql+psycopg2://u:p@ss@db/x", "postgresql+psycopg2://db/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("mail me@host", "mail me@host"),
        ("http://a:b@c and http://d:e@f", "http://c and http://f"),
    ],
)
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


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
    assert sqlite_path("http://host") is None


@pytest.mark.parametrize("uri", ["htp://me:pw@host", "./mlruns", "file:///tmp/x"])
def test_an_unknown_scheme_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(ValueError, match="tracking uri must start with one of sqlite") as error:
        resolve_uri(uri)
    assert "pw" not in str(error.value)
