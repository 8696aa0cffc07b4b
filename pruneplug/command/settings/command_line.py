"""A command line as Hydra reads it, and the config it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, flag_override

from pruneplug.command.settings.compose import config_folder
from pruneplug.command.settings.rerun import RERUN, register_run, saved_run, without_places

_WORD = "dry_run"
_ANSWERS = {"true": True, "yes": True, "on": True, "1": True}
_ANSWERS |= {"false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class CommandLine:
    """What a command line asks for.

    Args:
        config: The name of the top config.
        words: Its overrides, with the folder of `--config-dir` as one of them.
        multirun: Whether it has `--multirun`.
        help: Whether it has `--help`.
        dry_run: Whether it only asks what would be done, by `dry_run=true`.
        arguments: What Hydra gets of it: a run whose settings are asked for is its `--config-dir`.
    """

    config: str
    words: tuple[str, ...]
    multirun: bool
    help: bool
    dry_run: bool
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CommandLine:
        """Read the arguments as the command gets them, and the settings of a run they ask for.

        Raises:
            OSError: If a file that they point to cannot be read.
            ValueError: If it is none to run with, or `dry_run` is neither true nor false.
        """
        dry_run, arguments = split_dry_run(arguments)
        given = get_args_parser().parse_args(list(arguments))
        words, config = list(given.overrides), given.config_name or "config"
        search = f"hydra.searchpath=[file://{given.config_dir}]"
        if (run := saved_run(given)) is not None:
            register_run(run)
            config = RERUN
            further = [search] if given.config_path and given.config_dir else []
            words += further
            arguments = ["--config-dir", str(run), *without_places(arguments), *further]
        elif given.config_dir:
            words.append(search)
        flags = bool(given.multirun), bool(given.help), dry_run
        return cls(config, (*words,), *flags, (*arguments,))

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


def split_dry_run(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take `dry_run=true` out of a command line.

    Returns:
        Whether it was there, and the other arguments.

    Raises:
        ValueError: If its value is neither true nor false.

    Example:
        >>> split_dry_run(["sparsity=0.9", "dry_run=true"])
        (True, ['sparsity=0.9'])
    """
    asked, others = False, []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key != _WORD:
            others.append(argument)
        elif value.lower() in _ANSWERS:
            asked = _ANSWERS[value.lower()]
        else:
            raise ValueError(f"{_WORD} must be true or false; got {argument}.")
    return asked, others
