"""Where Hydra says that a sweep begins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf

from pruneplug.command.settings import COMPOSE_ERRORS, explain
from pruneplug.command.settings.tracking import TrackingSettings
from pruneplug.pruning.backend import require_tensorflow
from pruneplug.tracking.locations import refuse_password

if TYPE_CHECKING:
    from pruneplug.command.sweep.sweep import Sweep

_begun: list[Sweep] = []


class BeginSweep(Callback):
    """Starts the sweep's own run before any job; `conf/hydra/default.yaml` names this class.

    Hydra skips a sweep's end when the sweep breaks off, so the end is not called from here.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Start the run; a sweep that cannot be begun ends the command."""
        try:
            require_tensorflow()
            _begun.append(_begin(config))
        except COMPOSE_ERRORS as error:
            _refuse(explain(error))
        except OSError as error:
            _refuse(f"hydra.sweep.dir must be a folder that can be written to: {error}.")
        except (ValueError, TypeError, ImportError) as error:
            _refuse(str(error))


def take_sweep() -> Sweep | None:
    """Return the sweep that this process has begun, once."""
    return _begun.pop() if _begun else None


def objective_count(sweeper: Any) -> int:
    """Return how many numbers a sweeper wants of each job: 2 if it has two directions.

    Raises:
        ValueError: If it has more.
    """
    direction = sweeper.get("direction") if OmegaConf.is_dict(sweeper) else None
    if not isinstance(direction, ListConfig):
        return 1
    if len(direction) > 2:
        raise ValueError(
            "hydra.sweeper.direction must be for the validation accuracy, or for that and the "
            f"sparsity; got hydra.sweeper.direction={list(direction)}."
        )
    return len(direction)


def _begin(config: DictConfig) -> Sweep:
    # Imported here: a single run loads this module too.
    from pruneplug.command.sweep.sweep import Sweep

    for text in _texts(OmegaConf.to_container(config, resolve=False)):
        refuse_password("A setting", text)
    objective_count(config.hydra.sweeper)
    settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    tracking = cast(TrackingSettings, OmegaConf.to_object(config.tracking))
    folder = Path(config.hydra.sweep.dir).absolute()
    overrides = list(config.hydra.overrides.task)
    return Sweep.begin(folder, tracking, OmegaConf.to_yaml(settings, resolve=True), overrides)


def _texts(node: object) -> Iterator[str]:
    """Yield every text in nested settings: Hydra writes all of them into a file of its own."""
    if isinstance(node, dict):
        node = list(node.values())
    for part in node if isinstance(node, list) else ():
        yield from _texts(part)
    if isinstance(node, str):
        yield node


def _refuse(message: str) -> None:
    # Hydra turns a callback's exceptions into warnings, but not this one.
    print(f"pruneplug-train: {message}", file=sys.stderr)
    raise SystemExit(2)
