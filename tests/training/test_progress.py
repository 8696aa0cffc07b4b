import io

from rich.console import Console

from pruneplug.training.progress import Progress, Standing, loss_of


def show(terminal: bool) -> str:
    now = [0.0]
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    progress = Progress(console, clock=lambda: now[0])
    progress.start(100)
    for step in (200, 300, 1000):
        now[0] += 5.0
        progress.update(Standing(step, 1000, 0.25, 0.4, 0.8))
    progress.stop()
    return stream.getvalue()


def test_prints_plain_lines_now_and_then() -> None:
    assert show(terminal=False).splitlines() == [
        "step 300/1000  20 steps/s  loss 0.2500  sparsity 40.0% -> 80.0%  0:35 left",
        "step 1000/1000  60 steps/s  loss 0.2500  sparsity 40.0% -> 80.0%  0:00 left",
    ]


def test_rewrites_one_line_on_a_terminal() -> None:
    shown = show(terminal=True)
    assert "step 200/1000" in shown
    assert shown.count("\n") <= 2


def test_a_missing_loss_is_nan() -> None:
    assert loss_of({"loss": 1.0}) == 1.0
    assert loss_of({}) != loss_of({})
