"""What a `tf.data` pipeline draws at random, and whether its saved state holds all of that."""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

# How TensorFlow calls the iterators of operations that draw, in a file of iterator state.
_ITERATOR = re.compile(rb"Iterator::[\w:\[\]]*::\w*(?:Shuffle|Random)\w*@@")
_OPERATION = re.compile(r"(Shuffle|Random)\w*Dataset")
_FAIL = 2  # of `external_state_policy`: refuse what keeps state outside the pipeline


class Draw(NamedTuple):
    """A shuffle, or a source of random numbers.

    Attributes:
        seeded: Whether its seed is known, so that another process draws the same.
        anew: Whether each pass over the data draws others.
    """

    seeded: bool
    anew: bool


@dataclass(frozen=True)
class Pipeline:
    """What decides whether a data set's batches can be had again.

    Attributes:
        draws: All of its draws.
        restorable: Whether every part is of a kind that TensorFlow restores.
    """

    draws: tuple[Draw, ...]
    restorable: bool

    @property
    def seeded(self) -> bool:
        """Whether another process draws the same."""
        return all(draw.seeded for draw in self.draws)

    @property
    def repeats(self) -> bool:
        """Whether each pass over the data yields the same batches."""
        return self.seeded and not any(draw.anew for draw in self.draws)

    def can_go_on_from(self, files: list[Path]) -> bool:
        """Tell whether files of iterator state are what a data set should go on from.

        How often a shuffle has shuffled is saved with its iterator alone, and operations let go of
        an iterator that has run dry: `batch` does with the short last batch, `concatenate` when
        the other data set begins. A restored shuffle would then begin with its first order again.
        Without a seed that is as good as any.
        """
        complete = sum(_iterators(path) for path in files) == len(self.draws)
        return self.restorable and (complete or not self.seeded)


def read_pipeline(dataset: Any) -> Pipeline | None:
    """Return what is known of a data set; None if it keeps state that TensorFlow does not see.

    Python code is such state, or a stateful operation in a `map`. The graph contains tensors that
    the data set is made of: reading it costs a copy of them for the moment.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=dataset._variant_tensor,  # the only handle of a data set for such calls
            external_state_policy=_FAIL,
            strip_device_assignment=True,
        )
    except tf.errors.OpError:
        return None
    # A data set that is used twice is there twice, as its iterators are.
    nodes = {node.name: node for node in GraphDef.FromString(graph.numpy()).node}
    draws = [node for node in nodes.values() if _OPERATION.match(node.op)]
    if not nodes:  # so it comes out if it is larger than a message may be
        return None
    restorable = all(_is_restorable(node, nodes) for node in nodes.values())
    return Pipeline(tuple(_draw(node, nodes) for node in draws), restorable)


def _draw(node: Any, nodes: Mapping[str, Any]) -> Draw:
    # A shuffle takes the data set, the size of its buffer and two seeds; numbers take the seeds.
    first = 0 if node.op.startswith("Random") else 2
    seeds = [int(_constant(nodes[name])) for name in node.input[first : first + 2]]
    flags = ("reshuffle_each_iteration", "rerandomize_each_iteration")
    return Draw(any(seeds), any(node.attr[flag].b for flag in flags))


def _is_restorable(node: Any, nodes: Mapping[str, Any]) -> bool:
    if node.op.startswith("Snapshot"):
        return False
    if node.op.startswith("CacheDataset"):  # in a file: restoring it ends the process
        return not _constant(nodes[node.input[1]])
    # A function that uses a data set opens one iterator after the other on it, or several at once.
    variant = tf.variant.as_datatype_enum
    given = (value.list.type for key, value in node.attr.items() if "arguments" in key)
    return not any(variant in types for types in given)


def _constant(node: Any) -> Any:
    return tf.make_ndarray(node.attr["value"].tensor).item()


def _iterators(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return len({match.group() for match in _ITERATOR.finditer(data)})
