"""What each replica has for itself, as the statistics of a BatchNormalization."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pruneplug.training.checkpoints.arrays import Array
from pruneplug.training.workers import Workers


class Replicas:
    """Reads and writes the variables that replicas do not share.

    Under a distribution strategy each replica updates what does not train by itself: of such a
    variable any other reader sees one replica's value, or a sum.

    Args:
        strategy: The `tf.distribute` strategy of the model.
        variables: Of model and metrics.
    """

    def __init__(self, strategy: Any, variables: Sequence[keras.Variable]) -> None:
        self._count = strategy.num_replicas_in_sync
        self._variables = [variable for variable in variables if _is_own(variable)]
        self._workers = Workers(strategy)

    def read(self) -> Iterator[tuple[str, Array]]:
        """Yield the path of each variable and its values, one below the other by replica."""
        for variable in self._variables:
            owns = [own.numpy() for own in variable.value.values]
            # Other processes have the other rows. Bytes can be summed, whatever they stand for.
            held = np.zeros((self._count, owns[0].nbytes), np.int32)
            held[self._workers.replicas] = [np.frombuffer(own.tobytes(), np.uint8) for own in owns]
            together = self._workers.sum(held).astype(np.uint8)
            yield variable.path, together.view(owns[0].dtype).reshape(-1, *owns[0].shape)

    def write(self, values: Sequence[tuple[str, Array]]) -> None:
        """Give each replica its own of the values that `read` returned.

        Nothing is written when they are of another number of replicas.
        """
        for variable, (_, array) in zip(self._variables, values, strict=False):
            if array.shape == (self._count, *variable.shape):
                for own, replica in zip(variable.value.values, self._workers.replicas, strict=True):
                    own.assign(array[replica])


def _is_own(variable: keras.Variable) -> bool:
    value = variable.value
    return (
        isinstance(value, tf.distribute.DistributedValues)
        and not variable.trainable
        and value.aggregation != tf.VariableAggregation.ONLY_FIRST_REPLICA
    )
