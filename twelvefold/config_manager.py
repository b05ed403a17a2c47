"""`ConfigManager`: a program's own settings, with where each came from.

Owns their order of precedence. How the files are read is `settings`' and `project_file`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .project_file import FILE_NAME, project_settings
from .settings import Origin, read_env_file


class ConfigManager:
    """A program's own settings: the environment, then a `.env` file, then the project file, then the caller's default.

    Values are texts. The project file is the `twelvefold.toml` beside the `.env` file, unless another is given; its
    `[settings]` count. What the files say is read at construction and at `reload`; the environment at each `get`.
    """

    def __init__(
        self,
        config_path: str | os.PathLike[str] = ".env",
        environ: Mapping[str, str] | None = None,
        *,
        project_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(config_path)
        self.project_path = self.path.parent / FILE_NAME if project_file is None else Path(project_file)
        self._environ = os.environ if environ is None else environ
        self._set: dict[str, str] = {}
        self._in_file: dict[str, str] = {}
        self._in_project: dict[str, str] = {}
        self.reload()

    def get(self, key: str, default: str | None = None) -> str | None:
        """Return the value of key: as last `set` here, from the environment, the files, or default.

        A variable that is set to nothing counts, unlike with Twelvefold's own settings: it is what the user said.
        """
        for values in (self._set, self._environ, self._in_file, self._in_project):
            if key in values:
                return values[key]
        return default

    def set(self, key: str, value: str) -> None:
        """Set key for this object only, before all other places, until `reload`; nothing is written or exported.

        Whoever wants it to last writes it into the `.env` file: a program that changes its user's files behind their
        back could not be told from one that was misled.
        """
        self._set[key] = str(value)

    def reload(self) -> None:
        """Read the files again and drop what was `set`; a missing file holds nothing.

        Raises EnvFileInvalid, ProjectFileInvalid and NotAccessible; what was read before stays then.
        """
        in_file = read_env_file(self.path) if self.path.is_file() else {}
        in_project = project_settings(self.project_path)
        self._set.clear()
        self._in_file, self._in_project = in_file, in_project

    def names(self) -> list[str]:
        """Return the keys that the files give a value, and those that were `set`, in their order."""
        return list(dict.fromkeys([*self._in_file, *self._in_project, *self._set]))

    def origin(self, key: str) -> Origin | None:
        """Return where the value of key comes from, or None where nothing gives one."""
        if key in self._set:
            return Origin("command line", "set()")
        if key in self._environ:
            return Origin("environment", key)
        if key in self._in_file:
            return Origin("env file", str(self.path))
        return Origin("project file", str(self.project_path)) if key in self._in_project else None
