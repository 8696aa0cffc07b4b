import warnings

import pytest

from pruneplug import ConstantSparsity, PolynomialDecay
from pruneplug.training.schedule_check import check_schedules


def test_a_schedule_that_fits_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_schedules([PolynomialDecay(0.0, 0.8, 0, 50), ConstantSparsity(0.5, 0)], 0, 100)


def test_a_schedule_that_never_fires_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ConstantSparsity\(.*80 planned steps.*into \[1, 80\]"):
        check_schedules([ConstantSparsity(0.5, 0, frequency=100)], 0, 80)


def test_a_partly_used_schedule_names_the_sparsity_it_reaches() -> None:
    schedule = PolynomialDecay(0.0, 0.8, 0, 100, power=1, frequency=25)
    with pytest.warns(UserWarning, match=r"at step 50, and reaches a sparsity of 0\.4000 instead"):
        check_schedules([schedule], 0, 60)
