import hashlib
import io
import resource
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from pruneplug.training.checkpoints.arrays import (
    HashingWriter,
    hash_file,
    read_arrays,
    write_arrays,
)

ARRAYS = [
    np.arange(6, dtype="float32").reshape(2, 3),
    np.array(3, "int64"),
    np.zeros((0, 4)),
    np.array([True, False]),
    np.arange(6).reshape(2, 3).T,
    np.array([0.5, -1.25, np.nan]).astype(ml_dtypes.bfloat16),
]


def test_arrays_come_back_with_every_bit(tmp_path: Path) -> None:
    path = tmp_path / "arrays"
    with path.open("wb") as file:
        writer = HashingWriter(file)
        write_arrays(writer, ARRAYS)
    assert hash_file(path) == (writer.size, writer.hexdigest())
    assert writer.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    back = list(read_arrays(path, [array.dtype.name for array in ARRAYS]))
    for one, other in zip(ARRAYS, back, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert one.tobytes() == other.tobytes()


def test_the_hash_is_that_of_the_bytes_in_their_order_however_many_wait() -> None:
    file = io.BytesIO()
    writer = HashingWriter(file)
    write_arrays(writer, (np.full(size, size, "float64") for size in [10**6, *range(100)]))
    assert writer.hexdigest() == hashlib.sha256(file.getvalue()).hexdigest()
    assert writer.size == len(file.getvalue())


def test_refuses_python_objects() -> None:
    with pytest.raises(TypeError, match="must hold numbers; got dtype=object"):
        write_arrays(HashingWriter(io.BytesIO()), [np.array([print])])


def test_never_unpickles(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        list(read_arrays(tmp_path / "evil.npy", ["object"]))


@pytest.mark.parametrize("shape", [(2**32, 1), (10**6, 10**6, 10**6), (-1,), (2, -3)])
def test_no_room_is_made_for_what_is_not_there(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    with (tmp_path / "arrays").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(16))
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"needs -?[0-9]+ bytes; got 16"):
        list(read_arrays(tmp_path / "arrays", ["float64"]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin < 10_000  # kB


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "arrays").open("wb") as file:
        np.lib.format.write_array(file, np.zeros(3), version=(2, 0))
    with pytest.raises(ValueError, match=r"version 1\.0"):
        list(read_arrays(tmp_path / "arrays", ["float64"]))
