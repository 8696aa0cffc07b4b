import numpy as np

from pruneplug.command.data import digits


def test_shapes_and_range() -> None:
    splits = digits.load(validation=0.1, seed=0)
    parts = (splits.train, splits.validation, splits.test)
    assert sum(len(part.y) for part in parts) == 1797
    assert splits.input_shape == (8, 8, 1)
    assert splits.num_classes == 10
    for part in parts:
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.x.min() == 0
        assert part.x.max() == 1


def test_the_test_part_is_the_same_for_every_seed() -> None:
    first, second = digits.load(seed=0), digits.load(seed=1)
    np.testing.assert_array_equal(first.test.x, second.test.x)
    assert not np.array_equal(first.validation.y, second.validation.y)


def test_the_test_part_is_a_fifth_of_every_class() -> None:
    splits = digits.load()
    test = np.bincount(splits.test.y)
    total = test + np.bincount(splits.train.y) + np.bincount(splits.validation.y)
    np.testing.assert_array_equal(test, np.round(total * 0.2))


def test_parts_share_no_image() -> None:
    splits = digits.load()
    seen = {image.tobytes() for part in (splits.train, splits.validation) for image in part.x}
    assert not seen & {image.tobytes() for image in splits.test.x}
