"""Typed settings of the command.

Hydra composes the YAML files of `conf/` against the dataclasses of this package, so a misspelt key
or a value of the wrong type is refused while composing; building the dataclasses checks ranges. No
`DictConfig` gets past `read_settings`.
"""

from pruneplug.command.settings.compose import (
    config_folder,
    read_group,
    read_settings,
    register_schemas,
    to_yaml,
)
from pruneplug.command.settings.run import Settings
from pruneplug.command.settings.wording import COMPOSE_ERRORS, explain

__all__ = [
    "COMPOSE_ERRORS",
    "Settings",
    "config_folder",
    "explain",
    "read_group",
    "read_settings",
    "register_schemas",
    "to_yaml",
]
