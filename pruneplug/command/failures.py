"""What the user reads when a run fails: one message, and a file with the rest."""

import re
import shlex
import traceback
from contextlib import suppress
from pathlib import Path

from hydra.conf import HydraConf

from pruneplug.command.folder import ERRORS
from pruneplug.command.settings.wording import override

# Lines around the cause in TensorFlow's messages: headings, node names, excerpts of tracebacks.
_AROUND = re.compile(r"\s|$|Graph execution error|Detected at|Traceback|\[\[|<stack|\d+ root err")
# What joblib, submitit and Ray raise when a process of theirs is gone.
_GONE = ("TerminatedWorkerError", "UncompletedJobError", "WorkerCrashedError")


def describe(error: BaseException) -> str:
    r"""Say in one line what an error was about, with the notes that it has.

    Example:
        >>> describe(ValueError("Rows must be sorted.\nTraceback (most recent call last):"))
        'ValueError: Rows must be sorted.'
    """
    lines = [line for line in str(error).splitlines() if not _AROUND.match(line)]
    text = lines[0] if lines else ""
    kind = type(error).__name__
    said = text if text.startswith(kind) else f"{kind}: {text}"
    return " ".join([said, *getattr(error, "__notes__", ())])


def broken_off(error: Exception) -> str:
    """Say why a launcher has given up."""
    kind = type(error).__name__
    if kind in _GONE:
        return f"The process of a job was killed or has crashed ({kind}); its job is not finished."
    return f"The command broke off: {describe(error)}"


def keep_traceback(error: BaseException, folder: Path) -> str:
    """Append an error's traceback to a file of the run folder and say where it is.

    Returns:
        A sentence; one that says why there is no file if it cannot be written.
    """
    path = folder / ERRORS
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError as problem:
        return f"Its traceback could not be written to {path} ({problem.strerror})."
    return f"Its traceback is in {path}."


def way_on(context: HydraConf, folder: Path) -> str:
    """Say how a run that has ended early goes on."""
    from pruneplug.training.checkpoints.store import CHECKPOINTS

    if not (folder / CHECKPOINTS).exists():
        return "Nothing was saved yet that a run could go on from."
    # The run's own checkpoints are found without being told where they are.
    kept = [text for text in context.overrides.task if not text.startswith("trainer.resume=")]
    # Further configs, or the settings of a run, by --config-dir.
    places = [s.path for s in context.runtime.config_sources if s.provider == "command-line"]
    places = ["--config-dir", *places] if places else []
    words = [*places, *kept, override("hydra.run.dir", str(folder))]
    return f"To go on: python -m pruneplug.train {shlex.join(words)}"


def remove_empty(folder: Path) -> None:
    """Remove the folders Hydra made for a job that left nothing in them."""
    with suppress(OSError):
        folder.rmdir()
        for parent in folder.parents:
            if Path.cwd() not in parent.parents:
                break
            parent.rmdir()
