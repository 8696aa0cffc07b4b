"""Tracks runs in MLflow, which reads the journal."""

import logging
from collections.abc import Mapping
from pathlib import Path

from pruneplug.tracking.base import Param, RunStatus
from pruneplug.tracking.delivery import Delivery
from pruneplug.tracking.journal import Journal
from pruneplug.tracking.locations import public, redact, resolve_experiment, resolve_uri
from pruneplug.tracking.mlflow.store import MlflowStore
from pruneplug.tracking.sender import Sender

_logger = logging.getLogger(__name__)


class MlflowTracker:
    """Writes the journal, and brings it to MLflow in the background.

    No call waits for MLflow: it is imported, connected to and sent to in a thread. An outage
    costs nothing but time at the end; what MLflow lacks then is said once, remembered in
    `message`, and sent by the next tracker on the same journal or by `sync`.

    Args:
        journal: the local record.
        uri: tracking address; None takes MLFLOW_TRACKING_URI or mlflow.db in this folder.
        experiment: name of the experiment, made if it does not exist; None takes
            MLFLOW_EXPERIMENT_NAME or `pruneplug`.
        run_name: name of the run, None for one of MLflow's.
        patience: seconds without progress after which `finish` stops waiting.

    Raises:
        ValueError: if the address has a scheme that MLflow does not know, or a password: that
            belongs into the environment.
    """

    def __init__(
        self,
        journal: Journal,
        uri: str | None = None,
        experiment: str | None = None,
        run_name: str | None = None,
        patience: float = 20.0,
    ) -> None:
        self.journal = journal
        self.message = ""
        self._uri = resolve_uri(uri)
        self._origin = {
            "uri": public(self._uri),
            "experiment": resolve_experiment(experiment),
            "run_name": redact(run_name) if run_name else None,
        }
        self._patience = patience
        self._sender: Sender | None = None

    def start(self, params: Mapping[str, Param], tags: Mapping[str, str]) -> None:
        """Begin or continue a run, and begin to send."""
        self.journal.start(params, tags, self._origin)
        if self._sender is None or self._sender.closed:
            self._sender = Sender(_delivery(self.journal.path, self._uri))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record measured values."""
        self.journal.log_metrics(metrics, step)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Attach a file or a folder."""
        self.journal.log_artifact(path, folder)

    def flush(self) -> None:
        """Wait until the journal is on the disk."""
        self.journal.flush()

    def finish(self, status: RunStatus) -> None:
        """End the run, wait until MLflow has it, and warn of what it lacks."""
        self.journal.finish(status)
        if self._sender is None:
            return
        self._sender.close(self._patience)
        self.message = self._sender.what_is_left()
        if self.message:
            _logger.warning("%s", self.message)

    def describe(self) -> dict[str, str]:
        """Give tracking_uri (without secrets) and, as soon as it is known, run_id.

        Waits for it at most until 10 seconds after the start, and not while the store fails.
        """
        run_id = self._sender.run_id() if self._sender is not None else None
        found = {"tracking_uri": public(self._uri)}
        return found | {"run_id": run_id} if run_id else found


def sync(journal: Path, uri: str | None = None) -> str:
    """Send to MLflow what it lacks of a journal, now.

    What it refused before is sent again, and a run that it no longer has is made anew.

    Args:
        journal: the journal's path.
        uri: tracking address; None takes the default as `MlflowTracker` does.

    Returns:
        What MLflow refused, "" if nothing.

    Raises:
        Exception: whatever MLflow raises when it cannot be reached.
    """
    delivery = _delivery(Path(journal).absolute(), resolve_uri(uri))
    delivery.recheck()
    delivery.send_all()
    return "; ".join(f"{name}: {reason}" for name, reason in delivery.refusals.items())


def pending(journal: Path, uri: str | None = None) -> str:
    """Count what MLflow lacks of a journal as far as is known here; "" for nothing."""
    return _delivery(Path(journal).absolute(), resolve_uri(uri)).missing()


def _delivery(journal: Path, uri: str) -> Delivery:
    return Delivery(journal, uri, lambda: MlflowStore(uri))
