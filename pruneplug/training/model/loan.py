"""The model that the caller has given: lent to a run, and given back as it was."""

import warnings
from typing import Self

import keras

from pruneplug.pruning import in_place, keras_internals, surgery
from pruneplug.pruning.constraint import MaskConstraint
from pruneplug.pruning.prune import strip_pruning
from pruneplug.pruning.wrapper import pruned_layers
from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.checkpoints.variables import optimizers, read_variables
from pruneplug.training.feeds.base import Feed
from pruneplug.training.model.build import batch_spec
from pruneplug.training.model.copies import COMPILATION, check_copy, stripped_copy

# A model that is trained itself, since it is pruned already or in place, is compiled for it.
_COMPILED = (
    *COMPILATION,
    "compiled",
    "loss",
    "steps_per_execution",
    "stop_training",
    *keras_internals.HOW_TO_RUN,
)


class Loan:
    """Trains on the caller's own layers, so that callbacks and losses that hold them see it.

    What comes of it is a copy, and the caller's model has its weights back at the end, however
    the run ends. So each run is that of a fresh model, and no result changes another.

    Args:
        model: The caller's.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._pruned = bool(pruned_layers(model))
        self._constraints = {id(v): v.constraint for v in model.variables}
        self._compiled = {name: vars(model)[name] for name in _COMPILED if name in vars(model)}
        self._values: list[tuple[keras.Variable, Array]] = []

    def __enter__(self) -> Self:
        """Lend the model."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        for variable, value in self._values:
            variable.assign(value)
        for name in _COMPILED:
            vars(self._model).pop(name, None)
        vars(self._model).update(self._compiled)
        for wrapper in pruned_layers(self._model):
            wrapper.engine = None  # the run may have ended before its engine did
        for variable in self._model.variables:
            if not self._pruned and isinstance(variable.constraint, MaskConstraint):
                before = self._constraints.get(id(variable), variable.constraint.inner)
                variable.constraint = before
        if not self._pruned and not surgery.is_graph(self._model):
            in_place.take_out(self._model)

    def begin(self, trained: keras.Model) -> None:
        """Remember all weights, before the first step and before a checkpoint is restored.

        Args:
            trained: The model that is trained, with all its variables created.
        """
        variables = [*trained.variables, *(v for o in optimizers(trained) for v in o.variables)]
        values = [value for _, value in read_variables(variables)]
        self._values = list(zip(variables, values, strict=True))

    def result_model(self, trained: keras.Model, feed: Feed) -> keras.Model:
        """Return the trained model without pruning: a copy, unless it cannot be copied.

        Args:
            trained: At its end.
            feed: Shows what its inputs look like.
        """
        try:
            copy = stripped_copy(trained)
            x, *_ = keras.utils.unpack_x_y_sample_weight(batch_spec(feed, trained))
            check_copy(copy, trained, x)
        except Exception as error:
            warnings.warn(
                f"Model '{trained.name}' cannot be copied ({error}): the model that was given "
                "keeps the trained weights, and shares them with the result. Training it again "
                "changes both. Hold layers as attributes of layers to have results of their own.",
                stacklevel=2,
            )
            self._values = []
            return strip_pruning(trained)
        return copy
