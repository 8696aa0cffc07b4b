"""Which parts of which layers are pruned, and why the others are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras

from pruneplug.pruning import registry
from pruneplug.pruning.allocation import Prunable, UniformAllocation
from pruneplug.pruning.layer_parts import Owners, Part
from pruneplug.pruning.patterns import Pattern, make_pattern
from pruneplug.pruning.schedules import are_alike
from pruneplug.pruning.sparsity import is_within, join_names
from pruneplug.pruning.wrapper import PruneLowMagnitude

# Says why a part is left out; None when it may be pruned.
Judge = Callable[[Part], str | None]

_PATTERN = ("block_size", "block_pooling_type", "sparsity_m_by_n")


class Selection:
    """What is pruned of the layers of a model, or of a list of layers.

    Args:
        parts: Those of all layers.
        wrappers: Those that are in these layers already.
        judge: The policy.
        arguments: Of `PruneLowMagnitude`.
        skips_unsupported: Whether what cannot be pruned is left out instead of being an error.

    Attributes:
        skipped: The reason for each part that is left out, or weight of one, by its name.

    Raises:
        ValueError: A part cannot be pruned, or is pruned already in another way.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        wrappers: Iterable[PruneLowMagnitude],
        judge: Judge,
        arguments: Mapping[str, Any],
        skips_unsupported: bool = False,
    ):
        self._parts = [part for part in parts if part.takes_part]
        self._wrappers = {id(wrapper.layer): wrapper for wrapper in wrappers}
        self._owners = Owners(self._parts, self._wrappers)
        self._judge = judge
        self._arguments = arguments
        self._pattern = _pattern(arguments)
        self._skips_unsupported = skips_unsupported
        self._chosen: dict[int, list[str]] = defaultdict(list)
        self._restricted: set[int] = set()
        self._wrapped: dict[int, PruneLowMagnitude] = {}
        self.skipped: dict[str, str] = {}
        for part in self._parts:
            self._select(part)
        self._summarize()
        self._check_again()
        self._check_allocation()

    def __call__(self, layer: Any) -> Any:
        """Return the layer wrapped, or the layer itself when it is left out."""
        if id(layer) not in self._chosen:
            return layer
        only = self._chosen[id(layer)] if id(layer) in self._restricted else None
        if id(layer) not in self._wrapped:
            wrapper = PruneLowMagnitude(layer, **self._arguments, weight_names=only)
            self._wrapped[id(layer)] = wrapper
        return self._wrapped[id(layer)]

    def _wrapper(self, part: Part) -> PruneLowMagnitude | None:
        """Return the wrapper that a part is in already."""
        around = (self._wrappers[id(x)] for x in part.layers if id(x) in self._wrappers)
        return next(around, None)

    def _select(self, part: Part) -> None:
        wrapper = self._wrapper(part)
        if wrapper is not None and _prunes(wrapper, part):
            return
        reason = self._judge(part) or self._unfit(part)
        borrowed = {} if reason else self._owners.foreign(part)
        paths = (
            [path for path in part.weights() if path not in borrowed] if borrowed else [part.path]
        )
        if not paths:
            reason = f"it uses the weights of '{next(iter(borrowed.values())).name}'"
        if reason is not None:
            self.skipped[part.name] = reason
        if wrapper is None:
            member = id(part.layers[0])
            if reason is None:
                self._chosen[member] += paths
            if reason is not None or borrowed:
                self._restricted.add(member)

    def _unfit(self, part: Part) -> str | None:
        """Return why a part cannot be pruned, or not in this pattern.

        Raises:
            ValueError: The same, when such parts are not to be skipped.
        """
        try:
            registry.check_supported(part.layer)
            for path, weight in part.weights().items():
                self._pattern.check(weight.shape, join_names(part.layers[0].name, path))
        except ValueError as error:
            if not self._skips_unsupported:
                raise
            # What follows the first sentence is the way out, which the user has taken.
            return str(error).partition(". ")[0]
        return None

    def _summarize(self) -> None:
        """Name a layer instead of all its parts where it is left out as a whole."""
        reasons: dict[str, list[str | None]] = defaultdict(list)
        for part in self._parts:
            reasons[part.member].append(self.skipped.get(part.name))
        for part in self._parts:
            first, *others = reasons[part.member]
            if part.path and first is not None and all(other == first for other in others):
                self.skipped.pop(part.name, None)
                self.skipped[part.member] = first

    def _check_again(self) -> None:
        """Refuse what would not be done, since it is done already in another way.

        What was pruned with a whole model is asked for again with the arguments it has, or left
        alone by the policy with all else that is pruned. Layers that the user has wrapped one by
        one keep their arguments, as in TFMOT, where those asked for take effect on another one.
        """
        left: ValueError | None = None
        kept: ValueError | None = None
        repeated = False
        for part, wrapper in self._pruned_parts():
            reason, other = self._judge(part), _difference(wrapper, self._arguments)
            if not _prunes(wrapper, part):
                if reason is None:
                    raise _again(part, "no policy that leaves it out, as the first one did")
            elif reason is not None:
                if wrapper.with_model:
                    left = left or _again(part, f"a policy that leaves it out: {reason}")
            elif other is None:
                repeated = True
            elif wrapper.with_model:
                raise _again(part, other)
            else:
                kept = kept or _again(part, other)
        if left and (repeated or not self._chosen):
            raise left
        if kept and not repeated and not self._chosen:
            raise kept

    def _check_allocation(self) -> None:
        """Refuse what would have no effect, or be refused at the last update."""
        allocation, schedule = (self._arguments[n] for n in ("allocation", "pruning_schedule"))
        if allocation is None or not all(part.layer.built for part in self._parts):
            return
        shared = list(self._sharing())
        allocation.check_names([name for name, _ in shared])
        if (target := getattr(schedule, "target", None)) is not None:
            shapes = [(name, tuple(w.shape)) for name, w in shared if w.trainable]
            weights = [Prunable(name, shape, self._pattern.units(shape)) for name, shape in shapes]
            allocation.check_room(weights, target)

    def _sharing(self) -> Iterator[tuple[str, keras.Variable]]:
        """Yield name and variable of all weights that are pruned by these arguments."""
        for part in self._parts:
            wrapper = self._wrapper(part)
            another = wrapper is not None and _difference(wrapper, self._arguments) is not None
            if not another and self.skipped.keys().isdisjoint((part.name, part.member)):
                borrowed = self._owners.foreign(part)
                for path, weight in part.weights().items():
                    if path not in borrowed:
                        yield join_names(part.member, path), weight

    def _pruned_parts(self) -> Iterator[tuple[Part, PruneLowMagnitude]]:
        for part in self._parts:
            wrapper = self._wrapper(part)
            if wrapper is not None and not self._owners.foreign(part):
                yield part, wrapper


