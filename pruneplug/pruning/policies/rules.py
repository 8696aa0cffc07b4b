"""Policies that leave out single layers, by one property each."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import keras

from pruneplug.pruning import layer_parts, registry
from pruneplug.pruning.policies.base import PruningPolicy


class _Rule(PruningPolicy):
    """A policy that any model fits and that needs no more than the layer to say why."""

    def allow_pruning(self, layer: keras.layers.Layer) -> bool:
        """Return whether this layer may be pruned."""
        return self._reason(layer) is None

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Accept any model."""

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return why this layer is left out, or None when it may be pruned."""
        return self._reason(layer)

    @abstractmethod
    def _reason(self, layer: keras.layers.Layer) -> str | None: ...


class SkipUnsupported(_Rule):
    """Leaves out what cannot be pruned, or not in the pattern that was asked for.

    Without it, one such layer in a model is an error.
    """

    skips_unsupported = True

    def _reason(self, layer: keras.layers.Layer) -> str | None:
        reason = registry.unsupported_reason(layer)
        return None if reason is None else f"not supported: {reason}"


class ByName(_Rule):
    """Prunes layers by their names, or by that of a model or layer of one's own they are part of.

    Args:
        only: Patterns as in a shell ("conv*"); one must match for a layer to be pruned.
        exclude: Patterns none of which may match.

    Raises:
        ValueError: A pattern matches no layer of the model that is pruned.

    Example:
        >>> policy = ByName(exclude=["head", "*_projection"])
        >>> policy.allow_pruning(keras.layers.Dense(10, name="head"))
        False
    """

    def __init__(self, only: str | Sequence[str] = "*", exclude: str | Sequence[str] = ()):
        self.only = (only,) if isinstance(only, str) else tuple(only)
        self.exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError when a pattern matches no layer: it may be misspelt."""
        names = list(
            dict.fromkeys(x for part in layer_parts.model_parts(model) for x in _names(part))
        )
        for pattern in (*self.only, *self.exclude):
            if not _matches(names, pattern):
                raise ValueError(
                    f"A name pattern must match a layer of model '{model.name}'; "
                    f"got {pattern!r}, and the layers are {', '.join(names)}."
                )

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return why this layer of the model is left out, or None when it may be pruned."""
        return self._match(_names(layer_parts.part_of(model, layer)))

    def _reason(self, layer: keras.layers.Layer) -> str | None:
        return self._match([layer.name])

    def _match(self, names: Sequence[str]) -> str | None:
        for pattern in self.exclude:
            if _matches(names, pattern):
                return f"its name is excluded by {pattern!r}"
        if any(_matches(names, pattern) for pattern in self.only):
            return None
        return f"its name matches none of {', '.join(map(repr, self.only))}"


def _names(part: layer_parts.Part) -> list[str]:
    """Return what a part may be called: as a layer is in the model, or as reports do."""
    return [part.member, part.name, *(layer.name for layer in part.layers)]


def _matches(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


class MinimumSize(_Rule):
    """Leaves out small layers, where zeros cost accuracy and save next to nothing.

    Args:
        weights: Fewest prunable values of a layer that is pruned, biases not counted.

    Raises:
        ValueError: `weights` is negative, or the model is not built.
    """

    def __init__(self, weights: int):
        if weights < 0:
            raise ValueError(f"weights must be at least 0; got weights={weights}.")
        self.weights = weights

    def ensure_model_supports_pruning(self, model: keras.Model) -> None:
        """Raise ValueError when the model is not built, since its sizes are then unknown."""
        if not model.built:
            raise ValueError(
                f"Model '{model.name}' must be built for its layers to be judged by their size. "
                "Give it an Input, or call it on a batch first."
            )

    def _reason(self, layer: keras.layers.Layer) -> str | None:
        if registry.unsupported_reason(layer) is not None:
            return None
        size = sum(math.prod(weight.shape) for _, weight in registry.prunable_weights(layer))
        if size >= self.weights:
            return None
        return f"it has {size} weights to prune, fewer than {self.weights}"


class KeepEndsDense(_Rule):
    """Leaves the first and the last layer of a model that could be pruned dense.

    Args:
        first: Whether to leave out the first.
        last: Whether to leave out the last.

    Reference:
        Gale et al., The State of Sparsity in Deep Neural Networks (2019),
        https://arxiv.org/abs/1902.09574
    """

    def __init__(self, first: bool = True, last: bool = True):
        self.first = first
        self.last = last

    def skip_reason(self, layer: keras.layers.Layer, model: keras.Model) -> str | None:
        """Return why this layer of the model is left out, or None when it may be pruned."""
        parts = [part.layer for part in layer_parts.model_parts(model)]
        ends = [(self.first, "first", parts), (self.last, "last", reversed(parts))]
        for wanted, name, candidates in ends:
            if wanted and layer is next(filter(registry.has_prunable_weights, candidates), None):
                return f"it is the {name} layer that could be pruned"
        return None

    def _reason(self, layer: keras.layers.Layer) -> str | None:
        # Which layers are the ends only the model can say.
        return None
