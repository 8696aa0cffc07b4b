from pruneplug.training.steps.pace import Pace


def test_calls_grow_until_they_last_long_enough() -> None:
    now = [0.0]
    pace = Pace(seconds=1.0, clock=lambda: now[0])
    counts = []
    for _ in range(8):
        pace.begin()
        counts.append(pace.limit)
        now[0] += 0.05 * pace.limit
        pace.end(pace.limit)
    assert counts == [1, 2, 4, 8, 16, 20, 20, 20]


def test_slow_steps_come_back_one_by_one() -> None:
    now = [0.0]
    pace = Pace(seconds=1.0, clock=lambda: now[0])
    pace.begin()
    now[0] = 30.0
    pace.end(1)
    assert pace.limit == 1
