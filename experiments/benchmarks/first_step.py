"""The command, saying FIRST_STEP on standard output when the first compiled call is back."""

from __future__ import annotations

from typing import Any

from pruneplug.command import builders
from pruneplug.command.main import main

_build_loss = builders.build_loss


def _announce_first_step(model: Any) -> Any:
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
    return _build_loss(model)


if __name__ == "__main__":
    builders.build_loss = _announce_first_step
    main()
