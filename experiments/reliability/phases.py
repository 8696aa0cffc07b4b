"""What a run is doing at any moment, in one byte of a file that outlives the process."""

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

PHASES = ("start", "training", "evaluation", "checkpoint", "between", "end")


class PhaseByte:
    """A byte in a file shared between the run and the one who kills it.

    Args:
        path: The file; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            if file.tell() == 0:
                file.write(b"\0")
                file.flush()
            self._map = mmap.mmap(file.fileno(), 1)

    def get(self) -> str:
        """Return the phase."""
        return PHASES[self._map[0]]

    def set(self, phase: str) -> None:
        """Note the phase; a store to memory, which costs nothing."""
        self._map[0] = PHASES.index(phase)

    def mark(self, owner: Any, name: str, phase: str) -> None:
        """Note `phase` whenever a function runs, and the phase before when it is left."""
        function = getattr(owner, name)
        setattr(owner, name, self._marked(function, phase))

    def _marked(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def marked(*args: Any, **kwargs: Any) -> Any:
            before = self.get()
            self.set(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self.set(before)

        return marked
