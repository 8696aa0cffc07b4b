import io
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from pruneplug.command.models import mlp, saved


def test_loads_what_keras_saved(tmp_path: Path) -> None:
    model = mlp.build((4,), 3)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "model.keras")
    loaded = saved.load(tmp_path / "model.keras")
    samples = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(loaded(samples), model(samples))
    assert not loaded.compiled


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.path must be .*absent\.keras"):
        saved.load(tmp_path / "absent.keras")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_another_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ValueError, match=f"must be a .keras file; got path=.*{name}"):
        saved.load(tmp_path / name)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(ValueError, match=r"that Keras loads in safe mode; got path=.*model\.keras"):
        saved.load(tmp_path / "model.keras")


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    mlp.build((4,), 3).save(path)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(content, "w") as damaged:
        for name in whole.namelist():
            data = whole.read(name)
            damaged.writestr(name, data[:100] if name.endswith(".h5") else data)
    path.write_bytes(content.getvalue())
    with pytest.raises(ValueError, match=r"safe mode; got path=.*model\.keras"):
        saved.load(path)


def test_unknown_classes(tmp_path: Path) -> None:
    class Strange(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    model = keras.Sequential([keras.Input((4,)), Strange(), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"Strange.*register_keras_serializable"):
        saved.load(tmp_path / "model.keras")


def test_code_in_the_file_is_not_run(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe mode"):
        saved.load(tmp_path / "model.keras")


def test_a_layer_is_no_model(tmp_path: Path) -> None:
    layer = keras.layers.Dense(2)
    layer.build((None, 4))
    keras.saving.save_model(layer, tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"must hold a keras\.Model; got .* with a Dense"):
        saved.load(tmp_path / "model.keras")
