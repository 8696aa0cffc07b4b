"""A run's saved settings as the config of a command line: `--config-dir RUN` runs them again."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from pruneplug.command.folder import CONFIG, HYDRA_SWEEP
from pruneplug.command.settings.compose import config_folder
from pruneplug.command.settings.run import SCHEMAS, Settings

# What the settings are registered as, and each of their groups, beside the schemas.
RERUN = "base_rerun"
_LONG = ("--config-dir", "--config-name", "--config-path")
_SHORT = ("-cd", "-cn", "-cp")
# So many runs are named where one must be chosen.
_SHOWN = 5


def saved_run(given: Namespace) -> Path | None:
    """Find the run whose settings a command line asks for.

    `--config-dir RUN` is the way to ask. Users of Hydra add `--config-name config`, or write
    `--config-path RUN`: by itself Hydra would take our own config.yaml for the first, and read
    settings without types for the second.

    Args:
        given: The command line, as Hydra has parsed it.

    Returns:
        The run's folder; None if no run is asked for.

    Raises:
        ValueError: If the folder is a sweep's, or holds a config that would not be read.
    """
    place, named = given.config_path or given.config_dir, given.config_name
    if not place or named not in (None, CONFIG, Path(CONFIG).stem):
        return None
    path = Path(place).absolute()
    file = path if path.is_file() else path / CONFIG
    if not file.is_file():
        _check_folder(path, given)
        return None
    content = _read(file)
    if "defaults" in content:
        if named and not given.config_path:
            raise ValueError(
                f"--config-name must not be the name of the command's own config; got {file}, "
                "which would not be read. Give it another name."
            )
        return None
    known = {field.name for field in fields(Settings)}
    if not (named or given.config_path or content.keys() <= known):
        return None  # another app's, in a folder of further configs
    if (file.parent / HYDRA_SWEEP).exists():
        raise ValueError(
            f"--config-dir must be the folder of one run; got {file.parent}, which is a sweep's. "
            f"Take that of one of its jobs, or repeat the command that is in its {HYDRA_SWEEP}."
        )
    return file.parent


def register_run(run: Path) -> None:
    """Tell Hydra the settings of a run, as the config `base_rerun`.

    Each group of them becomes a choice of that group, on top of the file of `conf/` that it was
    made from. So they have their types, what an older version did not know has its default, and
    `model=cnn` chooses another network as usual.

    Args:
        run: The run's folder.

    Raises:
        ValueError: If its file is not what a run writes.
    """
    saved = _read(run / CONFIG)
    top = _read(config_folder() / CONFIG)
    store = ConfigStore.instance()
    for choice in top["defaults"]:
        for group in choice if isinstance(choice, dict) else ():
            if group in saved:
                own = saved.pop(group)
                if not isinstance(own, dict):
                    raise ValueError(f"{run / CONFIG} must be a run's; got {group}={own!r}.")
                base = own.get("name", choice[group])
                if base not in SCHEMAS.get(group, (base,)):
                    known = ", ".join(SCHEMAS[group])
                    raise ValueError(f"{group} must be one of {known}; got {group}.name={base}.")
                store.store(group=group, name=RERUN, node={"defaults": [base, "_self_"], **own})
                choice[group] = RERUN
    store.store(name=RERUN, node={**top, **saved})


def without_places(arguments: Sequence[str]) -> list[str]:
    """Take the options that say where configs are, with their values, out of a command line.

    Example:
        >>> without_places(["-cn", "config", "-m", "--config-path=run", "seed=1,2"])
        ['-m', 'seed=1,2']
    """
    kept, is_value = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        # The beginning of a long option stands for it.
        long = name.startswith("--config-") and any(option.startswith(name) for option in _LONG)
        if is_value:
            is_value = False
        elif long or name in _SHORT:
            is_value = not equals
        else:
            kept.append(argument)
    return kept


def _check_folder(folder: Path, given: Namespace) -> None:
    """Refuse a folder without a run's settings that holds nothing else to run with either."""
    if given.config_path and "://" not in given.config_path:
        raise ValueError(
            f"--config-path must be the folder of a run or of configs; got {folder}, without a "
            f"{CONFIG}."
        )
    if given.config_name or not folder.is_dir():
        return  # Hydra says what is wrong
    if runs := sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}")):
        raise ValueError(
            "--config-dir must be the folder of one run; got "
            f"{folder}, which holds {', '.join(runs[:_SHOWN])}."
        )
    if not any(found for depth in ("", "*/", "*/*/") for found in folder.glob(f"{depth}*.yaml")):
        raise ValueError(f"--config-dir must hold a run's {CONFIG}, or configs; got {folder}.")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(file))
    except (ValueError, OSError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file} must be a YAML file; it cannot be read ({reason}).") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{file} must map names to values; got {content!r}.")
    return {str(key): value for key, value in content.items()}
