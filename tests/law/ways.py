"""The ways to train: what a user may write around a pruned model, each as one function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from pruneplug import Pruner, UpdatePruningStep

if TYPE_CHECKING:
    from law.user import User

BATCH = 4
BATCHES = 4  # of an epoch
_RANDOM = np.random.default_rng(0)
X = _RANDOM.normal(size=(BATCH * BATCHES, 6)).astype("f")
Y = _RANDOM.normal(size=(BATCH * BATCHES, 3)).astype("f")


@keras.saving.register_keras_serializable("law")
class Given(keras.Sequential):
    """A model with a training step of its own: its gradients are made up, which is quick."""

    applied = 1  # gradients in a batch

    def train_step(self, data: Any) -> dict[str, Any]:
        weights = self.trainable_variables
        for _ in range(self.applied if weights else 0):
            step = tf.cast(self.optimizer._iterations, "int32")
            gradients = [
                tf.random.stateless_normal(weight.shape, [number, step])
                for number, weight in enumerate(weights)
            ]
            self.optimizer.apply(gradients, weights)
        return {"loss": tf.reduce_sum(tf.square(self(data[0])))}


@keras.saving.register_keras_serializable("law")
class GivenTwice(Given):
    """As `Given`, with two gradients a batch."""

    applied = 2


class Gan(keras.Model):
    """Two pruned models with an optimizer each; the second takes three steps a batch."""

    def __init__(self, generator: keras.Model, critic: keras.Model):
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.built = True

    def compile(self, optimizer: Any, **kwargs: Any) -> None:
        super().compile(optimizer=optimizer, **kwargs)
        self.generator.compile(optimizer)
        self.critic.compile(keras.optimizers.SGD(0.1))

    def call(self, x: Any) -> Any:
        return self.critic(self.generator(x)[:, :1] * x)

    def train_step(self, data: Any) -> dict[str, Any]:
        for _ in range(3):
            self.critic.train_step(data)
        return dict(self.generator.train_step(data))


def sequential(kind: type, prefix: str = "") -> Callable[[], keras.Model]:
    """Return a function that builds a base, nested, and a head."""

    def build() -> keras.Model:
        base = keras.layers.Dense(5, name=f"{prefix}base", use_bias=False)
        head = keras.layers.Dense(3, name=f"{prefix}head", use_bias=False)
        nested = keras.Sequential([keras.Input((6,)), base], name=f"{prefix}nested")
        return kind([keras.Input((6,)), nested, head], name=f"{prefix}net")

    return build


class ByHand(keras.callbacks.Callback):
    """A `Pruner` stepped by the lines of a user's loop, here at a callback's places."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.pruner = Pruner(self.model)
        self.pruner.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.pruner.advance()

    def on_train_end(self, logs: Any = None) -> None:
        self.pruner.finish()


class WithoutEnds(UpdatePruningStep):
    """The callback in a loop, as TFMOT's guide writes it, that does not say when a batch ends."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


def fit(user: User, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Train in one `fit`."""
    user.model.fit(
        *user.data(), initial_epoch=user.epoch, epochs=user.epoch + epochs, **_quietly(callbacks)
    )


