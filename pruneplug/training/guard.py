"""Saves what can be saved when a training ends before its time, and says what is left."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pruneplug.signals import StopRequested, StopSignals
from pruneplug.training.faults import TrainingDivergedError, failed_to_fetch
from pruneplug.training.persistence import Keeper
from pruneplug.training.session import Session

_logger = logging.getLogger(__name__)


@contextmanager
def guarded(session: Session, keeper: Keeper, stop: StopSignals) -> Iterator[None]:
    """Run a training so that neither a signal nor an error takes more than it must.

    A signal is passed on to the handler that was there before, after the state was saved. An
    error is raised again with a note that says from where the run can go on.

    Args:
        session: The training.
        keeper: Saves it.
        stop: Entered already.

    Raises:
        SystemExit: On a signal, with 128 plus its number.
    """
    try:
        yield
    except StopRequested as request:
        _secure(keeper)
        _logger.warning("%s: stopped after step %d. %s", request, session.step, keeper.last())
        stop.pass_on()
    except Exception as error:
        _secure(keeper, positioned=not failed_to_fetch(error))
        error.add_note(f"The training ended after step {session.step}. {keeper.last()}")
        raise


def _secure(keeper: Keeper, positioned: bool = True) -> None:
    """Save what can be saved: whatever goes wrong in it, what has ended the training stands."""
    try:
        keeper.secure(positioned)
    except TrainingDivergedError:
        pass  # such weights are not worth keeping, and what has ended the training says why
    except Exception as error:
        _logger.warning("The state of the training could not be saved: %r.", error)
