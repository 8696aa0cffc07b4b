"""Batches from arrays in memory, in an order that is a function of (seed, epoch)."""

import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class ArrayFeed:
    """Arrays held once as tensors; batches are gathered inside the compiled loop.

    The order of an epoch is a permutation keyed on (seed, epoch), so that the position in the
    data is two integers. The last batch may be short, as in Keras' `fit`.

    Args:
        arrays: A tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)`; each may be a structure of
            arrays with the samples along axis 0, dense, sparse or ragged.
        name: What the data is called in errors.
        batch_size: Samples in a batch, over all replicas.
        strategy: The `tf.distribute` strategy whose replicas share a batch.
        seed: Of the order; None keeps the order of the arrays.
        steps_per_epoch: Batches in an epoch; None takes all of them.

    Raises:
        TypeError: If a leaf is no array.
        ValueError: If the arrays differ in length or are empty, or `steps_per_epoch` does not
            fit.
    """

    def __init__(
        self,
        arrays: tuple[Any, ...],
        name: str,
        batch_size: int,
        strategy: Any,
        *,
        seed: int | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        self.samples = _samples(arrays, name)
        self.batch_size = batch_size
        self.seed = seed
        available = -(-self.samples // batch_size)
        self.steps_per_epoch = _steps(steps_per_epoch, available, name)
        tensors = keras.tree.map_structure(_rows_of, keras.tree.lists_to_tuples(arrays))
        self._tensors = keras.utils.pack_x_y_sample_weight(*tensors)
        leaves = keras.tree.flatten(self._tensors)
        self.dense = not any(isinstance(leaf, _SparseRows | tf.RaggedTensor) for leaf in leaves)
        self._strategy = strategy
        self._order = None if seed is None else tf.Variable(self._permutation(0), trainable=False)

    def start(self, epoch: int) -> None:
        """Bring the order of `epoch`."""
        if self._order is not None:
            self._order.assign(self._permutation(epoch))

    @property
    def full_batches(self) -> int:
        """How many batches of an epoch are not short."""
        return min(self.steps_per_epoch, self.samples // self.batch_size)

    def full_batch(self, index: Any) -> Any:
        """Return batch `index`, which must not be short: XLA wants to know its shape."""
        # Gathered row by row, since XLA takes a slice at a computed place for one of any size.
        rows = index * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        rows = rows if self._order is None else tf.gather(self._order, rows)
        return tf.nest.map_structure(lambda tensor: _gather(tensor, rows), self._tensors)

    def next(self, index: Any) -> Any:
        """Return batch `index`, split between the replicas if there are several."""
        first = index * self.batch_size
        size = self._size(first)
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return self._rows(first, size)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: self._share(first, size, context.replica_id_in_sync_group, replicas)
        )

    def describe(self) -> dict[str, int | str | bool]:
        """Return what decides the batches and their order."""
        return {
            "kind": "arrays",
            "samples": self.samples,
            "fingerprint": _fingerprint(self._tensors),
            "batch_size": self.batch_size,
            "seed": -1 if self.seed is None else self.seed,
        }

    def save(self, folder: Path) -> None:
        """Write nothing: epoch and index say it all."""

    def restore(self, step: int, folder: Path | None) -> None:
        """Go to the epoch that step `step + 1` belongs to."""
        self.start(step // self.steps_per_epoch)

    def _permutation(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return permutation(self.seed or 0, epoch, self.samples)

    def _size(self, first: Any) -> Any:
        # A size known when the loop is traced gives the step a static batch dimension.
        if self.full_batches == self.steps_per_epoch:
            return self.batch_size
        return tf.minimum(tf.constant(self.batch_size, tf.int64), self.samples - first)

    def _share(self, first: Any, size: Any, replica: int, replicas: int) -> Any:
        begin, end = size * replica // replicas, size * (replica + 1) // replicas
        return self._rows(first + begin, end - begin)

    def _rows(self, first: Any, size: Any) -> Any:
        if self._order is None:
            return tf.nest.map_structure(lambda t: _slice(t, first, size), self._tensors)
        rows = tf.slice(self._order, [first], [size])
        return tf.nest.map_structure(lambda tensor: _gather(tensor, rows), self._tensors)


class _SparseRows:
    """The rows of a sparse tensor, so that any of them can be taken."""

    def __init__(self, sparse: tf.SparseTensor) -> None:
        sparse = tf.sparse.reorder(sparse)
        rows = sparse.indices[:, 0]
        self.shape = tuple(sparse.shape)

        def by_row(values: Any) -> tf.RaggedTensor:
            return tf.RaggedTensor.from_value_rowids(values, rows, sparse.dense_shape[0])

        self.parts = self._places, self._values = (
            by_row(sparse.indices[:, 1:]),
            by_row(sparse.values),
        )

    def gather(self, rows: Any) -> tf.SparseTensor:
        """Return a sparse tensor of some of them."""
        values, places = tf.gather(self._values, rows), tf.gather(self._places, rows)
        indices = tf.concat([values.value_rowids()[:, None], places.values], axis=1)
        count = tf.reshape(tf.cast(tf.size(rows), tf.int64), [1])
        shape = tf.concat([count, tf.constant(self.shape[1:], tf.int64)], axis=0)
        taken = tf.SparseTensor(indices, values.values, shape)
        taken.set_shape([None, *self.shape[1:]])
        return taken


def permutation(seed: int, epoch: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the order of `count` things in an epoch."""
    key = np.random.SeedSequence([seed, epoch])
    return np.random.Generator(np.random.Philox(key)).permutation(count)


def to_tensor(array: Any) -> Any:
    """Return an array as tensor, dense, sparse (also of SciPy) or ragged, floats as Keras'.

    Raises:
        TypeError: If it does not hold numbers or strings.
    """
    if hasattr(array, "tocoo"):
        array = array.tocoo()
        places = np.stack([array.row, array.col], axis=1)
        array = tf.SparseTensor(places.astype(np.int64), array.data, array.shape)
    if not isinstance(array, tf.SparseTensor | tf.RaggedTensor):
        try:
            array = tf.convert_to_tensor(array)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"Data must consist of arrays of numbers or strings; got {type(array).__name__} "
                f"({error}). np.asarray(..., dtype='float32') makes one type of several."
            ) from error
    # Keras' fit does the same, so that both see the same bits.
    return tf.cast(array, keras.config.floatx()) if array.dtype.is_floating else array


def _fingerprint(tensors: Any) -> str:
    """Return a checksum of values, shapes and dtypes, the same in every process."""
    found = 0
    for leaf in keras.tree.flatten(tensors):
        parts = leaf.parts if isinstance(leaf, _SparseRows) else [leaf]
        for tensor in tf.nest.flatten(parts, expand_composites=True):
            array = np.ascontiguousarray(tensor.numpy())
            found = zlib.crc32(f"{array.shape} {tensor.dtype.name}".encode(), found)
            if array.dtype.hasobject:
                found = zlib.crc32(repr(array.tolist()).encode(), found)
            else:
                found = zlib.crc32(array.reshape(-1).view(np.uint8).data, found)
    return f"{found:08x}"


def _rows_of(array: Any) -> Any:
    tensor = to_tensor(array)
    return _SparseRows(tensor) if isinstance(tensor, tf.SparseTensor) else tensor


def _gather(tensor: Any, rows: Any) -> Any:
    return tensor.gather(rows) if isinstance(tensor, _SparseRows) else tf.gather(tensor, rows)


def _slice(tensor: Any, first: Any, size: Any) -> Any:
    if isinstance(tensor, _SparseRows):
        return tensor.gather(tf.range(first, first + tf.cast(size, tf.int64)))
    return tensor[first : first + size]


def _samples(arrays: tuple[Any, ...], name: str) -> int:
    leaves = keras.tree.flatten(arrays)
    for leaf in leaves:
        if len(getattr(leaf, "shape", ())) == 0:
            raise TypeError(
                f"{name} must consist of arrays with the samples along axis 0; "
                f"got {type(leaf).__name__}. np.asarray(...) makes an array of a list."
            )
    lengths = sorted({int(leaf.shape[0]) for leaf in leaves})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(
            f"{name} must have the same number of samples in every array, at least 1; "
            f"got samples={lengths}."
        )
    return lengths[0]


def _steps(steps: int | None, available: int, name: str) -> int:
    if steps is None:
        return available
    if not 1 <= steps <= available:
        raise ValueError(
            f"steps_per_epoch must be in [1, {available}], the batches in the {name}; "
            f"got steps_per_epoch={steps}."
        )
    return steps
