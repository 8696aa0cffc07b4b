import math

from pruneplug.training.best import Best


def test_keeps_the_lowest_loss() -> None:
    best = Best("val_loss")
    taken = [best.offer(i, {"val_loss": v}, list) for i, v in enumerate([3.0, 4.0, 2.0, 2.0])]
    assert taken == [True, False, True, False]
    assert (best.step, best.logs) == (2, {"val_loss": 2.0})


def test_keeps_the_highest_score() -> None:
    best = Best("val_r2", "max")
    taken = [best.offer(i, {"val_r2": v}, list) for i, v in enumerate([3.0, 2.0, 4.0])]
    assert taken == [True, False, True]


def test_never_takes_nan_or_a_missing_metric() -> None:
    best = Best("val_loss")
    assert not best.offer(1, {"val_loss": math.nan}, list)
    assert not best.offer(1, {"loss": 1.0}, list)
    assert best.step is None


def test_comes_back_as_it_was() -> None:
    best, other = Best("val_loss"), Best("val_loss")
    best.offer(3, {"val_loss": 1.0}, list)
    other.restore(best.save(), [])
    assert other == best
