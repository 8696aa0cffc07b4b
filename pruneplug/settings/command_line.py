"""A command line as Hydra reads it, and the config it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, flag_override

from pruneplug.settings.compose import config_folder


@dataclass(frozen=True)
class CommandLine:
    """What a command line asks for.

    Args:
        config: The name of the top config.
        words: Its overrides, with the folder of `--config-dir` as one of them.
        multirun: Whether it has `--multirun`.
        help: Whether it has `--help`.
    """

    config: str
    words: tuple[str, ...]
    multirun: bool
    help: bool

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CommandLine:
        """Read the arguments as the command gets them."""
        given = get_args_parser().parse_args(list(arguments))
        words = list(given.overrides)
        if given.config_dir:
            words.append(f"hydra.searchpath=[file://{given.config_dir}]")
        config = given.config_name or "config"
        return cls(config, tuple(words), bool(given.multirun), bool(given.help))

    def compose(self, words: Sequence[str]) -> DictConfig:
        """Compose the config with these overrides, Hydra's own settings included.

        Raises:
            CompactHydraException, OmegaConfBaseException: If the settings cannot be composed.
        """
        return compose(self.config, list(words), return_hydra_config=True)


@contextmanager
def composing() -> Iterator[None]:
    """Let configs be composed from the project's folder."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


def drop_hydra(config: DictConfig) -> DictConfig:
    """Return the config after taking Hydra's own settings out of it."""
    with flag_override(config, ["struct", "readonly"], [False, False]):
        del config["hydra"]
    return config
