"""Batches that Python code makes, as a `tf.data.Dataset`."""

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import tensorflow as tf

from pruneplug.training.feeds.arrays import permutation, to_tensor

_MORE = "Pass a keras.utils.PyDataset or a tf.data.Dataset"


def is_python_source(data: Any) -> bool:
    """Tell whether batches come from a `keras.utils.PyDataset` or a generator."""
    return isinstance(data, keras.utils.PyDataset | Iterator) and not hasattr(data, "element_spec")


def python_dataset(
    data: Any, name: str, seed: int | None, steps_per_epoch: int | None
) -> tuple[tf.data.Dataset, int]:
    """Return a data set of all batches in all epochs, and the number of batches in an epoch.

    Args:
        data: A `keras.utils.PyDataset`, or for training an iterator of batches.
        name: What the data is called in errors.
        seed: Of the order of a PyDataset's batches, as `fit` shuffles them; None keeps it.
        steps_per_epoch: Batches in an epoch; None takes all that a PyDataset has.

    Raises:
        ValueError: If the number of batches is neither known nor given.
        TypeError: If an iterator is to be run through more than once.
    """
    if isinstance(data, keras.utils.PyDataset):
        count, examples = data.num_batches, [data[0]]
        if count is not None and count > 1:
            examples.append(data[count - 1])
        batches: Callable[[], Iterable[Any]] = lambda: _batches(data, seed)  # noqa: E731
    elif seed is None:
        raise TypeError(
            f"{name} must be there again in every epoch; got {type(data).__name__}, which can be "
            f"run through once. {_MORE}."
        )
    else:
        count, examples = None, list(itertools.islice(data, 2))
        batches = _once(itertools.chain(examples, data), name)
    steps = count if steps_per_epoch is None else steps_per_epoch
    if steps is None or not examples:
        raise ValueError(
            f"{name} must have a known number of batches, at least 1; got {type(data).__name__} "
            "without one. Pass steps_per_epoch for training."
        )
    parts = [_standard(example, name) for example in examples]
    spec = tf.nest.map_structure(_spec, parts[0], parts[-1])

    def generate() -> Iterator[Any]:
        for batch in batches():
            yield _standard(batch, name)

    return tf.data.Dataset.from_generator(generate, output_signature=spec), steps


def _batches(data: Any, seed: int | None) -> Iterator[Any]:
    """Yield the batches of a PyDataset, epoch after epoch, and tell it where these begin."""
    for epoch in itertools.count():
        data.on_epoch_begin()
        count = data.num_batches
        order: Iterable[int] = itertools.count() if count is None else range(count)
        if count is not None and seed is not None:
            order = permutation(seed, epoch, count).tolist()
        for position, batch in enumerate(_fetched(data, order)):
            # Nobody asks for another batch after the last one of a training.
            if count is not None and position == count - 1:
                data.on_epoch_end()
            yield batch


def _fetched(data: Any, order: Iterable[int]) -> Iterator[Any]:
    if data.use_multiprocessing:
        warnings.warn(
            "use_multiprocessing has no effect in the Trainer: the workers of a PyDataset are "
            "threads of this process. A tf.data.Dataset can do more at once.",
            stacklevel=2,
        )
    if data.workers <= 1:
        yield from (data[index] for index in order)
        return
    with ThreadPoolExecutor(data.workers) as pool:
        waiting: deque[Future[Any]] = deque()
        for index in order:
            waiting.append(pool.submit(data.__getitem__, index))
            if len(waiting) > max(data.max_queue_size, data.workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _once(batches: Iterator[Any], name: str) -> Callable[[], Iterator[Any]]:
    begun = False

    def iterate() -> Iterator[Any]:
        nonlocal begun
        if begun:
            raise ValueError(
                f"The {name} must yield a batch for every step of all epochs; it has ended before. "
                f"Let the generator run on without end, or train for fewer steps. {_MORE}."
            )
        begun = True
        yield from batches

    return iterate


def _standard(batch: Any, name: str) -> Any:
    """Return a batch as Keras takes it, of tensors."""
    if isinstance(batch, list):
        batch = tuple(batch)
    if isinstance(batch, tuple) and not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{name} must consist of batches (x,), (x, y) or (x, y, sample_weight); "
            f"got a batch of {len(batch)} parts."
        )
    parts = keras.tree.lists_to_tuples(batch if isinstance(batch, tuple) else (batch,))
    return keras.utils.pack_x_y_sample_weight(*keras.tree.map_structure(to_tensor, parts))


def _spec(one: Any, other: Any) -> Any:
    """Return the type of two tensors, of any number of samples."""
    shapes = zip(one.shape[1:], other.shape[1:], strict=True)
    shape = [None, *(a if a == b else None for a, b in shapes)]
    if isinstance(one, tf.SparseTensor):
        return tf.SparseTensorSpec(shape, one.dtype)
    if isinstance(one, tf.RaggedTensor):
        return tf.RaggedTensorSpec(shape, one.dtype, one.ragged_rank, one.row_splits.dtype)
    return tf.TensorSpec(shape, one.dtype)
