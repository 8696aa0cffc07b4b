"""Reads finished runs back from an MLflow store; writes nothing there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pruneplug.tracking.curves import CURVE_PREFIX, Curve
from pruneplug.tracking.locations import public, resolve_uri, sqlite_path
from pruneplug.tracking.mlflow.client import connect
from pruneplug.tracking.store import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 500


class StoredRun(NamedTuple):
    """A run of a store.

    Attributes:
        name: what MLflow calls it.
        files: local folder with those of the wanted files that it has.
        curves: (step, sparsity) by weight.
    """

    name: str
    files: Path
    curves: dict[str, Curve]


def stored_runs(
    experiment: str, uri: str | None, files: tuple[str, ...], folder: Path
) -> Iterator[StoredRun]:
    """Read the runs of an experiment, the oldest first.

    Args:
        experiment: its name.
        uri: tracking address; None takes the default as `MlflowTracker` does.
        files: artifacts to download; runs without the first of them are passed over.
        folder: where to, a folder for each run.

    Raises:
        OSError: if the store cannot be reached, or refuses.
        ValueError: if there is no such store or experiment.
    """
    client = _client(resolve_uri(uri), experiment)
    with _reaching(resolve_uri(uri)):
        for run in _runs(client, _experiment_id(client, experiment)):
            there = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
            if files[0] in there:
                yield _download(client, run, [name for name in files if name in there], folder)


def _client(uri: str, experiment: str) -> "MlflowClient":
    database = sqlite_path(uri)
    if database is not None and not database.exists():
        raise ValueError(
            f"RUNS must be a folder or an MLflow experiment; got {experiment}: there is no such "
            f"folder, and no store {public(uri)}. Name another store with --uri."
        )
    return connect(uri, database)


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Say which store it is that does not answer."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as problem:
        raise OSError(f"{public(uri)} cannot be read: {reason(problem)}.") from problem


def _experiment_id(client: "MlflowClient", name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    names = ", ".join(sorted(experiment.name for experiment in client.search_experiments()))
    raise ValueError(
        f"RUNS must be a folder or an MLflow experiment; got {name}, which is neither. "
        f"The store has the experiments {names}."
    )


def _runs(client: "MlflowClient", experiment_id: str) -> Iterator["Run"]:
    token: str | None = None
    while True:
        order = ["attributes.start_time ASC"]
        part = client.search_runs([experiment_id], "", 1, _PAGE, order, token)
        yield from part
        token = part.token
        if not token:
            return


def _download(client: "MlflowClient", run: "Run", files: list[str], folder: Path) -> StoredRun:
    run_id = run.info.run_id
    target = folder / run_id
    target.mkdir(parents=True)
    for name in files:
        client.download_artifacts(run_id, name, str(target))
    keys = [key for key in run.data.metrics if key.startswith(CURVE_PREFIX)]
    curves = {key.removeprefix(CURVE_PREFIX): _curve(client, run_id, key) for key in keys}
    return StoredRun(run.info.run_name or run_id, target, curves)


def _curve(client: "MlflowClient", run_id: str, key: str) -> Curve:
    points = client.get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)