def fits(user: User, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Train each epoch in a `fit` of its own."""
    for epoch in range(user.epoch, user.epoch + epochs):
        user.model.fit(*user.data(), initial_epoch=epoch, epochs=epoch + 1, **_quietly(callbacks))


def unknown_length(user: User, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Train in one `fit` on data whose length Keras cannot know."""

    def batches() -> Iterator[Any]:
        x, y = user.data()
        yield from ((x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH))

    kinds = tuple(tf.TensorSpec((None, *a.shape[1:]), "float32") for a in (X, Y))
    data = tf.data.Dataset.from_generator(batches, output_signature=kinds)
    arguments = _quietly(callbacks)
    del arguments["batch_size"]
    user.model.fit(data, initial_epoch=user.epoch, epochs=user.epoch + epochs, **arguments)


def _quietly(callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, Any]:
    return {"batch_size": BATCH, "shuffle": False, "verbose": 0, "callbacks": list(callbacks)}


# Makes the function that takes one optimizer step on a batch and returns the loss.
MakeStep = Callable[["User"], Callable[[Any, Any], Any]]
Run = Callable[["User", int, Sequence[keras.callbacks.Callback]], None]


def loop(make: MakeStep) -> Run:
    """Return a loop of a user's own around a step, with callbacks called by hand."""

    def run(user: User, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        model = user.model
        calls = keras.callbacks.CallbackList(list(callbacks), model=model)
        model.stop_training = False
        calls.on_train_begin()
        step = make(user)
        for epoch in range(user.epoch, user.epoch + epochs):
            calls.on_epoch_begin(epoch)
            x, y = user.data()
            for batch in range(BATCHES):
                calls.on_train_batch_begin(batch)
                rows = slice(batch * BATCH, (batch + 1) * BATCH)
                logs = {"loss": float(step(x[rows], y[rows]))}
                calls.on_train_batch_end(batch, logs)
            calls.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        calls.on_train_end(logs)

    return run


def train_on_batch(user: User) -> Callable[[Any, Any], Any]:
    """Return the step of `train_on_batch`."""

    def step(x: Any, y: Any) -> Any:
        return np.ravel(user.model.train_on_batch(x, y))[0]

    return step


def tape(compiled: bool) -> MakeStep:
    """Return what makes a step of GradientTape and an optimizer."""

    def make(user: User) -> Callable[[Any, Any], Any]:
        def step(x: Any, y: Any) -> Any:
            with tf.GradientTape() as recorder:
                loss = tf.reduce_mean(tf.square(user.model(x, training=True) - y))
            weights = user.model.trainable_variables
            gradients = recorder.gradient(loss, weights)
            if weights:
                user.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return loss

        user.optimizer.build(user.model.trainable_variables)
        run = tf.function(step) if compiled else step
        return lambda x, y: run(tf.constant(x), tf.constant(y))

    return make


def applied(user: User) -> Callable[[Any, Any], Any]:
    """Return a step that hands gradients of the user's own making to the optimizer."""

    def step(x: Any, y: Any) -> Any:
        weights = user.model.trainable_variables
        gradients = [tf.random.normal(weight.shape) for weight in weights]
        if weights:
            user.optimizer.apply(gradients, weights)
        return np.sum(x)

    return step


def sgd(**kwargs: Any) -> Callable[[], keras.optimizers.Optimizer]:
    """Return a function that makes an optimizer with momentum."""
    return lambda: keras.optimizers.SGD(0.1, momentum=0.5, **kwargs)


@dataclass(frozen=True)
class Way:
    """A way to train.

    Args:
        run: Trains for some epochs.
        kind: The model's class.
        engine: The callback that steps the pruning.
        optimizer: Makes the optimizer.
        compiles: Arguments of `compile`; None for a loop that does without it.
        rate: Optimizer steps in a batch.
        early: How many steps before its time an update may be made.
        skips: Whether one batch holds an infinity, whose step loss scaling leaves out.
        at_batch_ends: Whether the law holds after each batch, not only at the end.
        costly: Whether it takes so long that few combinations are drawn.
    """

    run: Run
    kind: type = Given
    engine: Callable[[], keras.callbacks.Callback] = UpdatePruningStep
    optimizer: Callable[[], keras.optimizers.Optimizer] = field(default_factory=sgd)
    compiles: dict[str, Any] | None = field(default_factory=dict)
    rate: int = 1
    early: int = 0
    skips: bool = False
    policy: str = "float32"
    at_batch_ends: bool = True

    @property
    def fits(self) -> bool:
        """Whether Keras drives it."""
        return self.run in (fit, fits, unknown_length)

    @property
    def is_gan(self) -> bool:
        """Whether it trains two models inside another."""
        return self.kind is Gan


_PLAIN = keras.Sequential
_GRAPH = {"run_eagerly": False}

WAYS: dict[str, Way] = {
    "fit": Way(fit),
    "fit of Keras' own step": Way(fit, _PLAIN, compiles=_GRAPH),
    "fit, compiled": Way(fit, compiles=_GRAPH),
    "fit for each epoch": Way(fits),
    "fit for each epoch, compiled": Way(fits, _PLAIN, compiles=_GRAPH),
    "fit on data of unknown length": Way(unknown_length),
    "fit with 3 steps an execution": Way(fit, compiles=_GRAPH | {"steps_per_execution": 3}),
    "fit with 16 steps an execution": Way(fit, compiles=_GRAPH | {"steps_per_execution": 16}),
    "fit accumulating 2 gradients": Way(fit, optimizer=sgd(gradient_accumulation_steps=2), early=1),
    "fit accumulating 3 gradients, compiled": Way(
        fit, optimizer=sgd(gradient_accumulation_steps=3), early=2, compiles=_GRAPH
    ),
    "fit accumulating, 3 steps an execution": Way(
        fit,
        optimizer=sgd(gradient_accumulation_steps=2),
        early=1,
        compiles=_GRAPH | {"steps_per_execution": 3},
    ),
    "fit of two gradients a batch": Way(fit, GivenTwice, rate=2),
    "fit of two gradients, 3 steps an execution": Way(
        fit, GivenTwice, rate=2, compiles=_GRAPH | {"steps_per_execution": 3}
    ),
    "fit of a GAN": Way(fit, Gan, rate=3),
    "fit with averages": Way(fit, optimizer=sgd(use_ema=True, ema_momentum=0.5)),
    "fit with averages written back": Way(
        fit, optimizer=sgd(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3)
    ),
    "fit in mixed precision with a skipped step": Way(
        fit, _PLAIN, policy="mixed_float16", skips=True, compiles=_GRAPH
    ),
    "train_on_batch, callback by hand": Way(loop(train_on_batch)),
    "train_on_batch, no word of batch ends": Way(
        loop(train_on_batch), engine=WithoutEnds, at_batch_ends=False
    ),
    "train_on_batch, Pruner": Way(loop(train_on_batch), engine=ByHand),
    "train_on_batch accumulating, Pruner": Way(
        loop(train_on_batch),
        engine=ByHand,
        optimizer=sgd(gradient_accumulation_steps=3),
        early=2,
    ),
    "train_on_batch of two gradients, Pruner": Way(
        loop(train_on_batch), GivenTwice, ByHand, rate=2
    ),
    "GradientTape": Way(loop(tape(compiled=False)), _PLAIN, ByHand, compiles=None),
    "GradientTape, compiled": Way(loop(tape(compiled=True)), _PLAIN, compiles=None),
    "optimizer.apply": Way(loop(applied), engine=ByHand, compiles=None),
    "optimizer.apply accumulating": Way(
        loop(applied),
        engine=ByHand,
        compiles=None,
        optimizer=sgd(gradient_accumulation_steps=2),
        early=1,
    ),
}
