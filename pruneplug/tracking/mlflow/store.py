"""Runs in an MLflow store; mlflow is imported where it is used, as that takes seconds."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pruneplug.tracking.journal_lines import Entry
from pruneplug.tracking.locations import DEFAULT_EXPERIMENT, sqlite_path
from pruneplug.tracking.mlflow.client import connect
from pruneplug.tracking.store import Gone, InTrash, Point, Refused

if TYPE_CHECKING:
    from mlflow.entities import Run

# What MLflow says when it has no such run, or, with the first, when it does not take something.
_NO_RUN = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_ID_TAG = "pruneplug.run"
_PER_BATCH = 100
_VALUE_LENGTH = 6000
_KEY_LENGTH = 250
_Item = TypeVar("_Item")
_FORBIDDEN = re.compile(r"[^\w/:.\- ]")


class MlflowStore:
    """An MLflow store, through a client that retries little: the sender comes back by itself.

    Args:
        uri: an absolute tracking address.
    """

    def __init__(self, uri: str) -> None:
        self._database = sqlite_path(uri)
        self._client = connect(uri, self._database)

    def open_run(self, start: Entry, run_id: str | None) -> str:
        """Continue a run, else find or make the one of a start entry.

        The entry's id is a tag of its run, so that a run whose creation was not confirmed, or
        that another sender made, is found again.
        """
        if run_id is not None and self._reopen(run_id):
            return run_id
        experiment = self._experiment(start.get("experiment") or DEFAULT_EXPERIMENT)
        for run in self._tagged(experiment, start["id"]):
            self._reopen(run.info.run_id)
            return str(run.info.run_id)
        name = start.get("run_name")
        run = self._client.create_run(
            experiment, start["time"], {_ID_TAG: start["id"]}, _text(name) if name else None
        )
        return str(run.info.run_id)

    def has_run(self, run_id: str) -> bool:
        """Tell whether there is such a run, be it in the trash."""
        return self._stage(run_id) is not None

    def send_points(self, run_id: str, points: Sequence[Point]) -> None:
        """Add points. MLflow keeps one row for equal key, value, time and step."""
        from mlflow.entities import Metric

        metrics = [Metric(_key(p.key), p.value, p.time, p.step) for p in points]
        with self._minding(run_id):
            self._client.log_batch(run_id, metrics=metrics, synchronous=True)

    def send_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Add the params that are not there yet.

        MLflow never changes a param, so a resumed run's new value becomes a tag `resumed.<name>`.
        """
        from mlflow.entities import Param

        with self._minding(run_id):
            there = self._client.get_run(run_id).data.params
        named = {_key(key): _text(value) for key, value in params.items()}
        new = [Param(key, value) for key, value in named.items() if key not in there]
        for part in _parts(new):
            with self._minding(run_id):
                self._client.log_batch(run_id, params=part, synchronous=True)
        changed = {f"resumed.{k}": v for k, v in named.items() if there.get(k, v) != v}
        self.send_tags(run_id, changed)

    def send_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        all_tags = [RunTag(_key(key), _text(value)) for key, value in tags.items()]
        for part in _parts(all_tags):
            with self._minding(run_id):
                self._client.log_batch(run_id, tags=part, synchronous=True)

    def send_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Upload a file, or a folder with all it holds."""
        if not path.exists():
            raise Refused(f"{path} does not exist")
        try:
            with self._minding(run_id):
                if path.is_dir():
                    self._client.log_artifacts(run_id, str(path), folder or None)
                else:
                    self._client.log_artifact(run_id, str(path), folder or None)
        except PermissionError as problem:
            raise Refused(f"{problem.filename or path} cannot be read") from problem

    def close_run(self, run_id: str, status: str, ended: int) -> None:
        """Set the final status and the end of a run."""
        with self._minding(run_id):
            self._client.set_terminated(run_id, status, ended)

    def _reopen(self, run_id: str) -> bool:
        """Set a run to RUNNING; False if the store has no such run."""
        try:
            with self._minding(run_id):
                self._client.update_run(run_id, status="RUNNING")
        except Gone:
            return False
        return True

    def _tagged(self, experiment: str, id_: str) -> Iterable["Run"]:
        """Give the run of a start entry, if it is there: one in the trash is no reason for two."""
        from mlflow.entities import ViewType

        query = f"tags.`{_ID_TAG}` = '{id_}'"
        return self._client.search_runs([experiment], query, ViewType.ALL, max_results=1)

    def _stage(self, run_id: str) -> str | None:
        """Say whether a run is "active" or "deleted", which is in the trash; None if it is gone."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run_id).info.lifecycle_stage)
        except MlflowException as problem:
            if problem.error_code not in _NO_RUN:
                raise
            return None

    @contextmanager
    def _minding(self, run_id: str) -> Iterator[None]:
        """Tell what MLflow will never accept from what it cannot take now, and why not."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as problem:
            if problem.error_code not in _NO_RUN:
                raise
            stage = self._stage(run_id)
            if stage is None:
                raise Gone(f"the store no longer has the run {run_id}") from problem
            if stage == "deleted":
                restore = f"mlflow runs restore --run-id {run_id}"
                raise InTrash(f"the run {run_id} is in MLflow's trash; {restore}") from problem
            if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise
            raise Refused(problem.message) from problem

    def _experiment(self, name: str) -> str:
        """Give the id of an experiment; made at the same time by another process is fine too."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise InTrash(f"the experiment {name} is in MLflow's trash; {restore}")
        if found is not None:
            return str(found.experiment_id)
        try:
            return self._client.create_experiment(name, artifact_location=self._artifacts())
        except MlflowException as problem:
            found = self._client.get_experiment_by_name(name)
            if problem.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
                raise
            return str(found.experiment_id)

    def _artifacts(self) -> str | None:
        """Put a local store's artifacts next to its file, wherever the process stands."""
        return None if self._database is None else (self._database.parent / "mlartifacts").as_uri()


def _parts(items: list[_Item]) -> Iterator[list[_Item]]:
    for begin in range(0, len(items), _PER_BATCH):
        yield items[begin : begin + _PER_BATCH]


def _key(name: str) -> str:
    """Make a name one that MLflow takes, and no other name's.

    It takes letters, digits and a few signs, and what is a path in its plainest form.
    """
    parts = _FORBIDDEN.sub("_", name).split("/")
    plain = "/".join(part for part in parts if part.strip(".")).lstrip(".")
    if plain == name and 0 < len(name) <= _KEY_LENGTH:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: _KEY_LENGTH - 9]}_{digest}"


def _text(value: str) -> str:
    """Make a value one that MLflow and its databases take."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:_VALUE_LENGTH]
