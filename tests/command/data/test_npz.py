import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruneplug.command.data import npz


def _arrays(**changes: Any) -> dict[str, Any]:
    arrays = {
        "x_train": np.arange(40, dtype=np.uint8).reshape(10, 2, 2),
        "y_train": np.arange(10) % 3,
        "x_test": np.full((4, 2, 2), 255, np.uint8),
        "y_test": np.arange(4),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def _save(folder: Path, **changes: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **_arrays(**changes))
    return path


def test_bytes_are_scaled_and_shapes_kept(tmp_path: Path) -> None:
    splits = npz.load(_save(tmp_path), validation=0.2, seed=0)
    assert [len(part.y) for part in (splits.train, splits.validation, splits.test)] == [8, 2, 4]
    assert splits.input_shape == (2, 2)
    assert splits.num_classes == 4  # the test part has a class that the training part lacks
    assert splits.train.x.dtype == np.float32
    assert splits.train.y.dtype == np.int64
    np.testing.assert_array_equal(splits.test.x, 1)


@pytest.mark.parametrize(("scale", "expected"), [(None, 3.0), (0.5, 1.5), (-1, -3.0)])
def test_other_numbers_are_scaled_on_request(
    tmp_path: Path, scale: float | None, expected: float
) -> None:
    path = _save(tmp_path, x_train=np.full((10, 5), 3), x_test=np.full((4, 5), 3.0))
    np.testing.assert_array_equal(npz.load(path, scale=scale).test.x, expected)


@pytest.mark.parametrize("scale", [0, float("nan"), float("inf")])
def test_scale_out_of_range(tmp_path: Path, scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be a finite number other than 0; got scale="):
        npz.load(_save(tmp_path), scale=scale)


@pytest.mark.parametrize(
    ("y_test", "classes"),
    [
        (np.array([0, 1, 2, 0]), 3),
        (np.array([0.0, 1.0, 2.0, 0.0]), 3),
        (np.array([[0], [1], [2], [0]]), 3),
        (np.eye(5)[[0, 1, 2, 0]], 5),
    ],
)
def test_label_forms(tmp_path: Path, y_test: np.ndarray, classes: int) -> None:
    y_train = np.tile(y_test, (3, *[1] * (y_test.ndim - 1)))[:10]
    splits = npz.load(_save(tmp_path, y_train=y_train, y_test=y_test))
    assert splits.num_classes == classes
    np.testing.assert_array_equal(splits.test.y, [0, 1, 2, 0])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"must be an \.npz file; got path=.*absent\.npz"):
        npz.load(tmp_path / "absent.npz")


def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(b"x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"data\.npz must be an \.npz file"):
        npz.load(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = _save(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="truncated"):
        npz.load(path)


def test_a_damaged_array(tmp_path: Path) -> None:
    path = _save(tmp_path)
    content = path.read_bytes()
    pixels = bytes(range(40))
    path.write_bytes(content.replace(pixels, bytes(40)))
    with pytest.raises(ValueError, match=r"x_train.*cannot be read"):
        npz.load(path)


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    path = _save(tmp_path, x_test=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_test", b"text")
    with pytest.raises(ValueError, match="x_test must hold real numbers; got dtype=bytes"):
        npz.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None, "x_test": None}, "without y_train, x_test"),
        ({"y_train": np.zeros(9, int)}, "same length; got x_train=10, y_train=9"),
        ({"x_test": np.zeros((4, 3, 3), np.uint8)}, r"x_train=\(2, 2\), x_test=\(3, 3\)"),
        ({"y_test": np.eye(4)}, r"y_train=\(\), y_test=\(4,\)"),
        ({"x_train": np.zeros(10), "x_test": np.zeros(4)}, r"x_train must have shape \(samples"),
        ({"x_train": np.zeros((10, 2, 2))}, "got x_train=float64, x_test=uint8"),
        ({"x_train": np.zeros((0, 2, 2)), "y_train": np.zeros(0)}, "x_train must hold samples"),
        ({"x_train": np.float32(1)}, r"x_train must hold samples; got shape=\(\)"),
        ({"x_test": np.full((4, 2, 2), np.nan)}, "x_test must hold finite numbers"),
        ({"x_test": np.full((4, 2, 2), "a")}, "x_test must hold real numbers; got dtype=<U1"),
        ({"x_test": np.full((4, 2, 2), 1j)}, "x_test must hold real numbers; got dtype=complex"),
        ({"x_test": np.full((4, 2, 2), None)}, "x_test must be a plain array.*cannot be read"),
        ({"y_train": np.full(10, -1)}, "y_train must hold class ids.*got label=-1"),
        ({"y_train": np.full(10, 0.5)}, r"y_train must hold class ids.*got label=0\.5"),
        ({"y_train": np.full(10, 2**32 - 1)}, "y_train must hold class ids.*got label=4294967295"),
        ({"y_train": np.full(10, np.nan)}, "y_train must hold finite numbers"),
        (
            {"y_train": np.zeros((10, 1, 2)), "y_test": np.zeros((4, 1, 2))},
            r"y_train must have shape.*got shape=\(10, 1, 2\)",
        ),
        ({"y_train": np.ones((10, 3)), "y_test": np.eye(4, 3)}, "y_train.*one-hot"),
        ({"y_train": np.zeros(10), "y_test": np.zeros(4)}, "at least 2 classes"),
        (
            {"x_train": np.full((10, 2), 1e300), "x_test": np.zeros((4, 2))},
            "x_train must fit float32",
        ),
    ],
)
def test_bad_arrays(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        npz.load(_save(tmp_path, **changes))
    assert "data.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(10) * 100, "10 different numbers up to 900, which makes 901 classes, 891 of"),
        (np.arange(10) + 1, "10 different numbers up to 10, which makes 11 classes, 1 of them"),
        (np.arange(10), None),
        (np.eye(12)[:10], None),
    ],
)
def test_labels_that_may_be_no_class_ids_are_said(
    labels: np.ndarray, said: str | None, tmp_path: Path
) -> None:
    path = _save(tmp_path, y_train=labels, y_test=labels[:4])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        npz.load(path)
    assert [said in str(warning.message) for warning in caught if said] == [True] * bool(said)
    assert bool(caught) == bool(said)
