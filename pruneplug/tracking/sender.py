"""Delivers a journal in the background, and waits longer and longer while that fails."""

import shlex
import threading
import time

from pruneplug.tracking.delivery import Delivery
from pruneplug.tracking.journal import run_begin
from pruneplug.tracking.store import reason

_POLL = 0.5
_LONGEST_PAUSE = 60.0
_LAST_TRIES = 3
_RUN_PATIENCE = 10.0
_CONNECT_PATIENCE = 60.0


class Sender:
    """A thread that delivers what the journal gains, until it is closed.

    Args:
        delivery: used by the thread alone until the sender is closed.
        poll: seconds between two looks at the journal; the first pause after a failure.
    """

    def __init__(self, delivery: Delivery, poll: float = _POLL) -> None:
        self.delivery = delivery
        self.problem = ""
        self._poll = poll
        self._run_known_at = run_begin(delivery.journal) if delivery.journal.exists() else 0
        self._run_due = time.monotonic() + _RUN_PATIENCE
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def run_id(self) -> str | None:
        """Give the id of the journal's last run, None if the store has not given one yet.

        Waits for it until 10 seconds after the sender's start, but not for a store that fails.
        """
        while not self._run_known() and not self.problem and time.monotonic() < self._run_due:
            time.sleep(0.02)
        return self.delivery.sent.run_id if self._run_known() else None

    @property
    def closed(self) -> bool:
        """Whether it was told to end."""
        return self._closing.is_set()

    def close(self, patience: float) -> None:
        """Deliver what is left; give up after `patience` seconds without progress.

        Connecting does not count: on a busy machine, importing the store's library and waiting
        for the others that make the same fresh store may take longer. It gets a minute.
        """
        self._closing.set()
        deadline = time.monotonic() + _CONNECT_PATIENCE
        while self._is_connecting() and time.monotonic() < deadline:
            self._thread.join(0.1)
        before = -1
        while self._thread.is_alive() and self.delivery.sent.offset != before:
            before = self.delivery.sent.offset
            self._thread.join(patience)

    def what_is_left(self) -> str:
        """Say what the store lacks, why, and the way out; "" when it has everything."""
        delivery = self.delivery
        said = [f"{delivery.address} refused {k}: {v}" for k, v in delivery.refusals.items()]
        missing = delivery.missing()
        if missing:
            reason = self.problem or "it answers too slowly"
            said.append(f"{delivery.address} has not got {missing} ({reason})")
        if not said:
            return ""
        return (
            f"{'. '.join(said)}. All of it is kept in {delivery.journal}; python -m pruneplug.sync "
            f"{shlex.quote(str(delivery.journal.parent))} sends what can be sent."
        )

    def _is_connecting(self) -> bool:
        return self._thread.is_alive() and not self.problem and not self.delivery.connected

    def _run_known(self) -> bool:
        return self.delivery.sent.offset >= self._run_known_at

    def _run(self) -> None:
        pause, tries = self._poll, 0
        while tries < _LAST_TRIES:
            closing = self._closing.is_set()
            if self._send():
                if closing:
                    return
                pause = self._poll
            else:
                pause, tries = min(2 * pause, _LONGEST_PAUSE), tries + closing
            self._wait(pause, closing)

    def _send(self) -> bool:
        try:
            self.delivery.send_all()
            self.problem = ""
        except Exception as problem:  # whatever a store's library or the network comes up with
            self.problem = reason(problem)
        return not self.problem

    def _wait(self, pause: float, closing: bool) -> None:
        if closing:
            time.sleep(self._poll)
        else:
            self._closing.wait(pause)