def _prunes(wrapper: PruneLowMagnitude, part: Part) -> bool:
    """Return whether a part of what a wrapper holds is pruned, and not left out."""
    if not wrapper.built:
        return wrapper.only is None or is_within(part.path, wrapper.only)
    own = {id(weight) for weight in part.weights().values()}
    return any(id(weight) in own for weight, *_ in wrapper.pruning_vars)


def _pattern(arguments: Mapping[str, Any]) -> Pattern:
    return make_pattern(*(arguments[name] for name in _PATTERN))


def _difference(wrapper: PruneLowMagnitude, arguments: Mapping[str, Any]) -> str | None:
    """Name an argument that a wrapper has another value of; None when it does what they ask."""
    same = dict.fromkeys(_PATTERN, wrapper.pattern == _pattern(arguments))
    same["pruning_schedule"] = are_alike(wrapper.pruning_schedule, arguments["pruning_schedule"])
    same["allocation"] = wrapper.allocation == (arguments["allocation"] or UniformAllocation())
    values = {name: (arguments[name], getattr(wrapper, name)) for name in same if not same[name]}
    changes = [
        f"{name}={asked!r}, and it has {held!r}"
        for name, (asked, held) in values.items()
        if repr(asked) != repr(held)
    ]
    return "; ".join(changes) or None


def _again(part: Part, what: str) -> ValueError:
    return ValueError(
        f"Layer '{part.name}' must be stripped before it is pruned in another way; got {what}. "
        "Call strip_pruning() on the model first, which leaves the weights as they are; a single "
        "wrapper has the layer in .layer. To prune further layers only, leave out all that are "
        "pruned with a pruning_policy."
    )
