"""Saved after any step, loaded in a new process and trained on: as if it had not stopped."""

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from places import TESTS
from sparse import HALF, check_sparse, dense_model, in_new_process, masks, random_batch, train

from pruneplug import (
    ConstantSparsity,
    PolynomialDecay,
    PruneLowMagnitude,
    PruningSchedule,
    UpdatePruningStep,
    prune_low_magnitude,
    sparsity_report,
    strip_pruning,
)
from pruneplug.pruning.wrapper import pruned_layers

STEPS = 7
# Updates are due at 2, 4, 6 and 7, so that weights are dense inside steps 1, 3, 5 and 6.
SCHEDULE = PolynomialDecay(0.25, 0.75, begin_step=2, end_step=7, frequency=2)
X = np.random.default_rng(0).normal(size=(4 * STEPS, 8)).astype("f")
Y = X[:, :1] * 2


def make() -> keras.Model:
    """A compiled pruned model, the same each time."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = prune_low_magnitude(dense_model(), SCHEDULE)
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    return model


def run(model: keras.Model, first: int, last: int) -> list[np.ndarray]:
    """Train on the batches from first to last; return all weights, masks and optimizer state."""
    rows = slice(4 * first, 4 * last)
    model.fit(
        X[rows], Y[rows], batch_size=4, shuffle=False, verbose=0, callbacks=[UpdatePruningStep()]
    )
    return state(model)


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def save(model: keras.Model, folder: Path, kind: str) -> None:
    if kind == "checkpoint":
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(folder / kind))
    elif kind == "weights.h5":
        model.save_weights(folder / "model.weights.h5")
    else:
        model.save(folder / "model.keras")


def load(folder: Path, kind: str, into: keras.Model) -> keras.Model:
    """Load what `save` has written; formats without the architecture go into a model."""
    if kind == "keras":
        return keras.models.load_model(folder / "model.keras")
    into.optimizer.build(into.trainable_variables)
    if kind == "checkpoint":
        checkpoint = tf.train.Checkpoint(model=into, optimizer=into.optimizer)
        checkpoint.read(str(folder / kind)).assert_consumed()
    else:
        into.load_weights(folder / "model.weights.h5")
    return into


# Not the old h5: Keras restores its optimizer without variables, for dense models too.
FORMATS = ["keras", "weights.h5", "checkpoint"]
# Keras warns that its old format is old.
old_format = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


def test_training_goes_on_in_a_new_process_after_any_step(tmp_path: Path) -> None:
    whole = run(make(), 0, STEPS)
    model = make()
    for step in range(1, STEPS):
        run(model, step - 1, step)
        folder = tmp_path / str(step)
        folder.mkdir()
        for kind in FORMATS:
            save(model, folder, kind)
    np.savez(tmp_path / "whole.npz", *whole)
    code = f"""
        import pathlib, numpy as np
        from test_saving import *
        whole = list(np.load({str(tmp_path / "whole.npz")!r}).values())
        into = make()
        for step in range(1, STEPS):
            for kind in FORMATS:
                model = load(pathlib.Path({str(tmp_path)!r}) / str(step), kind, into)
                print(step, kind, same(run(model, step, STEPS), whole))
    """
    lines = in_new_process(code, {"PYTHONPATH": f"{TESTS}:{TESTS}/pruning"}).split("\n")[:-1]
    assert len(lines) == (STEPS - 1) * len(FORMATS)
    assert [line for line in lines if not line.endswith("True")] == []


@old_format
@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [(lambda: L.LSTM(4), (3, 5)), (lambda: L.Bidirectional(L.GRU(4)), (3, 5)), (None, (3, 6))],
)
def test_layers_of_several_weights_are_saved(tmp_path: Path, kind: str, layer, shape) -> None:
    inputs = keras.Input(shape)
    outputs = layer()(inputs) if layer else L.MultiHeadAttention(2, 3)(inputs, inputs)
    model = prune_low_magnitude(keras.Model(inputs, outputs), HALF)
    train(model)
    model.save(tmp_path / f"model.{kind}")
    loaded = keras.models.load_model(tmp_path / f"model.{kind}")
    x, _ = random_batch(model)
    assert np.array_equal(loaded(x), model(x))
    assert same(masks(loaded), masks(model))
    check_sparse(loaded)
    assert sparsity_report(loaded) == sparsity_report(model)


def test_a_subclassed_model_saves_and_loads_its_weights(tmp_path: Path) -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a = L.Dense(6)
            self.b = L.Dense(1)

        def call(self, x: Any) -> Any:
            return self.b(self.a(x))

    def pruned() -> keras.Model:
        model = Own()
        model(X[:4])
        prune_low_magnitude(model, SCHEDULE)
        model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    first = pruned()
    run(first, 0, 3)
    first.save_weights(tmp_path / "own.weights.h5")
    checkpoint = tf.train.Checkpoint(model=first, optimizer=first.optimizer)
    path = checkpoint.save(str(tmp_path / "own"))
    second, third = pruned(), pruned()
    second.load_weights(tmp_path / "own.weights.h5")
    tf.train.Checkpoint(model=third, optimizer=third.optimizer).restore(path).assert_consumed()
    whole = run(first, 3, STEPS)
    assert same(run(third, 3, STEPS), whole)
    assert same(run(second, 3, STEPS), whole)


def test_a_pruned_and_a_stripped_model_are_exported(tmp_path: Path) -> None:
    model = make()
    run(model, 0, STEPS)
    expected = model(X)
    for name, exported in [("pruned", model), ("stripped", strip_pruning(model))]:
        exported.export(str(tmp_path / name), verbose=False)
        served = tf.saved_model.load(str(tmp_path / name))
        assert np.allclose(served.serve(X), expected, atol=1e-6)


def test_a_pruned_model_can_be_cloned() -> None:
    model = make()
    run(model, 0, 3)
    clone = keras.models.clone_model(model)
    assert [layer.get_config() for layer in clone.layers] == [
        layer.get_config() for layer in model.layers
    ]
    assert all(int(layer.pruning_step) == -1 for layer in clone.layers)
    assert not any(a is b for a in clone.variables for b in model.variables)
    clone.compile("adam", "mse", jit_compile=False)
    run(clone, 0, STEPS)
    check_sparse(clone, 0.75)


@pytest.mark.parametrize(
    "fields",
    [
        {"pruning_schedule": ConstantSparsity(0.3, 2, 9, 4)},
        {"pruning_schedule": PolynomialDecay(0.1, 0.7, 1, 9, 2.0, 5)},
        {"block_size": (2, 3), "block_pooling_type": "MAX"},
        {"sparsity_m_by_n": (2, 4)},
        {"name": "mine", "trainable": False},
    ],
)
def test_every_field_of_a_wrapper_comes_back(fields: dict[str, Any], tmp_path: Path) -> None:
    wrapper = PruneLowMagnitude(L.Dense(4), **fields)
    model = keras.Sequential([keras.Input((8,)), wrapper])
    model.save(tmp_path / "model.keras")
    (loaded,) = keras.models.load_model(tmp_path / "model.keras").layers
    (rebuilt,) = keras.models.model_from_json(model.to_json()).layers
    config = wrapper.get_config()
    for other in (loaded, rebuilt, PruneLowMagnitude.from_config(config)):
        assert other.get_config() | {"layer": None} == config | {"layer": None}
        assert other.layer.get_config() == wrapper.layer.get_config()
        assert {name: getattr(other, name) for name in fields} == fields
        assert other.pattern == wrapper.pattern


def _saved_with(schedule: PruningSchedule, path: Path) -> None:
    model = prune_low_magnitude(dense_model(), schedule)
    model.save(path)


def test_a_schedule_of_the_users_own_must_be_known_to_keras(tmp_path: Path) -> None:
    class Mine(PruningSchedule):
        def __init__(self, sparsity: float):
            self.value = sparsity

        def __call__(self, step: int) -> tuple[bool, float]:
            return step == 1, self.value

        def get_config(self) -> dict[str, Any]:
            return {"sparsity": self.value}

    path = tmp_path / "model.keras"
    _saved_with(Mine(0.5), path)
    with pytest.raises((ValueError, TypeError), match=r"register_keras_serializable.*custom_obj"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, custom_objects={"Mine": Mine})
    assert type(loaded.layers[0].pruning_schedule) is Mine
    train(loaded)
    check_sparse(loaded)
    keras.saving.register_keras_serializable("tests")(Mine)
    _saved_with(Mine(0.25), path)
    assert keras.models.load_model(path).layers[0].pruning_schedule.value == 0.25


def test_a_file_loads_where_pruneplug_is_imported_and_no_more(tmp_path: Path) -> None:
    make().save(tmp_path / "model.keras")
    loaded = f"keras.models.load_model({str(tmp_path / 'model.keras')!r})"
    code = f"import keras, pruneplug; print(len({loaded}.layers))"
    assert in_new_process(code).split() == ["2"]


def test_weights_of_a_wrapper_are_those_of_its_layer() -> None:
    model = make()
    (first, second) = (wrapper.get_weights() for wrapper in pruned_layers(model))
    assert [w.shape for w in first + second] == [(8, 6), (6,), (6, 1), (1,)]
    pruned_layers(model)[1].set_weights([np.ones((6, 1)), np.zeros(1)])
    assert np.all(pruned_layers(model)[1].layer.kernel == 1)


def test_masks_take_one_byte_a_weight_in_files_and_checkpoints(tmp_path: Path) -> None:
    model = make()
    run(model, 0, 2)
    model.save_weights(tmp_path / "model.weights.h5")
    kinds: dict[Any, int] = {}
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(
            lambda _, found: (
                kinds.update({found.dtype: kinds.get(found.dtype, 0) + found.size})
                if isinstance(found, h5py.Dataset)
                else None
            )
        )
    size = sum(mask.size for mask in masks(model))
    assert kinds[np.dtype(bool)] == size
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    reader = tf.train.load_checkpoint(path)
    held = [name for name in reader.get_variable_to_dtype_map() if "mask" in name]
    assert sum(reader.get_tensor(name).nbytes for name in held) == size
