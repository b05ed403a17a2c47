"""Files that hold settings and requirements, as values by where they stand: TOML, JSON, INI, Python, requirements.

Owns which file is read how. Pure. Keeps: `Settings.with_value` tells what the same file reads as once one value is
another, so that an edit of the text can be proved to change that value and nothing else.
"""

from __future__ import annotations

import ast
import configparser
import copy
import json
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

Where = tuple[str | int, ...]
#: Larger files are not looked into.
SIZE_MAX = 1 << 20
#: Where the version of the project itself stands, by the names of files that have such a place.
_OWN_VERSION: dict[str, tuple[Where, ...]] = {
    "pyproject.toml": (("project", "version"), ("tool", "poetry", "version")),
    "cargo.toml": (("package", "version"), ("workspace", "package", "version")),
    "setup.cfg": (("metadata", "version"),),
    "package.json": (("version",),),
    "package-lock.json": (("version",), ("packages", "", "version")),
    "composer.json": (("version",),),
    "manifest.json": (("version",),),
    "plugin.json": (("version",),),
    "version.json": (("version",),),
}


class Leaf(msgspec.Struct, frozen=True):
    """One value that is no table or list, and where it stands."""

    where: Where
    value: Any


class Settings(msgspec.Struct, frozen=True):
    """A file as it reads: its values, what it reads as with one of them replaced, and as it is."""

    leaves: list[Leaf]
    with_value: Callable[[Where, Any], Any]
    read: Any
    own_version: tuple[Where, ...] = ()


def has_settings(path: str) -> bool:
    """Tell whether a file is one that this can look into, by its name."""
    return _reader(path) is not None


def read_settings(path: str, text: str) -> Settings | None:
    """Return a file's settings; None where it can't be read as what its name says."""
    reader = _reader(path)
    if reader is None or len(text) > SIZE_MAX:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in somebody's string literals
            found = reader(text)
    except (ValueError, SyntaxError, configparser.Error, RecursionError, MemoryError):
        return None
    own = _OWN_VERSION.get(PurePosixPath(path).name.lower(), ())
    return msgspec.structs.replace(found, own_version=own)


def _reader(path: str) -> Callable[[str], Settings] | None:
    name = PurePosixPath(path)
    if re.fullmatch(r"(?:[\w.-]*[-_])?(?:requirements|constraints)[\w.-]*\.(?:txt|in)", name.name, re.I) or (
        name.parent.name == "requirements" and name.suffix in (".txt", ".in")
    ):
        return _requirements
    if name.name == "Pipfile":
        return _toml
    return _READERS.get(name.suffix.lower())


def _tree(read: Any) -> Settings:
    def with_value(where: Where, value: Any) -> Any:
        new = copy.deepcopy(read)
        inner = new
        for step in where[:-1]:
            inner = inner[step]
        inner[where[-1]] = value
        return new

    return Settings([Leaf(where, value) for where, value in _leaves(read, ())], with_value, read)


def _leaves(value: Any, where: Where) -> Iterator[tuple[Where, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*where, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*where, number))
    else:
        yield where, value


def _toml(text: str) -> Settings:
    return _tree(tomllib.loads(text))


def _json(text: str) -> Settings:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    return _tree(json.loads(text, object_pairs_hook=once))


def _ini(text: str) -> Settings:
    parser = configparser.RawConfigParser(allow_no_value=True, default_section="\0", empty_lines_in_values=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return _tree({name: dict(parser.items(name)) for name in parser.sections()})


def _requirements(text: str) -> Settings:
    lines = [re.sub(r"(?:^|\s+)#.*", "", line).strip() for line in text.split("\n")]
    return _tree([line for line in lines if line])


def _python(text: str) -> Settings:
    """Read what a module assigns to names, what it hands to `setup`, and the strings in its lists."""
    tree = ast.parse(text)
    named: dict[Where, ast.Constant] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not targets or not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant):
                named[(node.lineno, node.col_offset, target.id)] = node.value
    for inside in ast.walk(tree):
        if isinstance(inside, ast.Call) and getattr(inside.func, "id", getattr(inside.func, "attr", "")) == "setup":
            for word in inside.keywords:
                if isinstance(word.value, ast.Constant) and word.arg:
                    named[(word.value.lineno, word.value.col_offset, word.arg)] = word.value
        elif isinstance(inside, ast.List | ast.Tuple):
            inner = [one for one in inside.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            named |= {(one.lineno, one.col_offset, ""): one for one in inner}

    def with_value(where: Where, value: Any) -> Any:
        constant = named[where]
        before, constant.value = constant.value, value
        try:
            return ast.dump(tree)
        finally:
            constant.value = before

    leaves = [Leaf(where, constant.value) for where, constant in named.items()]
    return Settings(leaves, with_value, ast.dump(tree))


_READERS: dict[str, Callable[[str], Settings]] = {
    ".toml": _toml,
    ".json": _json,
    ".ini": _ini,
    ".cfg": _ini,
    ".py": _python,
}
