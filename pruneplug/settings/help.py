"""What `--help` says; Hydra itself would list every group first, which takes it a second."""

from collections.abc import Sequence
from string import Template

from omegaconf import OmegaConf

from pruneplug.settings.command_line import CommandLine, composing, drop_hydra


def help_text(arguments: Sequence[str]) -> str | None:
    """Return what is printed for a command line with `--help`, None for one without.

    Args:
        arguments: As the command gets them.

    Raises:
        CompactHydraException, OmegaConfBaseException: If the settings cannot be composed.
    """
    line = CommandLine.parse(arguments)
    if not line.help:
        return None
    with composing():
        config = line.compose(line.words)
    template = Template(config.hydra.help.template)
    return template.substitute(CONFIG=OmegaConf.to_yaml(drop_hydra(config)))
