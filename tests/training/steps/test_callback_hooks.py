import keras
import pytest

from pruneplug.training.steps.callback_hooks import wants_batches


class OnBatch(keras.callbacks.Callback):
    def on_batch_end(self, batch: int, logs: object = None) -> None: ...


class OnTest(keras.callbacks.Callback):
    def on_test_batch_begin(self, batch: int, logs: object = None) -> None: ...


@pytest.mark.parametrize(
    ("callback", "train", "test"),
    [
        (keras.callbacks.EarlyStopping(), False, False),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), False, False),
        (keras.callbacks.LambdaCallback(on_train_batch_end=print), True, False),
        (OnBatch(), True, False),
        (OnTest(), False, True),
    ],
)
def test_finds_overridden_hooks(
    callback: keras.callbacks.Callback, train: bool, test: bool
) -> None:
    assert wants_batches([keras.callbacks.History(), callback], "train") == train
    assert wants_batches([callback], "test") == test
