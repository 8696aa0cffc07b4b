"""What `--help` says; Hydra itself would list every group first, which takes it a second."""

from collections.abc import Sequence
from string import Template

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf, flag_override

from pruneplug.settings.compose import config_folder


def help_text(arguments: Sequence[str]) -> str | None:
    """Return what is printed for a command line with `--help`, None for one without.

    Args:
        arguments: As the command gets them.

    Raises:
        CompactHydraException, OmegaConfBaseException: If the settings cannot be composed.
    """
    given = get_args_parser().parse_args(list(arguments))
    if not given.help:
        return None
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose(given.config_name or "config", given.overrides, return_hydra_config=True)
    template = Template(config.hydra.help.template)
    with flag_override(config, ["struct", "readonly"], [False, False]):
        del config["hydra"]
    return template.substitute(CONFIG=OmegaConf.to_yaml(config))
