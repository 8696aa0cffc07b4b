"""MLflow's client, made and called so that neither the user's own MLflow nor a fresh store suffers.

It is imported late: it takes seconds.
"""

import logging
import os
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from pruneplug.process.lock import turn

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    # The sender tries again by itself, and looks first whether a lost answer's run was made.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # Else it prints the address of every run that ends, with the password that is in it.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def connect(uri: str, database: Path | None) -> "MlflowClient":
    """Make a client that retries little; `database` is the file of a sqlite address."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    with _SETTINGS_SET:
        client = _connect(uri, database)
    return cast("MlflowClient", _Impatient(client))


def _connect(uri: str, database: Path | None) -> "MlflowClient":
    from mlflow import MlflowClient

    if database is None:
        return MlflowClient(tracking_uri=uri)
    with turn(database):  # two that create its tables at once break it
        if not database.exists():
            # Half of the tables, from a process killed while making them, no one could use.
            draft = database.with_name(f"{database.name}.draft")
            for left in (draft, Path(f"{draft}-journal")):
                left.unlink(missing_ok=True)
            MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments(max_results=1)
            draft.rename(database)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


class _Environment:
    """Sets variables that MLflow reads at each call, while at least one block runs.

    A user's call at the same moment in another thread is hurried too; all others are left alone.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._set: list[str] = []

    def __enter__(self) -> None:
        with self._lock:
            self._blocks += 1
            if self._blocks == 1:
                self._set = [name for name in _SETTINGS if name not in os.environ]
                os.environ.update({name: _SETTINGS[name] for name in self._set})

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._blocks -= 1
            for name in self._set if self._blocks == 0 else ():
                os.environ.pop(name, None)


_SETTINGS_SET = _Environment()


class _Impatient:
    """A client each of whose methods is called under our settings."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            with _SETTINGS_SET:
                return method(*args, **options)

        return call
