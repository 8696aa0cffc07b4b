"""Models that are pruned in place: what becomes of copies and files, and which can be pruned."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from places import TESTS
from sparse import HALF, check_sparse, in_new_process, train

from pruneplug import (
    ByName,
    ConstantSparsity,
    GlobalAllocation,
    PolynomialDecay,
    PruneLowMagnitude,
    UpdatePruningStep,
    prune_low_magnitude,
    strip_pruning,
)
from pruneplug.pruning.wrapper import pruned_layers

X = np.random.default_rng(0).normal(size=(4, 8)).astype("f")
Y = X[:, :1]
SCHEDULE = PolynomialDecay(0.0, 0.5, 0, 4, frequency=1)


@keras.saving.register_keras_serializable("tests")
class Net(keras.Model):
    """Subclassed, with layers in attributes, lists and a nested model."""

    def __init__(self, width: int = 6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.first = L.Dense(width)
        self.blocks = [L.Dense(width), L.ReLU()]
        self.tower = keras.Sequential([L.Dense(4), L.Dropout(0.0)])
        self.last = L.Dense(1)

    def call(self, x: Any) -> Any:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(self.tower(x))

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width}


@keras.saving.register_keras_serializable("tests")
class Wide(keras.Model):
    """Built from its ends by a constructor of its own."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        inputs = keras.Input((8,))
        super().__init__(inputs, L.Dense(1, name="out")(L.Dense(units)(inputs)), **kwargs)
        self.units = units

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units, "name": self.name}


@keras.saving.register_keras_serializable("tests")
class Pair(keras.Model):
    """Without call(): trained by parts, as GANs are."""

    def __init__(self, one: keras.Model, other: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one, self.other = one, other

    def train_step(self, data: Any) -> Any:
        x, y = data
        one, other = self.one(x), self.other(self.one(x))
        loss = keras.ops.mean((other - y) ** 2) + keras.ops.mean(one**2)
        return {"loss": loss}

    def get_config(self) -> dict[str, Any]:
        return {"one": self.one, "other": self.other}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        load = keras.saving.deserialize_keras_object
        return cls(*(load(config[name], custom_objects) for name in ("one", "other")))


def _net() -> keras.Model:
    model = Net(5)
    model(X)
    return model


def _pair() -> keras.Model:
    return Pair(
        keras.Sequential([keras.Input((8,)), L.Dense(6)]),
        keras.Sequential([keras.Input((6,)), L.Dense(1)]),
    )


def _wide() -> keras.Model:
    return Wide(6)


def _file(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


COPIES: dict[str, Callable[[keras.Model, Path], keras.Model]] = {
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "file": _file,
}


def _state(model: keras.Model) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("make", [_net, _wide])
def test_a_copy_is_pruned_and_trains_on_as_the_original(make, way: str, tmp_path: Path) -> None:
    model = prune_low_magnitude(
        make(), SCHEDULE, allocation=GlobalAllocation(), pruning_policy=ByName(exclude=["out"])
    ) if make is _wide else prune_low_magnitude(make(), SCHEDULE)  # fmt: skip
    train(model, X, Y, epochs=2)
    twin = COPIES[way](model, tmp_path)
    assert type(twin) is type(model)
    assert twin.pruning_skipped == model.pruning_skipped
    assert _same(_state(twin), before := _state(model))
    assert int(twin.optimizer.iterations) == 2
    twin.fit(X, Y, verbose=0, epochs=3, callbacks=[UpdatePruningStep()])
    assert _same(_state(model), before)
    assert all(int(wrapper.pruning_step) == 5 for wrapper in pruned_layers(twin))
    if make is _net:
        check_sparse(twin)
    assert pruned_layers(twin)[0].allocation == pruned_layers(model)[0].allocation


@pytest.mark.parametrize("make", [_net, _wide, _pair])
def test_what_is_made_of_the_configuration_is_pruned(make) -> None:
    model = prune_low_magnitude(make(), SCHEDULE)
    names = [wrapper.name for wrapper in pruned_layers(model)]
    copies = [
        type(model).from_config(model.get_config()),
        keras.models.model_from_json(model.to_json()),
    ]
    if make is not _wide:  # of which Keras clones the graph alone, not the class
        copies.append(keras.models.clone_model(model))
    for again in copies:
        wrappers = pruned_layers(again)
        assert [wrapper.name for wrapper in wrappers] == names
        assert all(wrapper.pruning_schedule == SCHEDULE for wrapper in wrappers)
        assert all(wrapper.built for wrapper in wrappers)
        assert not {id(w.layer) for w in wrappers} & {id(w.layer) for w in pruned_layers(model)}


def test_a_file_is_loaded_in_a_new_process(tmp_path: Path) -> None:
    model = prune_low_magnitude(_net(), HALF)
    train(model, X, Y)
    model.save(tmp_path / "model.keras")
    code = f"""
        import keras, pruneplug, test_in_place
        from sparse import check_sparse
        model = keras.models.load_model({str(tmp_path / "model.keras")!r})
        check_sparse(model)
        print(type(pruneplug.strip_pruning(model)) is test_in_place.Net)
    """
    output = in_new_process(code, {"PYTHONPATH": f"{TESTS}:{TESTS}/pruning"})
    assert output.split() == ["True"]


def test_what_is_stripped_is_of_its_own_class_again(tmp_path: Path) -> None:
    model = _net()
    config = model.get_config()
    pruned = prune_low_magnitude(model, HALF)
    assert pruned is model
    assert isinstance(pruned, Net)
    assert type(pruned).__name__ == "Net"
    train(pruned, X, Y)
    stripped = strip_pruning(pruned)
    assert stripped is model
    assert type(stripped) is Net
    assert stripped.get_config() == config
    loaded = _file(stripped, tmp_path)
    assert type(loaded) is Net
    assert np.array_equal(loaded(X), model(X))
    train(prune_low_magnitude(model, HALF), X, Y)
    check_sparse(model)


def test_a_class_that_is_not_registered_is_cloned() -> None:
    class Plain(Net):
        pass

    model = Plain()
    model(X)
    prune_low_magnitude(model, HALF)
    clone = keras.models.clone_model(model)
    assert isinstance(clone, Plain)
    assert len(pruned_layers(clone)) == 4
    assert type(strip_pruning(clone)) is Plain


def test_a_layer_that_was_taken_out_since_is_named() -> None:
    model = prune_low_magnitude(_net(), HALF)
    model._tracker.unlock()
    model.last = L.Dense(1)
    model._tracker.untrack(next(w.layer for w in pruned_layers(model)[::-1]))
    with pytest.raises(ValueError, match=r"no\s+more dense_3\. Strip it and prune it again"):
        model.get_config()


def test_a_model_without_call_is_pruned_when_its_parts_are_built() -> None:
    model = _pair()
    assert not model.built
    pruned = prune_low_magnitude(model, HALF)
    assert len(pruned_layers(pruned)) == 2
    pruned.mean = keras.metrics.Mean()  # as a compile() of one's own does
    train(pruned, X, Y, run_eagerly=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Net, r"without weights: dense, dense_1, dense_2, dense_3\. Call it on a batch first"),
        (lambda: Pair(_net(), keras.Sequential([L.Dense(1)])),
         r"without weights: dense_\d\. It has no call\(\), so call each of its parts on a batch"),
        (lambda: keras.Model(), r"layers are not known before\. It has no call\(\)"),
    ],
)  # fmt: skip
def test_a_model_whose_weights_are_not_there_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=f"must be built to be pruned in place, .*{message}"):
        prune_low_magnitude(make(), HALF)


