"""The command, saying FIRST_STEP on standard output when the first compiled call is back."""

from __future__ import annotations

from typing import Any

from pruneplug.command.main import main
from pruneplug.command.settings.model import ModelSettings

_build = ModelSettings.build


def _announce_first_step(self: ModelSettings, splits: Any) -> Any:
    model = _build(self, splits)
    # Imported once a model is there, and not before: when TensorFlow comes is the command's choice.
    from pruneplug.training.steps.loop import StepLoop

    run = StepLoop.run

    def announced(self: StepLoop, first: int, count: int) -> dict[str, Any]:
        outputs = run(self, first, count)
        if first == 0 and "loss" in outputs:
            print("FIRST_STEP", flush=True)
        return outputs

    # mypy: the method of a class is replaced on purpose.
    StepLoop.run = announced  # type: ignore[method-assign]
    return model


if __name__ == "__main__":
    ModelSettings.build = _announce_first_step  # type: ignore[method-assign]
    main()
