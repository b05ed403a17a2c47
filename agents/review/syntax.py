"""Own check: files that could be parsed before the change, or are new, and can't be parsed after it.

Owns how sure that is: this interpreter's grammar isn't every project's. Pure.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Iterator

from .change import Change, ChangedFile
from .finding import Confidence, Finding
from .kinds import is_fixture, is_test, is_text
from .rules import Rules

#: What newer Pythons than this one understand: type statements and parameters, template strings, bare except lists.
_NEWER = re.compile(
    r"^\s*type \w+|^\s*(?:async )?def \w+\[|^\s*class \w+\[|\bt['\"]|^\s*except \w+, \w+.*:|f['\"]", re.MULTILINE
)
_OLDER = re.compile(
    r"^\s*print [\"'\w]|^\s*except \w+, \w+:|^\s*exec [\"'\w]|\bur['\"]|<>|\b0\d+L?\b|`\w+`", re.MULTILINE
)
#: JSON that allows comments, by name: editors' and compilers' settings.
_RELAXED = re.compile(
    r"(?:^|/)(?:[tj]sconfig[^/]*|\.eslintrc|\.babelrc|devcontainer|\.?swcrc|\.?jsonc|renovate)|(?:^|/)\.vscode/"
)


def check_syntax(change: Change, rules: Rules) -> Iterator[Finding]:
    """Parse what the change leaves, where there is a parser."""
    for file in change.files:
        if file.new_file is None or (file.status == "renamed" and not file.hunks):
            continue
        problem = _problem(file.suffix, file.path, file.new_file.text)
        if problem is None:
            continue
        line, said = problem
        parsed_before = file.old_file is not None and _problem(file.suffix, file.old_path, file.old_file.text) is None
        if file.old_file is not None and not parsed_before:
            continue  # it was so before
        yield Finding(
            file=file.path, line=max(1, min(line, max(len(file.new_lines), 1))), rule="syntax-error", severity="error",
            confidence=_sure(file, parsed_before), message=f"the file can't be parsed: {said}",
            harm="nothing that loads the file works any more",
        )  # fmt: skip


def _problem(suffix: str, path: str, text: str) -> tuple[int, str] | None:
    """Return line and words of the first error; None where there is none or no parser."""
    if suffix in (".py", ".pyi"):
        return _python(text)
    if suffix == ".json" and not _RELAXED.search(path):
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            return error.lineno, error.msg
        except RecursionError:
            return None
    if suffix == ".toml":
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            return int(found[1]) if found else 1, str(error)
        except RecursionError:
            return None
    return None


def _python(text: str) -> tuple[int, str] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except SyntaxError as error:
            return error.lineno or 1, error.msg
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _sure(file: ChangedFile, parsed_before: bool) -> Confidence:
    if is_fixture(file.path) or is_text(file.path):
        return "low"
    brought = "\n".join(line for _, line in file.added_lines)
    if file.suffix in (".py", ".pyi") and (_NEWER.search(brought) or (not parsed_before and _OLDER.search(brought))):
        return "medium"  # another Python may understand it
    if not parsed_before and (is_test(file.path) or file.suffix == ".json"):
        return "medium"
    return "high"
