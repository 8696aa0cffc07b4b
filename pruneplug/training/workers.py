"""Training on several machines: every worker computes, one speaks for all."""

from typing import Any

import numpy as np
import tensorflow as tf


def is_chief(strategy: Any) -> bool:
    """Return whether this process is the one that writes checkpoints, metrics and progress.

    Args:
        strategy: The `tf.distribute` strategy of the model.
    """
    cluster = _cluster(strategy)
    if cluster is None:
        return True
    jobs = cluster.cluster_spec().jobs
    first = "chief" if "chief" in jobs else "worker"
    return (cluster.task_type, cluster.task_id) == (first, 0)


class Workers:
    """Exchanges numbers between the processes that train a model together.

    All must call a method at the same place; a process that is alone gets back what it gives.

    Args:
        strategy: The `tf.distribute` strategy of the model.

    Attributes:
        replicas: The numbers of this process' replicas, among those of all.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._alone = _cluster(strategy) is None
        self._reduce = tf.function(self._summed, autograph=False)
        self.replicas: list[int] = []
        strategy.experimental_distribute_values_from_function(self._note)

    def _note(self, context: Any) -> Any:
        self.replicas.append(context.replica_id_in_sync_group)
        return tf.constant(0)

    def of_chief(self, value: int) -> int:
        """Return the chief's value: its clock decides, for one."""
        own = value if is_chief(self._strategy) else 0
        return int(self.sum(np.array(own, np.int64)))

    def sum(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the sum of an array over all processes; all give the same shape and dtype."""
        if self._alone:
            return array
        result: np.ndarray[Any, Any] = self._reduce(tf.constant(array)).numpy()
        return result

    def _summed(self, value: Any) -> Any:
        def own() -> Any:
            context = tf.distribute.get_replica_context()
            # Once for a process, however many replicas it has.
            first = context.replica_id_in_sync_group == self.replicas[0]
            mine = tf.where(first, value, tf.zeros_like(value))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

        return self._strategy.experimental_local_results(self._strategy.run(own))[0]


def _cluster(strategy: Any) -> Any:
    cluster = getattr(strategy, "cluster_resolver", None)
    return cluster if cluster is not None and cluster.cluster_spec() else None
