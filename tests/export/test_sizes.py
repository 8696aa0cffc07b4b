"""Sizes are read from real files, and gzip shows sparsity."""

import gzip
from pathlib import Path

import keras
import numpy as np

from pruneplug.export import Sizes, model_sizes
from pruneplug.export.sizes import gzip_size


def _model(sparsity: float) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((256,)), keras.layers.Dense(512, name="dense")], name="model"
    )
    kernel = np.array(model.get_layer("dense").kernel)
    kernel[np.abs(kernel) < np.quantile(np.abs(kernel), sparsity)] = 0.0
    model.get_layer("dense").kernel.assign(kernel)
    return model


def test_gzip_of_a_sparse_model_is_much_smaller_and_the_raw_file_is_not() -> None:
    sizes = model_sizes(_model(0.0), _model(0.8))
    assert abs(sizes.stripped_bytes - sizes.dense_bytes) < 100
    assert sizes.dense_bytes > 256 * 512 * 4
    assert sizes.gzip_bytes < 0.4 * sizes.stripped_bytes


def test_a_dense_model_hardly_compresses() -> None:
    model = _model(0.0)
    sizes = model_sizes(model, model)
    assert 0.85 * sizes.dense_bytes < sizes.gzip_bytes < sizes.dense_bytes


def test_files_are_measured_where_they_are(tmp_path: Path) -> None:
    dense, stripped = tmp_path / "dense.keras", tmp_path / "stripped.keras"
    _model(0.0).save(dense)
    _model(0.5).save(stripped)
    expected = Sizes(dense.stat().st_size, stripped.stat().st_size, gzip_size(stripped))
    assert model_sizes(dense, stripped) == expected


def test_gzip_size_is_that_of_gzip(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 10_000)
    assert gzip_size(file) == len(gzip.compress(file.read_bytes(), 9))
