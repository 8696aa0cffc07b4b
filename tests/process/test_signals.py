import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pruneplug.process.signals import STOP_SIGNALS, StopRequested, StopSignals, exit_code


@pytest.fixture(autouse=True)
def _handlers_come_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_notes_a_signal_until_it_is_asked(number: signal.Signals) -> None:
    with StopSignals() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(StopRequested, match=number.name):
            stop.check()


def test_a_second_signal_ends_the_process_at_once() -> None:
    codes: list[int] = []
    with StopSignals(codes.append):
        os.kill(os.getpid(), signal.SIGTERM)
        assert codes == []
        os.kill(os.getpid(), signal.SIGINT)
        assert codes == [130]


def test_passes_on_to_the_handler_that_was_there() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: calls.append(number))
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert calls == []  # not before the state is saved
        with pytest.raises(SystemExit) as ending:
            stop.pass_on()
        assert calls == [signal.SIGUSR2]
        assert ending.value.code == exit_code(signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_an_interrupt_stays_a_keyboard_interrupt() -> None:
    with StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stop.pass_on()


def test_what_the_handler_before_has_set_stands() -> None:
    """A command's first signal makes its second one end the process at once."""
    codes: list[int] = []

    def first(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: codes.append(number))
        raise SystemExit(143)

    def stopped() -> None:
        with StopSignals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            stop.pass_on()

    before = signal.signal(signal.SIGTERM, first)
    try:
        with pytest.raises(SystemExit):
            stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        assert codes == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_happens_on_another_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        with StopSignals() as stop:
            seen.append(signal.getsignal(signal.SIGTERM))
            stop.check()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_nothing_to_pass_on_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="must have been received"):
        StopSignals().pass_on()
