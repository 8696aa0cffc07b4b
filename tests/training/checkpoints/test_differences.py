from typing import Any

import pytest

from pruneplug.training.checkpoints.differences import as_lines, differences

SCHEDULE = {
    "module": "pruneplug.pruning.schedules.ramps",
    "class_name": "PolynomialDecay",
    "config": {"final_sparsity": 0.8, "end_step": 57},
    "registered_name": "pruneplug>PolynomialDecay",
}
IDENTITY: dict[str, Any] = {
    "pruning": [{"pruning_schedule": SCHEDULE, "block_size": [1, 1]}],
    "optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.0010000000474974513}},
    "data": {"kind": "arrays", "samples": 60, "batch_size": 32, "seed": 3},
    "seed": 3,
    "settings": {"sparsity": 0.8, "optimizer.learning_rate": 0.001},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Copy IDENTITY with another value, e.g. at `data/batch_size`."""

    def copy(old: Any, keys: list[str]) -> Any:
        if not keys:
            return value
        if isinstance(old, list):
            return [copy(item, keys) for item in old]
        return {**old, keys[0]: copy(old.get(keys[0], {}), keys[1:])}

    content: dict[str, Any] = copy(IDENTITY, path.split("/"))
    return content


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("settings/sparsity", 0.9, {"sparsity": (0.8, 0.9)}),
        ("settings/model.hidden", "[8]", {"model.hidden": ("nothing", "[8]")}),
        ("data/batch_size", 64, {"trainer.batch_size": (32, 64)}),
        ("data/samples", 61, {"data.samples": (60, 61)}),
        ("pruning/block_size", [4, 4], {"block_size": ([1, 1], [4, 4])}),
        ("pruning/pruning_schedule/config/end_step", 99, {"schedule.end_step": (57, 99)}),
        ("optimizer/config/momentum", 0.5, {"optimizer.momentum": ("nothing", 0.5)}),
        ("settings/optimizer.learning_rate", 0.5, {"optimizer.learning_rate": (0.001, 0.5)}),
        ("optimizer/class_name", "SGD", {"optimizer.class_name": ("Adam", "SGD")}),
        (
            "pruning/pruning_schedule/module",
            "mine",
            {"schedule.module": (SCHEDULE["module"], "mine")},
        ),
    ],
)
def test_a_difference_has_the_name_of_a_setting(
    path: str, value: Any, expected: dict[str, Any]
) -> None:
    assert differences(IDENTITY, changed(path, value)) == expected


def test_a_setting_stands_for_what_is_made_of_it() -> None:
    other = changed("settings/optimizer.learning_rate", 0.5)
    other["optimizer"] = {"class_name": "Adam", "config": {"learning_rate": 0.5}}
    assert differences(IDENTITY, other) == {"optimizer.learning_rate": (0.001, 0.5)}
    del other["settings"]["optimizer.learning_rate"], other["optimizer"]
    assert differences({**other, "seed": 4}, other) == {"seed": (4, 3)}


def test_the_module_of_another_class_is_no_difference_more() -> None:
    other = {**SCHEDULE, "module": "mine", "class_name": "Mine", "registered_name": "mine>Mine"}
    found = differences(IDENTITY, changed("pruning/pruning_schedule", other))
    assert found == {"schedule.class_name": ("PolynomialDecay", "Mine")}


def test_each_has_a_line_of_its_own() -> None:
    found = differences(changed("settings/sparsity", 0.9), changed("data/batch_size", 64))
    assert as_lines(found).split("\n- ")[1:] == [
        "sparsity: 0.9 in the checkpoint, 0.8 now",
        "trainer.batch_size: 32 in the checkpoint, 64 now",
    ]


def test_of_many_differences_the_first_are_shown_and_the_others_counted() -> None:
    lines = as_lines({f"setting_{i}": (i, -i) for i in range(23)}).splitlines()
    assert lines[1] == "- setting_0: 0 in the checkpoint, 0 now"
    assert lines[-2:] == ["- setting_19: 19 in the checkpoint, -19 now", "- and 3 more"]
    assert "more" not in as_lines({f"setting_{i}": (i, -i) for i in range(20)})
