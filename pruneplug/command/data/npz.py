"""A data set of one's own: the arrays of one .npz file."""

import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pruneplug.command.data.base import Arrays, Splits, split_validation

KEYS = ("x_train", "y_train", "x_test", "y_test")
# A larger id is a key of some other kind, and would ask for an output layer of that width.
MAX_CLASSES = 1_000_000

Array = npt.NDArray[Any]


def load(
    path: str | Path, validation: float = 0.1, seed: int = 0, scale: float | None = None
) -> Splits:
    """Load `x_train`, `y_train`, `x_test` and `y_test` from an .npz file.

    Labels are class ids of shape (samples,) or (samples, 1), or one-hot rows of shape
    (samples, classes). The number of classes is the largest class id plus one, over both parts,
    or the length of a one-hot row.

    Args:
        path: The file, as `numpy.savez` writes it.
        validation: Share of the training samples set aside for validation, in (0, 1).
        seed: Seed of the validation split.
        scale: Factor on the inputs. None means 1/255 for bytes (uint8) and 1 for anything else.

    Returns:
        Inputs as float32 in the shape the file has.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is no .npz file, an array is missing or does not fit the others,
            a value is not allowed, or an argument is out of range.
    """
    if scale is not None and (not math.isfinite(scale) or scale == 0):
        raise ValueError(f"The scale must be a finite number other than 0; got scale={scale}.")
    path = Path(path).expanduser()
    arrays = _read(path)
    _check_lengths(path, arrays)
    _check_shapes(path, arrays)
    _check_scales(path, arrays, scale)
    y_train, train_classes = _class_ids(path, "y_train", arrays["y_train"])
    y_test, test_classes = _class_ids(path, "y_test", arrays["y_test"])
    num_classes = max(train_classes, test_classes)
    if num_classes < 2:
        raise ValueError(f"{path} must hold labels of at least 2 classes; got only class 0.")
    if not _is_one_hot(arrays["y_train"]):
        _tell_gaps(path, np.union1d(y_train, y_test), num_classes)
    train = Arrays(_inputs(path, "x_train", arrays["x_train"], scale), y_train)
    test = Arrays(_inputs(path, "x_test", arrays["x_test"], scale), y_test)
    train, held_out = split_validation(train, validation, seed)
    return Splits(train, held_out, test, num_classes)


def _read(path: Path) -> dict[str, Array]:
    """Read the four arrays."""
    if not path.is_file():
        raise FileNotFoundError(
            f"data.path must be an .npz file; got path={path}, which is not a file."
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} must be an .npz file as numpy.savez writes it; it is no zip archive. "
            "It may be truncated, or be of another format."
        )
    # Never pickles: loading one runs code from the file.
    with np.load(path, allow_pickle=False) as archive:
        missing = [key for key in KEYS if key not in archive.files]
        if missing:
            raise ValueError(
                f"{path} must hold the arrays {', '.join(KEYS)}; got keys={archive.files}, "
                f"without {', '.join(missing)}."
            )
        return {key: _read_array(path, key, archive) for key in KEYS}


def _read_array(path: Path, key: str, archive: Any) -> Array:
    """Read one array and check what can be checked on it alone."""
    try:
        array = archive[key]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise ValueError(
            f"{path}: {key} must be a plain array of numbers; it cannot be read ({error})."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        kind = getattr(array, "dtype", type(array).__name__)
        raise ValueError(f"{path}: {key} must hold real numbers; got dtype={kind}.")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{path}: {key} must hold samples; got shape={array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: {key} must hold finite numbers; got NaN or infinite values.")
    return array


def _check_lengths(path: Path, arrays: dict[str, Array]) -> None:
    """Check that every sample has a label."""
    for part in ("train", "test"):
        samples, labels = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
        if samples != labels:
            raise ValueError(
                f"{path}: x_{part} and y_{part} must have the same length; "
                f"got x_{part}={samples}, y_{part}={labels}."
            )


def _check_shapes(path: Path, arrays: dict[str, Array]) -> None:
    """Check that training and test samples look alike."""
    for name in ("x", "y"):
        train, test = arrays[f"{name}_train"].shape, arrays[f"{name}_test"].shape
        if train[1:] != test[1:]:
            raise ValueError(
                f"{path}: {name}_train and {name}_test must have samples of the same shape; "
                f"got {name}_train={train[1:]}, {name}_test={test[1:]}."
            )
    if arrays["x_train"].ndim < 2:
        raise ValueError(
            f"{path}: x_train must have shape (samples, ...); "
            f"got shape={arrays['x_train'].shape}. One number a sample is shape (samples, 1)."
        )


def _check_scales(path: Path, arrays: dict[str, Array], scale: float | None) -> None:
    """Refuse arrays of which the default scale would divide one by 255 and not the other."""
    train, test = arrays["x_train"].dtype, arrays["x_test"].dtype
    if scale is None and (train == np.uint8) != (test == np.uint8):
        raise ValueError(
            f"{path}: x_train and x_test must both be bytes or neither; "
            f"got x_train={train}, x_test={test}. Store both alike."
        )


def _inputs(path: Path, key: str, array: Array, scale: float | None) -> npt.NDArray[np.float32]:
    """Turn inputs into scaled float32."""
    with np.errstate(over="ignore"):
        inputs = array.astype(np.float32)
        if scale is not None:
            inputs *= np.float32(scale)
        elif array.dtype == np.uint8:
            inputs /= 255
    if not np.isfinite(inputs).all():
        raise ValueError(
            f"{path}: {key} must fit float32; got values up to {np.abs(array).max()} "
            f"with scale={scale}."
        )
    return inputs


def _class_ids(path: Path, key: str, labels: Array) -> tuple[npt.NDArray[np.int64], int]:
    """Turn labels into class ids; return them and the number of classes they imply."""
    if _is_one_hot(labels):
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(
                f"{path}: {key} of shape {labels.shape} must hold one-hot rows, a single 1 among "
                "zeros; got other rows."
            )
        return labels.argmax(axis=1).astype(np.int64), labels.shape[1]
    if labels.size != len(labels):
        raise ValueError(
            f"{path}: {key} must have shape (samples,), (samples, 1) or (samples, classes); "
            f"got shape={labels.shape}."
        )
    ids = labels.reshape(-1)
    wrong = ids[(ids < 0) | (ids >= MAX_CLASSES) | (ids != np.floor(ids))]
    if wrong.size:
        raise ValueError(
            f"{path}: {key} must hold class ids, whole numbers from 0 to {MAX_CLASSES - 1}; "
            f"got label={wrong[0]}."
        )
    return ids.astype(np.int64), int(ids.max()) + 1


def _is_one_hot(labels: Array) -> bool:
    return labels.ndim == 2 and labels.shape[1] > 1


def _tell_gaps(path: Path, ids: Array, num_classes: int) -> None:
    """Warn of outputs for classes that nothing belongs to: the labels may be no class ids."""
    if len(ids) < num_classes:
        warnings.warn(
            f"{path}: the labels are {len(ids)} different numbers up to {num_classes - 1}, which "
            f"makes {num_classes} classes, {num_classes - len(ids)} of them without a sample. "
            f"Unless that is meant, number the classes from 0 to {len(ids) - 1}: "
            "numpy.unique(y, return_inverse=True).",
            stacklevel=2,
        )
