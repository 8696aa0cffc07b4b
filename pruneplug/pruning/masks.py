"""Magnitudes in, mask out.

Every function takes NumPy arrays, for weights in host memory, or tensors of the Keras backend,
for weights on a device, and gives the same bits for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from pruneplug.pruning import ranking

# A NumPy array or a tensor of the Keras backend: both are indexed and compared the same way.
Array = Any


def _namespace(x: Array) -> Any:
    return np if isinstance(x, np.ndarray) else keras.ops


def magnitudes(weights: Array) -> Array:
    """Return |weights|.

    Raises:
        FloatingPointError: A weight is NaN or infinite: no order, and so no mask, exists then.
    """
    if isinstance(weights, np.ndarray):
        ranking.check_finite(weights.reshape(-1))
        return np.abs(weights)
    magnitude = keras.ops.abs(weights)
    # NaN and infinity both outlast the maximum: of all values, it alone is brought to the host.
    ranking.check_finite(np.array([float(keras.ops.max(magnitude))]))
    return magnitude


def topk_mask(scores: Array, kept: int) -> tuple[Array, Array]:
    """Keep the `kept` largest magnitudes; of equal ones, those with the lowest flat index.

    Args:
        scores: Values of any sign, any shape.
        kept: How many survive, from 1 to the number of values.

    Returns:
        The mask (boolean, same shape, exactly `kept` of it True) and the threshold: the smallest
        magnitude that survives (a scalar).

    Raises:
        FloatingPointError: A value is NaN or infinite.
    """
    flat = _namespace(scores).reshape(scores, (-1,))
    choose = ranking.largest if isinstance(scores, np.ndarray) else _topk_flat_device
    mask, threshold = choose(flat, kept)
    return _namespace(mask).reshape(mask, scores.shape), threshold


def count(mask: Array) -> int:
    """Return how many of a mask are True."""
    return int(_namespace(mask).count_nonzero(mask))


def _topk_flat_device(flat: Array, kept: int) -> tuple[Array, Array]:
    flat = magnitudes(flat)
    threshold = keras.ops.top_k(flat, kept)[0][-1]
    above, tied = flat > threshold, flat == threshold
    wanted = kept - _count(above, axis=0)
    position = keras.ops.cumsum(keras.ops.where(tied, 1, 0))
    return keras.ops.logical_or(above, keras.ops.logical_and(tied, position <= wanted)), threshold


def _count(condition: Array, axis: int) -> Array:
    xp = _namespace(condition)
    return xp.sum(xp.where(condition, 1, 0), axis=axis)


def _like(values: np.ndarray, x: Array) -> Array:
    if isinstance(x, np.ndarray):
        return values.astype(x.dtype)
    return keras.ops.convert_to_tensor(values, dtype=x.dtype)


def _pool_rows(x: Array, block: int, pooling: str) -> Array:
    """Pool each `block` consecutive rows of a matrix; the last group may be shorter."""
    xp = _namespace(x)
    rows, columns = x.shape
    groups = -(-rows // block)
    padded = xp.pad(x, ((0, groups * block - rows), (0, 0)))
    stacked = xp.reshape(padded, (groups, block, columns))
    # One row after the other: sums then round alike in NumPy, on a device and in the reference.
    merge = xp.maximum if pooling == "MAX" else xp.add
    pooled = stacked[:, 0]
    for row in range(1, block):
        pooled = merge(pooled, stacked[:, row])
    if pooling == "MAX":
        return pooled
    counts = np.minimum(block, rows - block * np.arange(groups))[:, np.newaxis]
    return pooled / _like(counts, pooled)


def block_magnitudes(magnitude: Array, block_size: tuple[int, int], pooling: str) -> Array:
    """Pool a matrix of magnitudes over blocks; blocks at the edge pool the values they have.

    Args:
        magnitude: Matrix (rows, columns).
        block_size: Rows and columns of a block.
        pooling: "AVG" (the mean of the column means) or "MAX".

    Returns:
        Matrix (ceil(rows / block rows), ceil(columns / block columns)).
    """
    xp = _namespace(magnitude)
    pooled = _pool_rows(magnitude, block_size[0], pooling)
    return xp.transpose(_pool_rows(xp.transpose(pooled), block_size[1], pooling))


def expand_blocks(mask: Array, block_size: tuple[int, int], shape: Sequence[int]) -> Array:
    """Repeat each entry of a block mask over its block, cropped to `shape`."""
    xp = _namespace(mask)
    tall = xp.repeat(mask, block_size[0], axis=0)
    return xp.repeat(tall, block_size[1], axis=1)[: shape[0], : shape[1]]


def m_by_n_mask(magnitude: Array, zeros: int, group: int) -> Array:
    """Zero the `zeros` smallest of every `group` consecutive values along the input channels.

    The input channels are the last axis but one (Dense: axis 0, Conv2D: axis 2). A shorter group
    at the end counts as filled up with zeros, which are the first to go. Of equal values, those
    with the lowest index survive.

    Args:
        magnitude: Values of rank 2 or more.
        zeros: How many of a group are pruned, below `group`.
        group: How many consecutive values make a group.

    Returns:
        The mask: boolean, same shape.
    """
    xp = _namespace(magnitude)
    channels = magnitude.shape[-2]
    groups = -(-channels // group)
    padding = [(0, 0)] * (len(magnitude.shape) - 2) + [(0, groups * group - channels), (0, 0)]
    *lead, _, last = magnitude.shape
    grouped = xp.reshape(xp.pad(magnitude, padding), (*lead, groups, group, last))
    survives = xp.stack([_rank(grouped, i) < group - zeros for i in range(group)], axis=-2)
    return xp.reshape(survives, (*lead, groups * group, last))[..., :channels, :]


def is_pruned_m_by_n(
    weights: Any, m_by_n: Sequence[int] = (2, 4), last_channel: str = "C_OUT"
) -> bool:
    """Return whether m of every n consecutive values along the input channels are zero.

    Args:
        weights: A kernel with 2 or 4 axes.
        m_by_n: (m, n).
        last_channel: What its last axis holds: "C_OUT" in Keras' layout, "C_IN" in TFLite's.

    Raises:
        ValueError: An argument is none of these.
    """
    values = keras.ops.convert_to_numpy(weights)
    zeros, group = m_by_n
    if values.ndim not in (2, 4) or last_channel not in ("C_IN", "C_OUT") or zeros > group:
        raise ValueError(
            "m-by-n sparsity must be looked for in weights with 2 or 4 axes, m <= n, the last of "
            f"them C_IN or C_OUT; got weights of shape {values.shape}, m_by_n={tuple(m_by_n)}, "
            f"last_channel={last_channel!r}."
        )
    if last_channel == "C_IN":
        values = np.moveaxis(values, -1, -2)
    channels = values.shape[-2]
    starts = range(0, channels, group)
    kept = np.stack([np.count_nonzero(values[..., i : i + group, :], axis=-2) for i in starts])
    return bool((kept <= group - zeros).all())


def _rank(grouped: Array, index: int) -> Array:
    """Return how many of the group outrank the value at `index`: larger, or tied and earlier."""
    value = grouped[..., index : index + 1, :]
    earlier = _count(grouped[..., :index, :] >= value, axis=-2)
    return earlier + _count(grouped[..., index + 1 :, :] > value, axis=-2)
