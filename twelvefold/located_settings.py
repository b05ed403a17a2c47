"""Where the paths in agents' settings lie: made absolute once, as agents start in other folders.

Owns which settings hold paths and how. What a path counts from, `settings` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .home import FOLDER_NAME

#: Backends of models that take a file, as in `scripted:FILE`.
_OF_FILES = ("scripted", "recorded")


def locate(values: dict[str, Any], anchored: Callable[[str, Path], Path]) -> None:
    """Make the paths of agents' settings absolute; `anchored` does it for a path of the field that it is named."""
    for field in ("prompts", "writable", "readable"):
        values[field] = tuple(anchored(field, path) for path in values[field] or ())
    named = [place.rpartition("=") for place in values["repos"] or ()]
    values["repos"] = tuple(f"{name}{equals}{anchored('repos', Path(path))}" for name, equals, path in named)
    if values["repos_file"]:
        values["repos_file"] = anchored("repos_file", values["repos_file"])
    backend, colon, file = (values["model"] or "").partition(":")
    if colon and backend in _OF_FILES and file:
        values["model"] = f"{backend}:{anchored('model', Path(file))}"


def project_prompts(project: Path) -> tuple[tuple[Path, ...], str]:
    """Return the folder of a project's own prompts, and the rule by which it is that.

    A folder that nobody made a project of Twelvefold may hold prompts of something else.
    """
    if (project / FOLDER_NAME).is_dir() or (project / "Procfile").is_file():
        return (project / "prompts",), "the project's folder `prompts`"
    return (), ""
