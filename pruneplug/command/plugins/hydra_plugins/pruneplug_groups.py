"""Offers the groups of `conf/` to other Hydra apps, as `pruneplug/<group>`.

Hydra finds this module by the namespace package that it lies in. It is read at the start of every
Hydra app where pruneplug is installed, so it imports nothing heavy.
"""

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

from pruneplug.command.settings import config_folder, register_schemas

_PREFIX = "pruneplug"
# They are made for our own command: its other groups fit into any app.
_OWN = ("hydra", "experiment")


class PruneplugGroups(SearchPathPlugin):
    """Puts our groups behind those of an app."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add them, unless the app is our own command, which has them at its top."""
        ours = str(config_folder())
        paths = [str(element.path).removeprefix("file://") for element in search_path.get_path()]
        if ours not in paths:
            register_schemas(f"{_PREFIX}/")
            search_path.append(_PREFIX, f"{PruneplugSource.scheme()}://conf")


class PruneplugSource(ConfigSource):
    """The files of `conf/`, one level down: `pruneplug/schedule/linear`, for one."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        self._files = FileConfigSource(provider, f"file://{config_folder()}")

    @staticmethod
    def scheme() -> str:
        """Return what our search path begins with."""
        return _PREFIX

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file."""
        return self._files.load_config(self._inside(config_path) or "")

    def is_group(self, config_path: str) -> bool:
        """Return whether it is the top, the prefix, or a group behind it."""
        inside = self._inside(config_path)
        return config_path == "" or (inside is not None and self._files.is_group(inside))

    def is_config(self, config_path: str) -> bool:
        """Return whether it is a file behind the prefix."""
        inside = self._inside(config_path)
        return bool(inside) and self._files.is_config(str(inside))

    def available(self) -> bool:
        """Return whether our files are there."""
        return self._files.available()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the groups, or the files of one."""
        inside = self._inside(config_path)
        if inside is None:
            return [_PREFIX] if results_filter != ObjectType.CONFIG else []
        found = self._files.list(inside, ObjectType.GROUP if inside == "" else results_filter)
        return [name for name in found if name not in _OWN]

    @staticmethod
    def _inside(config_path: str) -> str | None:
        """Take the prefix off a path; None if it has none, or leads to what is not offered."""
        prefix, _, rest = config_path.partition("/")
        return rest if prefix == _PREFIX and rest.partition("/")[0] not in _OWN else None
