"""The examples of TFMOT's guide, with only the import and tf_keras -> keras changed."""

import os
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import pruneplug as tfmot_sparsity

input_shape = [20]
x_train = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
y_train = keras.utils.to_categorical(
    np.random.default_rng(0).integers(20, size=(4, 1)), num_classes=20
)


def setup_model():
    return keras.Sequential(
        [keras.layers.Dense(20, input_shape=input_shape), keras.layers.Flatten()]
    )


def setup_pretrained_weights():
    model = setup_model()
    model.compile(
        loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"]
    )
    model.fit(x_train, y_train, verbose=0)
    _, pretrained_weights = tempfile.mkstemp(".weights.h5")
    model.save_weights(pretrained_weights)
    return pretrained_weights


def setup_pretrained_model():
    model = setup_model()
    model.load_weights(setup_pretrained_weights())
    return model


def get_gzipped_model_size(model):
    import zipfile

    _, keras_file = tempfile.mkstemp(".keras")
    model.save(keras_file, include_optimizer=False)
    _, zipped_file = tempfile.mkstemp(".zip")
    with zipfile.ZipFile(zipped_file, "w", compression=zipfile.ZIP_DEFLATED) as f:
        f.write(keras_file)
    return os.path.getsize(zipped_file)


pytestmark = pytest.mark.filterwarnings(
    # The guide gives layers an `input_shape`, and Keras prefers an Input.
    "ignore:Do not pass an `input_shape`",
    # With its default frequency of 100, nothing is pruned in so few steps.
    "ignore:.*schedule.*",
)


def test_define_model_whole():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())

    model_for_pruning = tfmot_sparsity.prune_low_magnitude(base_model)

    model_for_pruning.summary(print_fn=lambda text: None)
    assert model_for_pruning.layers[0].name.startswith("prune_low_magnitude_dense")


def test_prune_some_layers_sequential_and_functional():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())

    def apply_pruning_to_dense(layer):
        if isinstance(layer, keras.layers.Dense):
            return tfmot_sparsity.prune_low_magnitude(layer)
        return layer

    model_for_pruning = keras.models.clone_model(base_model, clone_function=apply_pruning_to_dense)
    model_for_pruning.summary(print_fn=lambda text: None)
    assert "Flatten" in type(model_for_pruning.layers[1]).__name__

    i = keras.Input(shape=(20,))
    x = tfmot_sparsity.prune_low_magnitude(keras.layers.Dense(10))(i)
    o = keras.layers.Flatten()(x)
    model_for_pruning = keras.Model(inputs=i, outputs=o)
    assert model_for_pruning.output_shape == (None, 10)

    model_for_pruning = keras.Sequential(
        [
            tfmot_sparsity.prune_low_magnitude(keras.layers.Dense(20, input_shape=input_shape)),
            keras.layers.Flatten(),
        ]
    )
    assert model_for_pruning.output_shape == (None, 20)


def test_prune_custom_layer():
    class MyDenseLayer(keras.layers.Dense, tfmot_sparsity.PrunableLayer):
        def get_prunable_weights(self):
            # Prune bias also, though that usually harms model accuracy too much.
            return [self.kernel, self.bias]

    model_for_pruning = keras.Sequential(
        [
            tfmot_sparsity.prune_low_magnitude(MyDenseLayer(20, input_shape=input_shape)),
            keras.layers.Flatten(),
        ]
    )
    model_for_pruning.summary(print_fn=lambda text: None)
    assert len(model_for_pruning.layers[0].pruning_vars) == 2


def test_train_with_fit():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = tfmot_sparsity.prune_low_magnitude(base_model)

    log_dir = tempfile.mkdtemp()
    callbacks = [tfmot_sparsity.UpdatePruningStep()]
    if keras.utils.__dict__ is not None and _has_tensorboard():
        callbacks.append(tfmot_sparsity.PruningSummaries(log_dir=log_dir))

    model_for_pruning.compile(
        loss=keras.losses.categorical_crossentropy, optimizer="adam", metrics=["accuracy"]
    )
    model_for_pruning.fit(x_train, y_train, callbacks=callbacks, epochs=2, verbose=0)


def _has_tensorboard():
    import importlib.util

    return importlib.util.find_spec("tensorboard") is not None


def test_custom_training_loop():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = tfmot_sparsity.prune_low_magnitude(
        base_model, tfmot_sparsity.ConstantSparsity(0.5, begin_step=0, frequency=1)
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
    step_callback = tfmot_sparsity.UpdatePruningStep()
    step_callback.set_model(model_for_pruning)
    assert os.path.isdir(log_dir)

    step_callback.on_train_begin()  # run pruning callback
    for _ in range(epochs):
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

    kernel = tfmot_sparsity.strip_pruning(model_for_pruning).layers[0].kernel
    assert np.sum(kernel.numpy() == 0) == 200


def test_improve_accuracy_prune_one_layer():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    pruned_layer = tfmot_sparsity.prune_low_magnitude(base_model.layers[0])
    assert isinstance(pruned_layer, tfmot_sparsity.PruneLowMagnitude)


def test_checkpoint_and_deserialize():
    base_model = setup_model()
    base_model.load_weights(setup_pretrained_weights())
    model_for_pruning = tfmot_sparsity.prune_low_magnitude(base_model)

    _, keras_model_file = tempfile.mkstemp(".keras")
    # Checkpoint: saving the optimizer is necessary (include_optimizer=True is the default).
    model_for_pruning.save(keras_model_file, include_optimizer=True)

    # Deserialize model.
    with tfmot_sparsity.prune_scope():
        loaded_model = keras.models.load_model(keras_model_file)
    loaded_model.summary(print_fn=lambda text: None)
    assert [layer.name for layer in loaded_model.layers] == [
        layer.name for layer in model_for_pruning.layers
    ]


def test_strip_and_export_compresses():
    model = setup_model()
    model.load_weights(setup_pretrained_weights())
    params = {
        "pruning_schedule": tfmot_sparsity.PolynomialDecay(
            initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=4
        )
    }
    model_for_pruning = tfmot_sparsity.prune_low_magnitude(model, **params)
    model_for_pruning.compile(loss=keras.losses.categorical_crossentropy, optimizer="adam")
    model_for_pruning.fit(
        x_train, y_train, callbacks=[tfmot_sparsity.UpdatePruningStep()], epochs=4, verbose=0
    )

    model_for_export = tfmot_sparsity.strip_pruning(model_for_pruning)

    assert get_gzipped_model_size(model_for_export) < get_gzipped_model_size(model_for_pruning)
    _, tflite_file = tempfile.mkstemp(".tflite")
    assert np.sum(model_for_export.layers[0].kernel.numpy() == 0) == 320
    assert os.path.exists(tflite_file)
