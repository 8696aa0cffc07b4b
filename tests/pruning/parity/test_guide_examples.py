"""The code of TFMOT's comprehensive guide to pruning, with the import changed.

Each test is one example of its text, letter by letter but for this:
- the import of `tfmot`, and of `keras` instead of tf_keras;
- weights are saved as `.weights.h5` instead of `.tf`, since Keras 3 has no other file for them;
- in the custom training loop the schedule has `frequency=1`, since the default prunes nothing in
  two steps (the guide's loop leaves the model dense, in both libraries), and `zip` has `strict`;
- where the guide says "typically you train the model here", it is, along a schedule that ends;
- notebook magics and prints are left out, and assertions stand at the end.
"""

import tempfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import pruneplug

tfmot = SimpleNamespace(sparsity=SimpleNamespace(keras=pruneplug))

pytestmark = [
    # The guide gives layers an `input_shape`, and Keras prefers an Input.
    pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`"),
]

input_shape = [20]
x_train = np.random.randn(1, 20).astype(np.float32)
y_train = keras.utils.to_categorical(np.random.randn(1), num_classes=20)


def setup_model():
    model = keras.Sequential(
        [keras.layers.Dense(20, input_shape=input_shape), keras.layers.Flatten()]
    )
    return model


def setup_pretrained_weights():
    model = setup_model()

    model.compile(
        loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"]
    )

    model.fit(x_train, y_train)

    _, pretrained_weights = tempfile.mkstemp(".weights.h5")

    model.save_weights(pretrained_weights)

    return pretrained_weights


def get_gzipped_model_size(model):
    # Returns size of gzipped model, in bytes.
    import os
    import zipfile

    _, keras_file = tempfile.mkstemp(".h5")
    model.save(keras_file, include_optimizer=False)

    _, zipped_file = tempfile.mkstemp(".zip")
    with zipfile.ZipFile(zipped_file, "w", compression=zipfile.ZIP_DEFLATED) as f:
        f.write(keras_file)

    return os.path.getsize(zipped_file)


@pytest.fixture(scope="module")
def pretrained_weights():
    setup_model()
    return setup_pretrained_weights()


def _wrapped(model):
    return [isinstance(layer, pruneplug.PruneLowMagnitude) for layer in model.layers]


def test_prune_whole_model(pretrained_weights):
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended.

    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(base_model)

    model_for_pruning.summary()
    assert _wrapped(model_for_pruning) == [True, False]
    assert model_for_pruning.layers[0].name.startswith("prune_low_magnitude_dense")


def test_prune_some_layers(pretrained_weights):
    # Create a base model
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended for model accuracy

    # Helper function uses `prune_low_magnitude` to make only the
    # Dense layers train with pruning.
    def apply_pruning_to_dense(layer):
        if isinstance(layer, keras.layers.Dense):
            return tfmot.sparsity.keras.prune_low_magnitude(layer)
        return layer

    # Use `keras.models.clone_model` to apply `apply_pruning_to_dense`
    # to the layers of the model.
    model_for_pruning = keras.models.clone_model(
        base_model,
        clone_function=apply_pruning_to_dense,
    )

    model_for_pruning.summary()
    assert _wrapped(model_for_pruning) == [True, False]


def test_prune_a_layer_of_a_functional_model():
    # Use `prune_low_magnitude` to make the `Dense` layer train with pruning.
    i = keras.Input(shape=(20,))
    x = tfmot.sparsity.keras.prune_low_magnitude(keras.layers.Dense(10))(i)
    o = keras.layers.Flatten()(x)
    model_for_pruning = keras.Model(inputs=i, outputs=o)

    model_for_pruning.summary()
    assert model_for_pruning.output_shape == (None, 10)


def test_prune_a_layer_of_a_sequential_model():
    # Use `prune_low_magnitude` to make the `Dense` layer train with pruning.
    model_for_pruning = keras.Sequential(
        [
            tfmot.sparsity.keras.prune_low_magnitude(
                keras.layers.Dense(20, input_shape=input_shape)
            ),
            keras.layers.Flatten(),
        ]
    )

    model_for_pruning.summary()
    assert model_for_pruning.output_shape == (None, 20)


def test_prune_custom_layer():
    class MyDenseLayer(keras.layers.Dense, tfmot.sparsity.keras.PrunableLayer):
        def get_prunable_weights(self):
            # Prune bias also, though that usually harms model accuracy too much.
            return [self.kernel, self.bias]

    # Use `prune_low_magnitude` to make the `MyDenseLayer` layer train with pruning.
    model_for_pruning = keras.Sequential(
        [
            tfmot.sparsity.keras.prune_low_magnitude(MyDenseLayer(20, input_shape=input_shape)),
            keras.layers.Flatten(),
        ]
    )

    model_for_pruning.summary()
    assert len(model_for_pruning.layers[0].pruning_vars) == 2


def test_train_with_fit(pretrained_weights):
    # Define the model.
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended for model accuracy
    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(base_model)

    log_dir = tempfile.mkdtemp()
    callbacks = [
        tfmot.sparsity.keras.UpdatePruningStep(),
        # Log sparsity and other metrics in Tensorboard.
        tfmot.sparsity.keras.PruningSummaries(log_dir=log_dir),
    ]

    model_for_pruning.compile(
        loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"]
    )

    model_for_pruning.fit(
        x_train,
        y_train,
        callbacks=callbacks,
        epochs=2,
    )
    assert int(model_for_pruning.layers[0].pruning_step) == 2


def test_custom_training_loop(pretrained_weights):
    # Define the model.
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended for model accuracy
    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(
        base_model, tfmot.sparsity.keras.ConstantSparsity(0.5, 0, frequency=1)
    )

    # Boilerplate
    loss = keras.losses.categorical_crossentropy
    optimizer = keras.optimizers.Adam()
    log_dir = tempfile.mkdtemp()
    unused_arg = -1
    epochs = 2
    batches = 1  # example is hardcoded so that the number of batches cannot change.

    # Non-boilerplate.
    model_for_pruning.optimizer = optimizer
    step_callback = tfmot.sparsity.keras.UpdatePruningStep()
    step_callback.set_model(model_for_pruning)
    log_callback = tfmot.sparsity.keras.PruningSummaries(
        log_dir=log_dir
    )  # Log sparsity and other metrics in Tensorboard.
    log_callback.set_model(model_for_pruning)

    step_callback.on_train_begin()  # run pruning callback
    for _ in range(epochs):
        log_callback.on_epoch_begin(epoch=unused_arg)  # run pruning callback
        for _ in range(batches):
            step_callback.on_train_batch_begin(batch=unused_arg)  # run pruning callback

            with tf.GradientTape() as tape:
                logits = model_for_pruning(x_train, training=True)
                loss_value = loss(y_train, logits)
                grads = tape.gradient(loss_value, model_for_pruning.trainable_variables)
                optimizer.apply_gradients(
                    zip(grads, model_for_pruning.trainable_variables, strict=True)
                )

        step_callback.on_epoch_end(batch=unused_arg)  # run pruning callback

    kernel = tfmot.sparsity.keras.strip_pruning(model_for_pruning).layers[0].kernel
    assert np.sum(kernel.numpy() == 0) == 200


def test_checkpoint_and_deserialize(pretrained_weights):
    # Define the model.
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended for model accuracy
    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(base_model)

    _, keras_model_file = tempfile.mkstemp(".h5")

    # Checkpoint: saving the optimizer is necessary (include_optimizer=True is the default).
    model_for_pruning.save(keras_model_file, include_optimizer=True)

    # Deserialize model.
    with tfmot.sparsity.keras.prune_scope():
        loaded_model = keras.models.load_model(keras_model_file)

    loaded_model.summary()
    assert _wrapped(loaded_model) == [True, False]


def test_strip_and_export(pretrained_weights):
    # Define the model.
    base_model = setup_model()
    base_model.load_weights(pretrained_weights)  # optional but recommended for model accuracy
    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(
        base_model, tfmot.sparsity.keras.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=4)
    )

    # Typically you train the model here.
    model_for_pruning.compile(loss=keras.losses.categorical_crossentropy, optimizer="adam")
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model_for_pruning.fit(x_train, y_train, callbacks=callbacks, epochs=4)

    model_for_export = tfmot.sparsity.keras.strip_pruning(model_for_pruning)

    model_for_export.summary()

    assert get_gzipped_model_size(model_for_export) < get_gzipped_model_size(model_for_pruning)
    assert np.sum(model_for_export.layers[0].kernel.numpy() == 0) == 320


def test_hardware_specific_blocks():
    base_model = setup_model()

    # For using intrinsics on a CPU with 128-bit registers, together with 8-bit
    # quantized weights, a 1x16 block size is nice because the block perfectly
    # fits into the register.
    pruning_params = {"block_size": [1, 16]}
    model_for_pruning = tfmot.sparsity.keras.prune_low_magnitude(base_model, **pruning_params)

    model_for_pruning.summary()
    assert _wrapped(model_for_pruning) == [True, False]
