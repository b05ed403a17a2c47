"""Where a Python project's modules start, and what they are called from there.

Pure: decided from the paths and configuration files of the tree. Keeps: a root is a folder of the tree, so that on
PYTHONPATH it points into the workspace and nowhere else.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from .test_runner import is_test_file, toml

_NOT_PACKAGES = {"tests", "test", "testing", "docs", "doc", "examples", "example", "benchmarks", "scripts", "tools"}


def source_roots(paths: Sequence[str], contents: Mapping[str, str], changed: Sequence[str] = ()) -> list[str]:
    """List the folders ("" is the top) that belong on PYTHONPATH, the ones that configuration names first."""
    known_paths = set(paths)
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    configured = [_clean(root) for root in _configured(contents)]
    roots = [root for root in configured if root == "" or root in folders]
    modules = [path for path in paths if path.endswith(".py")]
    if any(path.startswith("src/") for path in modules) and "src/__init__.py" not in paths:
        roots.append("src")
    for path in changed:
        root = _package_root(path, known_paths)
        if root is not None and not any(_inside(path, known) for known in roots):
            roots.append(root)
    if any(_at_top(path, known_paths) for path in modules):
        roots.append("")
    return list(dict.fromkeys(roots))


def module_names(path: str, roots: Sequence[str]) -> list[str]:
    """Return what a changed file is called when it is imported from a root; nothing for tests and non-modules."""
    file = PurePosixPath(path)
    if file.suffix != ".py" or is_test_file(path) or file.name in ("conftest.py", "setup.py", "noxfile.py"):
        return []
    names = []
    for root in roots:
        if not _inside(path, root):
            continue
        parts = list(file.with_suffix("").relative_to(root or ".").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if parts and all(part.isidentifier() for part in parts):
            names.append(".".join(parts))
        if root:
            break  # the top holds every other root; a name from there would be another module's
    return names[:1]


def _clean(root: str) -> str:
    path = str(PurePosixPath(root.strip().strip("/") or "."))
    return "" if path == "." else path


def _inside(path: str, root: str) -> bool:
    return root == "" or path.startswith(root + "/")


def _at_top(path: str, paths: set[str]) -> bool:
    parts = PurePosixPath(path).parts
    if len(parts) == 1:
        return not is_test_file(path) and path not in ("setup.py", "conftest.py", "noxfile.py")
    return parts[0] not in _NOT_PACKAGES and f"{parts[0]}/__init__.py" in paths


def _package_root(path: str, paths: set[str]) -> str | None:
    """Return the folder above the outermost package that holds a file; None for a file in no package."""
    folder = PurePosixPath(path).parent
    if not path.endswith(".py") or f"{folder}/__init__.py" not in paths or is_test_file(path):
        return None
    while f"{folder}/__init__.py" in paths:
        folder = folder.parent
    return _clean(str(folder))


def _configured(contents: Mapping[str, str]) -> list[str]:
    tools = toml(contents.get("pyproject.toml", "")).get("tool", {})
    roots: list[str] = []
    pytest = _table(tools, "pytest")
    roots += _words(_table(pytest, "ini_options").get("pythonpath", pytest.get("pythonpath", [])))
    for name in ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"):
        parsed = _ini(contents.get(name, ""))
        for section in ("pytest", "tool:pytest"):
            roots += _words(parsed.get(section, {}).get("pythonpath", []))
        roots += re.findall(r"^\s*=\s*(\S+)", parsed.get("options", {}).get("package_dir", ""), re.MULTILINE)
        roots += _words(parsed.get("options.packages.find", {}).get("where", []))
    setuptools = _table(tools, "setuptools")
    roots += _words(_table(setuptools, "package-dir").get("", []))
    roots += _words(_table(_table(setuptools, "packages"), "find").get("where", []))
    roots += _words(_table(tools, "pdm", "build").get("package-dir", []))
    packages = _table(tools, "poetry").get("packages", [])
    roots += [entry["from"] for entry in packages if isinstance(entry, dict) and isinstance(entry.get("from"), str)]
    wheel = _table(tools, "hatch", "build", "targets", "wheel")
    roots += _words(wheel.get("sources", [])) if isinstance(wheel.get("sources"), list) else []
    roots += [str(PurePosixPath(package).parent) for package in _words(wheel.get("packages", []))]
    roots += re.findall(r"package_dir\s*=\s*\{\s*[\"']{2}\s*:\s*[\"']([^\"']+)", contents.get("setup.py", ""))
    return roots


def _table(table: Any, *names: str) -> dict[str, Any]:
    for name in names:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return table if isinstance(table, dict) else {}


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _ini(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}  # the tools that own the file will say so
    return {section: {key: value or "" for key, value in parser.items(section)} for section in parser.sections()}
