"""The floor of the command's start: import TensorFlow, build its model, take one step."""

from __future__ import annotations

import keras
import numpy as np

from pruneplug.command.models import mlp

if __name__ == "__main__":
    model = mlp.build((8, 8), 10)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(np.zeros((32, 8, 8), np.float32), np.zeros(32, np.int64))
    print("FIRST_STEP", keras.__version__, flush=True)
