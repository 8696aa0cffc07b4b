"""Random numbers that no checkpoint holds the state of."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

# TensorFlow keeps the state of the first ones in the operation, of the others in a generator that
# is no variable of the model. Those of keras.random keep it in a SeedGenerator, which is.
_DRAWS = re.compile(
    r"Multinomial|(Parameterized)?TruncatedNormal|Rng(ReadAnd)?Skip"
    r"|Random(Gamma|Poisson(V2)?|Shuffle|StandardNormal|Uniform(Int)?)"
    r"|Stateful(RandomBinomial|StandardNormal(V2)?|TruncatedNormal|Uniform(FullInt|Int)?)"
)


def warn_of_draws(functions: list[Any]) -> None:
    """Warn of what makes a training that resumes differ from one that was never stopped.

    Args:
        functions: The concrete functions of a step.
    """
    found = sorted({place for function in functions for place in _draws(function)})
    if found:
        warnings.warn(
            f"Random numbers should come from keras.random, with a SeedGenerator of the layer; got "
            f"{', '.join(found)}. No checkpoint holds what such operations draw next: a run that "
            "resumes trains with other numbers.",
            stacklevel=2,
        )


def _draws(function: Any) -> Iterator[str]:
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for inner in graph.library.function for n in inner.node_def)]
    for node in nodes:
        if _DRAWS.fullmatch(node.op):
            yield f"{node.op} at '{node.name.removesuffix('/' + node.op)}'"
