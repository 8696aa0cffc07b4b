"""Where runs are tracked: the address, made complete and without secrets, and the experiment."""

import os
import re
import warnings
from pathlib import Path

DEFAULT_EXPERIMENT = "pruneplug"
_SECRET = re.compile(r"(?<=://)[^/\s'\"]*@")
_SCHEMES = ("sqlite", "mysql", "postgresql", "mssql", "http", "https", "databricks")


def redact(text: str) -> str:
    """Take user name and password out of every address in a text.

    A server's address goes on working: MLflow has MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD for them.

    Example:
        >>> redact("no answer from http://me:secret@host:5000/")
        'no answer from http://host:5000/'
    """
    return _SECRET.sub("", text)


def resolve_uri(uri: str | None) -> str:
    """Make a tracking address complete and independent of later changes of folder.

    Args:
        uri: an MLflow tracking address; None takes MLFLOW_TRACKING_URI, and without that
            the file mlflow.db in the current folder.

    Returns:
        The address; a relative sqlite path is made absolute.

    Raises:
        ValueError: if its scheme is none that a run can be tracked with.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in _SCHEMES:
        raise ValueError(
            f"tracking uri must start with one of {', '.join(_SCHEMES)}; got uri={redact(uri)}. "
            "Use sqlite:///mlflow.db for a local file or http://host:port for a server."
        )
    path = sqlite_path(uri)
    return uri if path is None else f"{uri.partition('///')[0]}///{path}"


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
    return Path(path).absolute()
