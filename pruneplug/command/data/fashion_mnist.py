"""Fashion-MNIST: 70,000 images of clothes, 28x28 pixels, 10 classes.

Reference:
    Xiao, Rasul, Vollgraf: "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747, 2017.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pruneplug.command.data.base import Arrays, Splits, split_validation

DEFAULT_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
IMAGE_SHAPE = (28, 28)
NUM_CLASSES = 10

Bytes = npt.NDArray[np.uint8]


def load(path: str | Path | None = None, validation: float = 0.1, seed: int = 0) -> Splits:
    """Load Fashion-MNIST, or any data set in its four files.

    Args:
        path: Folder with the four IDX .gz files. None means where Debian's package puts them, or
            Keras' downloader when that folder does not exist.
        validation: Share of the training samples set aside for validation, in (0, 1).
        seed: Seed of the validation split.

    Returns:
        Images of shape (samples, 28, 28, 1), float32 in [0, 1].

    Raises:
        FileNotFoundError: If the folder or one of its files is missing, or the download fails.
        ValueError: If a file is malformed or `validation` is out of range.
    """
    if path is None and not DEFAULT_FOLDER.is_dir():
        train, test = _download()
    else:
        train, test = _read_folder(DEFAULT_FOLDER if path is None else Path(path).expanduser())
    train, held_out = split_validation(train, validation, seed)
    return Splits(train, held_out, test, NUM_CLASSES)


def _download() -> tuple[Arrays, Arrays]:
    """Fetch both parts through Keras."""
    # Imported on use: the usual way, from a folder, does without Keras.
    import keras

    try:
        (x, y), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        raise FileNotFoundError(
            f"Fashion-MNIST was not found in {DEFAULT_FOLDER} and could not be downloaded "
            f"({error}). Install Debian's package {DEBIAN_PACKAGE}, or name a folder with its "
            "four .gz files: data.path=FOLDER."
        ) from error
    return _scaled(x, y), _scaled(x_test, y_test)


def _read_folder(folder: Path) -> tuple[Arrays, Arrays]:
    """Read the training and the test part."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data.path must be a folder with the four Fashion-MNIST .gz files; got path={folder}, "
            f"which is not a folder. Debian's package {DEBIAN_PACKAGE} puts them in "
            f"{DEFAULT_FOLDER}."
        )
    return _read_part(folder, "train"), _read_part(folder, "t10k")


def _read_part(folder: Path, prefix: str) -> Arrays:
    """Read one pair of files, images and labels."""
    images_file = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_file = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images, labels = _read_idx(images_file, rank=3), _read_idx(labels_file, rank=1)
    if images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise ValueError(
            f"{images_file} must hold images of {IMAGE_SHAPE} pixels; got shape={images.shape}."
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_file} must hold one label for each image of {images_file.name}; "
            f"got labels={len(labels)}, images={len(images)}."
        )
    if labels.max() >= NUM_CLASSES:
        raise ValueError(
            f"{labels_file} must hold labels below {NUM_CLASSES}; got label={labels.max()}."
        )
    return _scaled(images, labels)


def _read_idx(path: Path, rank: int) -> Bytes:
    """Read a gzipped IDX file of bytes: 2 zero bytes, type, rank, sizes, values."""
    content = _unzip(path)
    header = 4 + 4 * rank
    magic = bytes([0, 0, 8, rank])
    if len(content) < header or content[:4] != magic:
        raise ValueError(
            f"{path} must be an IDX file of bytes with {rank} dimension(s), starting with "
            f"0x{magic.hex()}; got start=0x{content[:4].hex()}."
        )
    shape = struct.unpack(f">{rank}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"{path} must hold {math.prod(shape)} values, as its header says (shape {shape}); "
            f"got values={len(content) - header}. The file may be truncated: fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _unzip(path: Path) -> bytes:
    """Read a whole gzip file."""
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing. The folder must hold the four Fashion-MNIST files, "
            "{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz, as Debian's package "
            f"{DEBIAN_PACKAGE} has them."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} must be a complete gzip file; got error={str(error)!r}. Fetch it again."
        ) from error


def _scaled(images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Arrays:
    """Turn bytes into float32 in [0, 1] with a channel axis, and class ids."""
    pixels = images.astype(np.float32)[..., np.newaxis]
    pixels /= 255
    return Arrays(pixels, labels.astype(np.int64))
