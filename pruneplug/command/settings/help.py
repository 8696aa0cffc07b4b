"""What `--help` says; Hydra itself would list every group first, which takes it a second."""

from string import Template

from omegaconf import OmegaConf

from pruneplug.command.settings.command_line import CommandLine, composing, drop_hydra


def help_text(line: CommandLine) -> str:
    """Return what is printed for a command line with `--help`.

    Args:
        line: Whose settings are shown.

    Raises:
        CompactHydraException, OmegaConfBaseException: If the settings cannot be composed.
    """
    with composing():
        config = line.compose(line.words)
    template = Template(config.hydra.help.template)
    return template.substitute(CONFIG=OmegaConf.to_yaml(drop_hydra(config)))
