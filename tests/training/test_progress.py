import io

import pytest
from rich.console import Console

from pruneplug.training.progress import Progress, Standing, loss_of


def show(terminal: bool, width: int = 100, seconds: float = 5.0) -> str:
    now = [0.0]
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width)
    progress = Progress(console, clock=lambda: now[0])
    progress.start(100)
    for step in (200, 300, 1000):
        now[0] += seconds
        progress.update(Standing(step, 1000, 0.25, 0.4, 0.8))
    progress.stop()
    return stream.getvalue()


def test_prints_plain_lines_now_and_then() -> None:
    assert show(terminal=False).splitlines() == [
        "step 300/1000  20 steps/s  loss 0.2500  sparsity 40.0% -> 80.0%  0:00:35 left",
        "step 1000/1000  60 steps/s  loss 0.2500  sparsity 40.0% -> 80.0%  0:00:00 left",
    ]


def test_rewrites_one_line_on_a_terminal() -> None:
    shown = show(terminal=True)
    assert "step 200/1000" in shown
    assert "━" in shown
    assert shown.count("\n") <= 2


@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_narrow_terminal_cuts_nothing_off(width: int) -> None:
    last = show(terminal=True, width=width).split("\x1b[2K")[-1]
    words = "step 1000/1000 60 steps/s loss 0.2500 sparsity 40.0% -> 80.0% 0:00:00 left"
    assert " ".join(last.split()).startswith(words)


def test_slow_steps_have_a_rate_too() -> None:
    assert "step 300/1000  2 steps/s" in show(terminal=False, seconds=50.0)


def test_what_is_left_is_not_known_before_a_step_is_taken() -> None:
    stream = io.StringIO()
    progress = Progress(Console(file=stream, force_terminal=True, width=100), clock=lambda: 0.0)
    progress.start(2)
    progress.update(Standing(2, 5, 0.25, 0.4, 0.8))
    progress.stop()
    assert "-:--:-- left" in stream.getvalue()


def test_a_missing_loss_is_nan() -> None:
    assert loss_of({"loss": 1.0}) == 1.0
    assert loss_of({}) != loss_of({})
