"""What several test modules need: short trainings, zeros counted, and a process of their own."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pruneplug import ConstantSparsity, UpdatePruningStep
from pruneplug.pruning.wrapper import pruned_layers

HALF = ConstantSparsity(0.5, begin_step=1, frequency=1)


def zeros(values: Any) -> int:
    """Number of zeros in a variable or an array."""
    return int(np.count_nonzero(np.asarray(keras.ops.convert_to_numpy(values)) == 0))


def dense_model(**kwargs: Any) -> keras.Model:
    """A Sequential model of 8 inputs, two Dense layers and 1 output."""
    layers = [keras.layers.Dense(6, activation="relu", **kwargs), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((8,)), *layers])


def random_batch(model: keras.Model, size: int = 4) -> tuple[Any, Any]:
    """Random inputs and targets that fit a model, whole numbers where it wants them."""
    random = np.random.default_rng(0)

    def like(spec: Any) -> Any:
        shape = (size, *spec.shape[1:])
        whole = "int" in str(spec.dtype)
        return random.integers(1, 5, shape) if whole else random.normal(size=shape).astype("f")

    chain = isinstance(model, keras.Sequential)
    x = keras.tree.map_structure(like, model.inputs[0] if chain else model.input)
    outputs = model.outputs[0] if chain else model.output
    return x, keras.tree.map_structure(lambda spec: np.zeros((size, *spec.shape[1:]), "f"), outputs)


def train(
    model: keras.Model, x: Any = None, y: Any = None, epochs: int = 1, callbacks: Any = (), **kwargs
) -> keras.callbacks.History:
    """Compile and fit a model on one batch (its own random one by default), pruning it."""
    if x is None:
        x, y = random_batch(model)
    size = len(keras.tree.flatten(x)[0])
    optimizer = keras.optimizers.Adam(0.01)
    loss = keras.losses.MeanSquaredError()  # Keras cannot load "mse" from its old h5 format
    model.compile(**{"optimizer": optimizer, "loss": loss, "jit_compile": False} | kwargs)
    callbacks = [UpdatePruningStep(), *callbacks]
    return model.fit(x, y, batch_size=size, epochs=epochs, verbose=0, callbacks=callbacks)


def check_sparse(model: keras.Model, sparsity: float = 0.5) -> None:
    """Assert that each pruned weight of a model, of which there are some, is sparse to the last."""
    wrappers = pruned_layers(model)
    assert any(wrapper.pruning_vars for wrapper in wrappers)
    for wrapper in wrappers:
        for weight, mask, _ in wrapper.pruning_vars:
            size = int(np.prod(weight.shape))
            assert zeros(weight) == zeros(mask) == size - max(round(size * (1 - sparsity)), 1)


def masks(model: keras.Model) -> list[np.ndarray]:
    """The masks of a model."""
    return [
        np.asarray(keras.ops.convert_to_numpy(mask))
        for wrapper in pruned_layers(model)
        for _, mask, _ in wrapper.pruning_vars
    ]


def in_new_process(code: str, environment: Mapping[str, str] | None = None) -> str:
    """Run Python code in a process of its own, without what TFMOT sets; return its output."""
    clean = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=clean | dict(environment or {}),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
