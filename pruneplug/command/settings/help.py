"""What `--help` says; Hydra itself would list every group first, which takes it a second."""

from collections.abc import Iterator
from string import Template
from textwrap import wrap

import yaml
from omegaconf import OmegaConf

from pruneplug.command.settings.command_line import CommandLine, composing, drop_hydra
from pruneplug.command.settings.compose import config_folder

# Where the names of a group begin, and where what it is for does.
_NAMES, _PURPOSE = 14, 53


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
    shown = OmegaConf.to_yaml(drop_hydra(config))
    return template.substitute(dict(_groups()), CONFIG=shown)


def _groups() -> Iterator[tuple[str, str]]:
    """Yield each group, and its line as far as what it is for: its files, the default first."""
    content = yaml.safe_load((config_folder() / "config.yaml").read_text())
    defaults = [choice for choice in content["defaults"] if isinstance(choice, dict)]
    for group, default in (pair for choice in defaults for pair in choice.items()):
        files = sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
        names = ", ".join(sorted(files, key=lambda name: name != default))
        first, *others = wrap(names, _PURPOSE - _NAMES - 1)
        *full, last = [f"  {group:<{_NAMES - 2}}{first}", *(" " * _NAMES + o for o in others)]
        yield group, "\n".join([*full, f"{last:<{_PURPOSE}}"])
