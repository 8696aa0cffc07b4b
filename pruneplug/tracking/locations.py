"""Where runs are tracked: the address, complete and without secrets, and the experiment."""

import os
import re
import warnings
from pathlib import Path
from urllib.parse import unquote, unquote_plus

DEFAULT_EXPERIMENT = "pruneplug"
_SCHEMES = ("sqlite", "mysql", "postgresql", "mssql", "http", "https", "databricks")
_URI, _NAME, _PASSWORD = (f"MLFLOW_TRACKING_{x}" for x in ("URI", "USERNAME", "PASSWORD"))
_TOKEN = "MLFLOW_TRACKING_TOKEN"
_FIELD = r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|auth|(?:api|access|account)_?key)"
_USER = re.compile(r"(?<=://)[^\s/@:]*(?::\S*)?@")
_SECRET = re.compile(rf"({_FIELD}\s*=\s*)(\{{[^}}]*\}}?|\"[^\"]*\"?|'[^']*'?|[^&;,\s]*)", re.I)
_ENCODED = re.compile(r"(odbc_connect=)[^&\s]*", re.I)
# What databases take: passwords with slashes, spaces and quotes in them. A server's name alone may
# be a token.
_LOGIN = re.compile(r"://[^:/]*:[^@]*@|https?://[^/@]*@", re.I)


def redact(text: str) -> str:
    """Take user name and password out of every address in a text, and passwords out of its fields.

    A server's address goes on working: MLflow has MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD for them.

    Example:
        >>> redact("no answer from http://me:secret@host:5000/?token=abc")
        'no answer from http://host:5000/?token=***'
    """
    text = _ENCODED.sub(r"\1***", _USER.sub("", text))
    return _SECRET.sub(r"\1***", text)


def public(uri: str) -> str:
    """Take a password, its user and where they stand out of an address.

    Example:
        >>> public("mysql://me:s3c ret/@host/db?ssl=1"), public("postgresql://me@host/db")
        ('mysql://host/db?ssl=1', 'postgresql://me@host/db')
    """
    if not _holds_password(uri):
        return uri
    scheme, _, behind = uri.partition("://")
    place, mark, query = behind.rpartition("@")[2].partition("?")
    if _SECRET.search(unquote_plus(query)):
        mark = query = ""
    return f"{scheme}://{place}{mark}{query}"


def redact_all(text: str) -> str:
    """Take out of a text what `redact` does, and what the environment holds of secrets."""
    for secret in sorted(_known_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return redact(text)


def refuse_password(name: str, text: str) -> None:
    """Refuse a text with a password in it: it would be written to files, and shown.

    Args:
        name: What the text is called in the error.
        text: An address, or whatever may hold one.

    Raises:
        ValueError: Without the password.
    """
    if _holds_password(text):
        raise ValueError(
            f"{name} must hold no address with a password, which would be written to disk; got "
            f"one. Put the whole address into {_URI}, or what a server asks for into {_NAME} and "
            f"{_PASSWORD}."
        )


def resolve_uri(uri: str | None) -> str:
    """Make a tracking address complete and independent of later changes of folder.

    Args:
        uri: an MLflow tracking address; None takes MLFLOW_TRACKING_URI, and without that
            the file mlflow.db in the current folder. What `public` makes of MLFLOW_TRACKING_URI
            stands for it.

    Returns:
        The address; a relative sqlite path is made absolute.

    Raises:
        ValueError: if its scheme is none that a run can be tracked with, or if it holds a
            password: those are taken from the environment only.
    """
    own = os.environ.get(_URI) or "sqlite:///mlflow.db"
    given = uri if uri not in (None, "", own, public(own)) else None
    uri = given or own
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in _SCHEMES:
        raise ValueError(
            f"tracking uri must start with one of {', '.join(_SCHEMES)}; got uri={public(uri)}. "
            "Use sqlite:///mlflow.db for a local file or http://host:port for a server."
        )
    refuse_password("tracking uri", given or "")
    path = sqlite_path(uri)
    if path is None:
        return uri
    _, mark, query = uri.partition("?")
    return f"{uri.partition('///')[0]}///{path}{mark}{query}"


def resolve_experiment(name: str | None) -> str:
    """Name the experiment of a run.

    Args:
        name: given for the run; None takes MLFLOW_EXPERIMENT_NAME, and without that `pruneplug`.
    """
    name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name and os.environ.get("MLFLOW_EXPERIMENT_ID"):
        warnings.warn(
            "MLFLOW_EXPERIMENT_ID is not used: the run goes to the experiment "
            f"{DEFAULT_EXPERIMENT!r}. Set MLFLOW_EXPERIMENT_NAME for another.",
            stacklevel=2,
        )
    return name or DEFAULT_EXPERIMENT


def sqlite_path(uri: str) -> Path | None:
    """Give the absolute path of a sqlite address' file; None for every other address."""
    scheme, separator, path = uri.partition("///")
    if not scheme.startswith("sqlite") or not separator:
        return None
    return Path(path.partition("?")[0]).absolute()


def _holds_password(text: str) -> bool:
    behind = unquote_plus(text.partition("://")[2])
    return bool(_LOGIN.search(text) or _SECRET.search(behind))


def _known_secrets() -> set[str]:
    """Give the passwords that the environment holds, whole, decoded and in parts."""
    behind = os.environ.get(_URI, "").partition("://")[2]
    user, _, password = behind.rpartition("@")[0].partition(":")
    found = [os.environ.get(_PASSWORD, ""), os.environ.get(_TOKEN, ""), password or user]
    found += re.split(r"[@/?#'\"\s]", password)
    found += [match[2].strip("{}'\"") for match in _SECRET.finditer(unquote_plus(behind))]
    return {text for one in found for text in (one, unquote(one)) if len(text) > 2}
