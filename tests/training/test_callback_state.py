import json
from typing import Any

import keras
import numpy as np
import pytest

from pruneplug.training.callback_state import CallbackState


class Memory(keras.callbacks.Callback):
    def __init__(self, patience: int = 1) -> None:
        super().__init__()
        self.patience = patience
        self.file = open  # no plain data
        self.seen: Any = []


VALUES = [
    None,
    3,
    0.1,
    "text",
    [1, (2.5, None)],
    {"a": [True], "b": {}},
    np.arange(3, dtype="float32"),
    [np.float32(0.1), np.int64(4)],
    keras.ops.less,
]


def through(value: Any) -> Any:
    one, other = Memory(), Memory()
    state, restored = CallbackState([one]), CallbackState([other])
    one.seen = value
    states, arrays = state.save()
    restored.restore(json.loads(json.dumps(states)), [array for _, array in arrays])
    return other.seen


@pytest.mark.parametrize("value", VALUES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_values_come_back_as_they_were(value: Any) -> None:
    back = through(value)
    assert type(back) is type(value)
    np.testing.assert_equal(back, value)


def test_only_what_changed_is_state() -> None:
    memory = Memory()
    state = CallbackState([memory])
    assert state.save() == ([{"callback": "Memory", "values": {}}], [])
    memory.seen.append(np.zeros(2))
    saved, arrays = state.save()
    assert list(saved[0]["values"]) == ["seen"]
    assert [path for path, _ in arrays] == ["Memory/seen"]
    other = Memory(patience=5)
    CallbackState([other]).restore(saved, [array for _, array in arrays])
    assert other.patience == 5


def test_an_unchanged_array_is_no_state() -> None:
    memory = Memory()
    memory.seen = np.ones(3)
    state = CallbackState([memory])
    assert state.save()[1] == []
    memory.seen[0] = 2
    assert len(state.save()[1]) == 1


def test_refuses_other_callbacks() -> None:
    states, _ = CallbackState([Memory()]).save()
    with pytest.raises(ValueError, match=r"callbacks=\['History'\] instead of \['Memory'\]"):
        CallbackState([keras.callbacks.History()]).restore(states, [])
