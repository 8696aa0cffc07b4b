"""The files of Keras' CSV loggers, when a run goes on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from pruneplug.process.files import write_bytes
from pruneplug.training.checkpoints.checkpoint import Checkpoint


@contextmanager
def rows_kept(
    callbacks: Sequence[keras.callbacks.Callback], checkpoint: Checkpoint | None
) -> Iterator[None]:
    """Let CSV loggers open their files at the place where a checkpoint was written.

    Else they would begin them anew, or repeat the epochs behind the checkpoint.

    Args:
        callbacks: Those that are not loggers are left alone; `on_train_begin` is called inside.
        checkpoint: That the run goes on from; None changes nothing.
    """
    if checkpoint is None:
        yield
        return
    loggers = [one for one in callbacks if isinstance(one, keras.callbacks.CSVLogger)]
    asked = [logger.append for logger in loggers]
    for logger in loggers:
        _cut(Path(logger.filename), logger.sep.encode(), checkpoint.facts["epoch"])
        logger.append = True
    try:
        yield
    finally:
        for logger, append in zip(loggers, asked, strict=True):
            logger.append = append


def _cut(path: Path, separator: bytes, epoch: int) -> None:
    """Take away the rows of `epoch` and those behind it, and half of a row at the end."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = len(lines)
    last = None
    while kept:
        row = lines[kept - 1]
        number = row.partition(separator)[0].strip()
        torn = last is None and not row.endswith(b"\n")
        # An earlier run's rows, in a file that is added to, count from 0 too.
        behind = number.isdigit() and epoch <= int(number) and (last is None or int(number) < last)
        if not torn and not behind:
            break
        last = int(number) if behind else last
        kept -= 1
    if kept < len(lines):
        write_bytes(path, b"".join(lines[:kept]))
