import gzip
import re
import struct
from pathlib import Path

import keras
import numpy as np
import pytest

from pruneplug.command.data import fashion_mnist

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"


def _idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.astype(np.uint8).tobytes()


def _write(path: Path, values: np.ndarray) -> None:
    path.write_bytes(gzip.compress(_idx(values)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for prefix, samples in (("train", 20), ("t10k", 5)):
        images = generator.integers(0, 256, (samples, 28, 28))
        _write(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        _write(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(samples) % 10)
    return tmp_path


def test_reads_the_four_files(folder: Path) -> None:
    splits = fashion_mnist.load(folder, validation=0.25, seed=0)
    assert [len(part.y) for part in (splits.train, splits.validation, splits.test)] == [15, 5, 5]
    assert splits.input_shape == (28, 28, 1)
    assert splits.num_classes == 10
    assert splits.train.x.dtype == np.float32
    assert 0 <= splits.train.x.min() < 0.01
    assert 0.99 < splits.train.x.max() <= 1
    np.testing.assert_array_equal(splits.test.y, np.arange(5))


@pytest.mark.skipif(
    not fashion_mnist.DEFAULT_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is absent"
)
def test_reads_debians_package() -> None:
    splits = fashion_mnist.load()
    assert len(splits.train.y) + len(splits.validation.y) == 60_000
    np.testing.assert_array_equal(np.bincount(splits.test.y), np.full(10, 1000))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.*dataset-fashion-mnist"):
        fashion_mnist.load(tmp_path / "absent")


@pytest.mark.parametrize("name", [TRAIN_IMAGES, "t10k-labels-idx1-ubyte.gz"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        fashion_mnist.load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "complete gzip file"),
        (gzip.compress(bytes(5000))[:20], "complete gzip file"),
        (gzip.compress(b""), "starting with 0x00000803; got start=0x"),
        (gzip.compress(_idx(np.zeros(20))), "starting with 0x00000803; got start=0x00000801"),
        (gzip.compress(_idx(np.zeros((20, 28, 28)))[:-1]), "15680 values.*got values=15679"),
        (gzip.compress(_idx(np.zeros((20, 32, 32)))), r"\(28, 28\) pixels; got shape=\(20, 32"),
        (gzip.compress(_idx(np.zeros((0, 28, 28)))), r"got shape=\(0, 28, 28\)"),
    ],
    # A name of their own: gzip writes the time into its bytes, and they would be the names.
    ids=["no gzip", "cut short", "empty", "labels", "a byte missing", "too large", "none"],
)
def test_malformed_images(folder: Path, content: bytes, message: str) -> None:
    (folder / TRAIN_IMAGES).write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(TRAIN_IMAGES)} must.*{message}"):
        fashion_mnist.load(folder)


def test_images_and_labels_must_pair_up(folder: Path) -> None:
    _write(folder / TRAIN_LABELS, np.zeros(19))
    with pytest.raises(ValueError, match=r"train-labels.*got labels=19, images=20"):
        fashion_mnist.load(folder)


def test_labels_out_of_range(folder: Path) -> None:
    _write(folder / TRAIN_LABELS, np.full(20, 10))
    with pytest.raises(ValueError, match=r"train-labels.*below 10; got label=10"):
        fashion_mnist.load(folder)


@pytest.fixture
def no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEFAULT_FOLDER", tmp_path / "absent")


@pytest.mark.usefixtures("no_default")
def test_keras_downloader_steps_in(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.full((4, 28, 28), 255, np.uint8), np.arange(4, dtype=np.uint8)
    downloaded = ((images, labels), (images[:1], labels[:1]))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: downloaded)
    splits = fashion_mnist.load(validation=0.5)
    assert splits.input_shape == (28, 28, 1)
    assert splits.test.x.max() == 1


@pytest.mark.usefixtures("no_default")
def test_a_failed_download_names_folder_and_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    with pytest.raises(FileNotFoundError, match=r"absent .*URL fetch.*dataset-fashion-mnist"):
        fashion_mnist.load()
