from collections.abc import Mapping

import pytest

from pruneplug.tracking.base import NullTracker
from pruneplug.training.metrics import MetricLog


class Broken:
    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        raise OSError("disk full")


def test_says_once_that_the_tracker_fails() -> None:
    log = MetricLog(Broken())  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="failed at step 3, training goes on.*disk full"):
        log.log({"loss": 1.0}, 3)
    log.log({"loss": 1.0}, 4)


def test_a_step_has_one_value_of_a_metric() -> None:
    points: list[tuple[int, dict[str, float]]] = []

    class Keep(NullTracker):
        def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
            points.append((step, dict(metrics)))

    log = MetricLog(Keep())
    log.log({"a": 1.0}, 3)
    log.log({"a": 2.0, "b": 2.0}, 3)
    log.log({"a": 2.0}, 3)
    log.log({"a": 3.0}, 4)
    assert points == [(3, {"a": 1.0}), (3, {"b": 2.0}), (4, {"a": 3.0})]
