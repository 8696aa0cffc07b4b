"""At the end, the masks are those of the schedule at the steps taken, or a warning says not.

However a model is trained, and whatever is loaded, stopped, frozen and thawed in between. Here is a
sample of all combinations; `make fuzz` runs more of them.
"""

from itertools import islice

import pytest
from hypothesis import HealthCheck, settings
from law.combinations import Combination, combinations, drawn
from law.machine import UserMachine

SAMPLE = list(islice(drawn(seed=0), 30))


def test_there_are_thousands_of_combinations() -> None:
    assert len(combinations()) >= 2000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("combination", SAMPLE, ids=" / ".join)
def test_the_law_holds(combination: Combination) -> None:
    combination.run()


TestUser = pytest.mark.filterwarnings("ignore")(UserMachine.TestCase)
TestUser.settings = settings(
    max_examples=4,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