def test_the_ways_out_work() -> None:
    model = Pair(keras.Sequential([L.Dense(6)]), keras.Sequential([L.Dense(1)]))
    model.one = prune_low_magnitude(model.one, HALF)
    model.other(model.one(X))
    assert len(pruned_layers(prune_low_magnitude(model, HALF))) == 2
    model = Net()
    model(X)
    assert len(pruned_layers(prune_low_magnitude(model, HALF))) == 4


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer 'half'")
def test_a_layer_that_call_leaves_out_is_not_left_dense_in_silence() -> None:
    class Half(Net):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = L.Dense(3, name="decoder")

    model = Half()
    model(X)
    with pytest.raises(ValueError, match=r"without weights: decoder\. Call these layers on a bat"):
        prune_low_magnitude(model, HALF)
    policy = ByName(exclude=["decoder"])
    assert len(pruned_layers(prune_low_magnitude(model, HALF, pruning_policy=policy))) == 4


def test_a_layer_may_be_wrapped_around_one_that_is_there() -> None:
    layer = L.Dense(3)
    wrapper = PruneLowMagnitude(layer, HALF)
    config = wrapper.get_config()
    assert PruneLowMagnitude.from_config({**config, "layer": layer}).layer is layer
    assert PruneLowMagnitude.from_config(config).layer is not layer


class Given(keras.Model):
    """Builds its graph itself, from its own arguments."""

    def __init__(self, held: Callable[[], keras.layers.Layer]):
        inputs = keras.Input((8,))
        super().__init__(inputs, L.Dense(2)(held()(inputs)))


def test_a_graph_of_a_class_with_a_constructor_of_its_own_is_cloned_pruned() -> None:
    model = prune_low_magnitude(Given(lambda: L.Dense(8)), HALF)
    clone = keras.models.clone_model(model)
    names = [layer.layer.name for layer in pruned_layers(clone)]
    assert names == [layer.layer.name for layer in pruned_layers(model)]
    assert model(X).shape == clone(X).shape
    train(clone)
    check_sparse(clone)
    masks = [mask for layer in pruned_layers(model) for _, mask, _ in layer.pruning_vars]
    assert np.all([np.all(mask) for mask in masks])


def test_a_clone_that_is_less_pruned_is_said() -> None:
    def held() -> keras.layers.Layer:
        return keras.Sequential([L.Dense(8)], name="inside")

    model = prune_low_magnitude(Given(held), ConstantSparsity(0.5, 1))
    with pytest.warns(UserWarning, match="'inside' .* is cloned without its pruning"):
        clone = keras.models.clone_model(model)
    assert len(pruned_layers(clone)) == 1
