"""Errors of Hydra and OmegaConf, worded for somebody who knows neither."""

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass

from hydra.errors import CompactHydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

# What composing the settings raises for a mistake on the command line or in a YAML file.
COMPOSE_ERRORS = (CompactHydraException, OmegaConfBaseException)
_INTERPOLATION, _ESCAPED = r"(\\*)\$\{", "\\${"
# Choices of Hydra's own groups that come with an extra of this package.
EXTRAS = {
    "hydra/launcher=joblib": "sweep",
    "hydra/sweeper=optuna": "sweep",
    "hydra/launcher=submitit_local": "slurm",
    "hydra/launcher=submitit_slurm": "slurm",
    "hydra/launcher=ray": "ray",
}


def explain(error: Exception) -> str:
    """Say what the user wrote wrong.

    Args:
        error: One of `COMPOSE_ERRORS`.

    Returns:
        One line: the key or file, its value, and what is allowed.
    """
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        reason = error.message.splitlines()[1]
        return f"A setting must be written as key=value; got {error.override!r} ({reason})."
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and is_dataclass(cause.object_type):
        return unknown_key(str(cause.full_key), [field.name for field in fields(cause.object_type)])
    if isinstance(cause, OmegaConfBaseException):
        reason = str(cause).splitlines()[0].rstrip(".")
        return f"{cause.full_key or 'The settings'} cannot be read: {reason}."
    return f"{_one_line(str(error))}."


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say which settings exist beside one that does not.

    Args:
        key: The unknown setting, with its group.
        known: The names that the group has.

    Example:
        >>> unknown_key("trainer.epoch", ["epochs", "batch_size"])
        'trainer.epoch is no setting; trainer has epochs, batch_size.'
    """
    group = key.rpartition(".")[0] or "the top level"
    return f"{key} is no setting; {group} has {', '.join(known)}."


def override(key: str, value: str) -> str:
    r"""Write an override whose value Hydra reads as it is, whatever is in it.

    Example:
        >>> print(override("hydra.run.dir", 'a "b", ${c}'))
        hydra.run.dir="a \"b\", \${c}"
    """
    # Backslashes count as such, unless they stand before one of what they take its meaning from.
    quoted = re.sub(r'(\\*)("|$)', lambda m: 2 * m[1] + ('\\"' if m[2] else ""), value)
    return f'{key}="{re.sub(_INTERPOLATION, lambda m: 2 * m[1] + _ESCAPED, quoted)}"'


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if f"{group}={option}" in EXTRAS:
        extra = EXTRAS[f"{group}={option}"]
        return f"{group}={option} must be installed: pip install 'pruneplug[{extra}]'."
    # The schemas stand beside the files they check, but choosing one makes no sense.
    options = [name for name in error.options or () if not name.startswith("base_")]
    if not group or not options:
        return f"{_one_line(str(error))}."
    return f"{group} must be one of {', '.join(options)}; got {group}={option}."


def _one_line(text: str) -> str:
    """Join a message's lines and leave out OmegaConf's remarks on types."""
    telling = re.sub(r"\n\s*(full_key|reference_type|object_type)[:=].*", "", text)
    return re.sub(r"\s*\n\s*", " ", telling).rstrip(". ")
