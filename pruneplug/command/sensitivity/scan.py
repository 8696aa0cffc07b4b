"""The scan itself: prune one weight, measure, put it back.

One dense model is trained once, and masks are put on it for the time of an evaluation. A sweep
that trained a model for each weight and sparsity would cost a training where this costs an
evaluation, and would answer another question: how well the other layers learn to make up for it.

Reference:
    Han et al., Learning both Weights and Connections for Efficient Neural Networks (2015),
    https://arxiv.org/abs/1506.02626
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruneplug.command.sensitivity.sensitivity import Cell, Sensitivity
from pruneplug.pruning.patterns import Pattern
from pruneplug.pruning.ranking import kept_count
from pruneplug.pruning.weights import named_weights

_BATCH = 256


@dataclass(frozen=True)
class Candidate:
    """A weight that can be pruned.

    Args:
        name: "<layer>/<weight>".
        variable: Its values.
        pattern: The shape in which they are pruned.
    """

    name: str
    variable: keras.Variable
    pattern: Pattern


def candidates(pruned: keras.Model) -> list[Candidate]:
    """Return the weights that take part in the pruning of a model.

    Args:
        pruned: A model from `prune_low_magnitude`.
    """
    return [
        Candidate(name, variable, layer.pattern)
        for name, layer, (variable, *_) in named_weights(pruned)
        if variable.trainable
    ]


def scan(
    weights: Iterable[Candidate], sparsities: Sequence[float], accuracy: Callable[[], float]
) -> Sensitivity:
    """Measure what it costs to prune each weight alone. All weights end as they were.

    Args:
        weights: Of a trained model.
        sparsities: In [0, 1).
        accuracy: Evaluates the model as its weights stand.
    """
    cells = [cell for weight in weights for cell in _cells(weight, sparsities, accuracy)]
    return Sensitivity(accuracy(), cells)


def accuracy_on(model: keras.Model, x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    """Return a function that gives a classifier's accuracy.

    Args:
        model: Gives a score for each class.
        x: Samples.
        y: Class ids (samples,).
    """

    def measure() -> float:
        parts = range(0, len(x), _BATCH)
        # predict() would set up a data pipeline each time, which takes longer than the prediction.
        hits = [model.predict_on_batch(x[i : i + _BATCH]).argmax(-1) == y[i : i + _BATCH].ravel()
                for i in parts]  # fmt: skip
        return float(np.mean(np.concatenate(hits)))

    return measure


def _cells(
    weight: Candidate, sparsities: Sequence[float], accuracy: Callable[[], float]
) -> Iterator[Cell]:
    values = keras.ops.convert_to_numpy(weight.variable)
    scores = weight.pattern.scores(values)
    units = weight.pattern.units(values.shape)
    try:
        for asked in sparsities:
            kept = kept_count(units, asked)
            mask: Any = weight.pattern.mask(scores, kept, values.shape)[0]
            weight.variable.assign(np.where(mask, values, np.zeros_like(values)))
            yield Cell(weight.name, asked, 1.0 - float(mask.mean()), accuracy())
    finally:
        weight.variable.assign(values)
