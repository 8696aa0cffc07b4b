"""Training on several machines: every worker computes, one speaks for all."""

from typing import Any


def is_chief(strategy: Any) -> bool:
    """Return whether this process is the one that writes checkpoints, metrics and progress.

    Args:
        strategy: The `tf.distribute` strategy of the model.
    """
    cluster = getattr(strategy, "cluster_resolver", None)
    if cluster is None or not cluster.cluster_spec():
        return True
    jobs = cluster.cluster_spec().jobs
    first = "chief" if "chief" in jobs else "worker"
    return (cluster.task_type, cluster.task_id) == (first, 0)
