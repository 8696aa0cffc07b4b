"""The networks of the command: `from pruneplug.models import mlp`."""

from pruneplug.command.models import check_output, cnn, mlp, outputs_logits, resnet, saved

__all__ = ["check_output", "cnn", "mlp", "outputs_logits", "resnet", "saved"]
