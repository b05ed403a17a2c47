"""Today's agents in the process that runs them again: each is imported as in a process of its own.

Owns whose modules are there, and which folder comes first on the import path, while an agent runs: two agents may have
modules of the same names in their folders. What is installed is imported once for all. Leaves importing to `loading`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..base import BaseAgent
from ..code_version import code_version, is_own
from ..errors import AgentNotLoadable
from ..loading import load_agent


class ImportedAgents:
    """The agents of several folders; made before the first of them is imported."""

    def __init__(self) -> None:
        self._framework = set(sys.modules)
        self._path = [*sys.path]
        self._at = ("", Path())
        self._folders: set[str] = set()
        #: The modules of each target while another one's are there.
        self._modules: dict[tuple[str, Path], dict[str, ModuleType]] = {}
        #: The class and the version of each target by its folder.
        self._loaded: dict[tuple[str, Path], tuple[type[BaseAgent], str]] = {}

    def make(self, target: str, folder: Path) -> tuple[BaseAgent, str]:
        """Make an agent, which knows nothing of earlier tasks, and return it with its version; as `load_agent`."""
        os.chdir(folder)
        self._change_to(target, folder)
        if (target, folder) in self._loaded:
            cls, code = self._loaded[target, folder]
            try:
                return cls(), code
            except (Exception, SystemExit) as error:
                said = f"making it once more failed: {type(error).__name__}: {error}"
                raise AgentNotLoadable(target, said) from error
        before = len(sys.modules)
        agent = load_agent(target, folder)
        code = str(code_version(target, type(agent), folder, before))
        self._loaded[target, folder] = type(agent), code
        return agent, code

    def _change_to(self, target: str, folder: Path) -> None:
        if self._at == (target, folder):
            return
        self._folders.add(f"{folder}/")
        theirs = dict(self._of_folders())
        for name in theirs:
            del sys.modules[name]
        self._modules[self._at] = theirs
        self._at = (target, folder)
        sys.modules.update(self._modules.pop(self._at, {}))
        sys.path[:] = dict.fromkeys([str(folder.absolute()), *self._path])

    def _of_folders(self) -> Iterator[tuple[str, ModuleType]]:
        tops = tuple(self._folders)
        for name, module in [*sys.modules.items()]:
            if name in self._framework:
                continue
            if any(place.startswith(tops) and is_own(place) for place in _places(module)):
                yield name, module


def _places(module: ModuleType) -> list[str]:
    """Return where a module lies; one without a file of its own, where it takes its parts from."""
    file = getattr(module, "__file__", None)
    return [file] if isinstance(file, str) else [f"{place}/" for place in getattr(module, "__path__", ())]
