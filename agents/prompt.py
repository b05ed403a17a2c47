"""Prompts: Markdown files whose front matter declares their variables, filled in strictly.

Owns finding, reading and rendering. A prompt's text is the project's to change: a file of the same name in one of the
folders of `settings.prompts` comes before the packaged one (`agents/prompts/`). Keeps: a missing or unknown variable is
an error; what a variable holds is put in as it is and never read as part of the prompt; the hash names the exact file.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from .models.errors import PromptInvalid, PromptMissing, PromptVariables

PACKAGED = Path(__file__).parent / "prompts"
#: The line that begins and ends a front matter.
_FENCE = "---"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]*")


class _Braces(string.Template):
    r"""Text with `{{ name }}` in it; `\{{` stands for the braces themselves."""

    delimiter = "{{"
    flags = re.VERBOSE
    # A text here, which the class makes a pattern of.
    pattern = r"(?P<escaped>(?!))|\{\{\s*(?P<named>[a-z][a-z0-9_]*)\s*\}\}|(?P<braced>(?!))|(?P<invalid>\{\{)"  # type: ignore[assignment]


class Prompt(msgspec.Struct, frozen=True):
    """A prompt as read from its file. `variables` maps each name to what it is for; `hash` is the file's SHA-256."""

    name: str
    text: str
    variables: dict[str, str]
    hash: str
    path: str = ""

    def render(self, **variables: object) -> str:
        """Return the text with the variables put in; raises PromptVariables unless exactly the declared are given."""
        missing = tuple(name for name in self.variables if name not in variables)
        unknown = tuple(name for name in variables if name not in self.variables)
        if missing or unknown:
            raise PromptVariables(self.name, self.path, missing, unknown)
        parts = self.text.split("\\{{")
        return "{{".join(_Braces(part).substitute(variables) for part in parts)


def load_prompt(name: str, folders: Iterable[Path] = ()) -> Prompt:
    """Return the prompt NAME.md from the first folder that has it, else the packaged one.

    Raises PromptMissing and PromptInvalid.
    """
    if not _NAME.fullmatch(name):
        raise PromptMissing(name, ())
    looked = [*folders, PACKAGED]
    for folder in looked:
        path = folder / f"{name}.md"
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise PromptInvalid(str(path), 1, error.strerror or str(error)) from error
        return read_prompt(name, raw, str(path))
    raise PromptMissing(name, tuple(str(folder) for folder in looked))


def prompt_hashes(folders: Iterable[Path] = ()) -> dict[str, str]:
    """Return the hash of each prompt that there is, by its name, as `load_prompt` would find it."""
    found: dict[str, str] = {}
    for folder in [*folders, PACKAGED]:
        for path in sorted(folder.glob("*.md")) if folder.is_dir() else ():
            if _NAME.fullmatch(path.stem) and path.stem not in found:
                found[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def read_prompt(name: str, raw: bytes, path: str) -> Prompt:
    """Return the prompt that a file's bytes make; raises PromptInvalid, which names the line."""
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise PromptInvalid(path, raw.count(b"\n", 0, error.start) + 1, "the line is not UTF-8") from None
    lines = text.split("\n")
    declared: dict[str, str] = {}
    start = 0
    if lines[0].rstrip() == _FENCE:
        end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
        if end is None:
            raise PromptInvalid(path, 1, "the front matter has no end: a line `---` is missing")
        declared = _declared("\n".join(lines[1:end]), path)
        start = end + 1
    body = "\n".join(lines[start:]).strip("\n") + "\n"
    _check_uses(lines, start, declared, path)
    return Prompt(name, body, declared, hashlib.sha256(raw).hexdigest(), path)


def _declared(front: str, path: str) -> dict[str, str]:
    """Read the front matter: YAML with `variables`, a list of names or a mapping of names to what they are for."""
    import yaml  # where a prompt is read only: most agents have none

    try:
        matter: Any = yaml.safe_load(front) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 2 + (mark.line if mark else 0)
        raise PromptInvalid(path, line, f"the front matter is not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(matter, dict):
        raise PromptInvalid(path, 2, "the front matter is no mapping such as `variables: [issue]`")
    given = matter.get("variables") or {}
    if isinstance(given, list):
        given = dict.fromkeys(given, "")
    if not isinstance(given, dict):
        raise PromptInvalid(path, 2, "`variables` is neither a list of names nor a mapping")
    for variable in given:
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise PromptInvalid(path, 2, f"{variable!r} is no name of a variable: small letters, digits and _")
    return {variable: str(meaning or "") for variable, meaning in given.items()}


def _check_uses(lines: list[str], start: int, declared: dict[str, str], path: str) -> None:
    """Refuse braces that aren't a declared variable's."""
    for number, line in enumerate(lines[start:], start + 1):
        for part in line.split("\\{{"):
            template = _Braces(part)
            if not template.is_valid():
                raise PromptInvalid(path, number, r"`{{` begins no variable; to mean the braces, write `\{{`")
            for name in template.get_identifiers():
                if name not in declared:
                    raise PromptInvalid(path, number, f"the variable {name} is not declared in the front matter")
