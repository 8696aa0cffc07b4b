"""The networks the command offers, one file each, named as in `conf/model/`."""

from pruneplug.models.outputs import check_output, outputs_logits

__all__ = ["check_output", "outputs_logits"]
