"""From YAML to settings: where the files are, which types they must have, how they are read."""

from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from pruneplug.command.settings.block import BlockSettings
from pruneplug.command.settings.run import SCHEMAS, Settings
from pruneplug.command.settings.sensitivity import SensitivitySettings
from pruneplug.command.settings.trainer import TrainerSettings
from pruneplug.command.settings.wording import unknown_key


def register_schemas(prefix: str = "") -> None:
    """Tell Hydra the types of all settings, as `base_<name>` next to each YAML file's name.

    Args:
        prefix: What the groups are called behind, with a slash; "" in our own command.
    """
    store = ConfigStore.instance()
    if not prefix:
        store.store(name="base_config", node=Settings)
    store.store(group=f"{prefix}block", name="base_block", node=BlockSettings)
    store.store(group=f"{prefix}sensitivity", name="base_sensitivity", node=SensitivitySettings)
    store.store(group=f"{prefix}trainer", name="base_trainer", node=TrainerSettings)
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            store.store(group=f"{prefix}{group}", name=f"base_{name}", node=schema)


def config_folder() -> Path:
    """Return the absolute folder of the YAML files: the wheel's copy, else the checkout's."""
    package = Path(__file__).resolve().parents[2]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


def read_settings(config: DictConfig) -> Settings:
    """Turn a composed configuration into checked settings.

    Args:
        config: What Hydra composed against the schemas.

    Returns:
        The settings, every interpolation resolved.

    Raises:
        ValueError: If a value is missing, unknown or out of its range.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise ValueError(f"{key} must be given; got none. Write {key}=<value>.")
    settings = OmegaConf.to_object(config)
    if not isinstance(settings, Settings):
        raise ValueError(
            "A config must have types: `- base_config` must stand first in its defaults, as in "
            "conf/config.yaml. To run the saved settings of a run again, name the folder that its "
            "config.yaml is in: python -m pruneplug.train --config-dir RUN"
        )
    _refuse_additions(settings, "")
    return settings


def read_group(config: DictConfig) -> Any:
    """Turn one of our groups in another app's configuration into checked settings.

    Args:
        config: What Hydra composed of it, e.g. `config.pruneplug.schedule`.

    Returns:
        The settings of the group, every interpolation resolved.

    Raises:
        ValueError: If a value is missing, unknown or out of its range.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise ValueError(f"{key} must be given; got none. Write {key}=<value>.")
    group = OmegaConf.to_object(config)
    _refuse_additions(group, "")
    return group


def to_yaml(settings: Settings) -> str:
    """Write settings as the YAML a user could have written, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(settings)))


def _refuse_additions(settings: Any, prefix: str) -> None:
    """Refuse keys without a field: Hydra lets `+key=value` add them to any schema."""
    known = [field.name for field in fields(settings)]
    for name, value in vars(settings).items():
        if name not in known:
            raise ValueError(unknown_key(f"{prefix}{name}", known))
        if is_dataclass(value):
            _refuse_additions(value, f"{prefix}{name}.")
