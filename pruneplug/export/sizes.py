"""How many bytes a model takes on disk, dense, stripped and compressed."""

import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import keras

_CHUNK = 2**20
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Sizes:
    """Bytes of three files.

    Attributes:
        dense_bytes: the `.keras` file of the model as it was before pruning. Zeros take the
            room of any other number there, so stripping alone does not make it smaller.
        stripped_bytes: the `.keras` file of the stripped model, raw.
        gzip_bytes: the same file after `gzip -9`. This is where sparsity shows; a dense
            model's float32 weights shrink by about 7 % only.
    """

    dense_bytes: int
    stripped_bytes: int
    gzip_bytes: int


def model_sizes(dense: keras.Model | Path, stripped: keras.Model | Path) -> Sizes:
    """Measure the files of a model before and after pruning.

    Args:
        dense: the dense model, or its `.keras` file. Optimizer state counts if it holds any.
        stripped: the stripped model, or its `.keras` file.

    Returns:
        The sizes, read from the files; a model is written to a temporary folder first.
    """
    with tempfile.TemporaryDirectory() as folder:
        dense_file = _as_file(dense, Path(folder, "dense.keras"))
        stripped_file = _as_file(stripped, Path(folder, "stripped.keras"))
        return Sizes(
            dense_bytes=dense_file.stat().st_size,
            stripped_bytes=stripped_file.stat().st_size,
            gzip_bytes=gzip_size(stripped_file),
        )


def gzip_size(path: Path) -> int:
    """Count the bytes that `gzip -9` makes of a file, without keeping them."""
    packer = zlib.compressobj(9, wbits=_GZIP)
    size = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())


def _as_file(model: keras.Model | Path, path: Path) -> Path:
    if isinstance(model, Path):
        return model
    model.save(path)
    return path
