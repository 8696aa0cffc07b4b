"""Training on several machines: every worker computes, one speaks for all."""

from typing import Any

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


class Agreement:
    """Asks the chief, where workers would decide differently: by their clocks.

    Args:
        strategy: The `tf.distribute` strategy of the model.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        number = [tf.TensorSpec([], tf.int64)]
        alone = _cluster(strategy) is None
        self._ask = None if alone else tf.function(self._of_chief, input_signature=number)

    def __call__(self, value: int) -> int:
        """Return the chief's value; all workers must call this at the same place."""
        return value if self._ask is None else int(self._ask(value))

    def _of_chief(self, value: Any) -> Any:
        def share() -> Any:
            context = tf.distribute.get_replica_context()
            # The first replica of all is one of the chief's.
            mine = value if context.replica_id_in_sync_group == 0 else tf.zeros_like(value)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

        return self._strategy.experimental_local_results(self._strategy.run(share))[0]


def _cluster(strategy: Any) -> Any:
    cluster = getattr(strategy, "cluster_resolver", None)
    return cluster if cluster is not None and cluster.cluster_spec() else None
