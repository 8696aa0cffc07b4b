"""The networks the command offers, one file each, named as in `conf/model/`."""

from pruneplug.command.models.outputs import check_output, cross_entropy, outputs_logits

__all__ = ["check_output", "cross_entropy", "outputs_logits"]
