import pytest

from pruneplug.training.log import MetricLog


class Broken:
    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        raise OSError("disk full")

    def describe(self) -> dict[str, str]:
        raise OSError("disk full")


def test_says_once_that_the_tracker_fails() -> None:
    log = MetricLog(Broken())  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="failed at step 3, training goes on.*disk full"):
        log.log({"loss": 1.0}, 3)
    log.log({"loss": 1.0}, 4)
    assert log.describe() == {}
