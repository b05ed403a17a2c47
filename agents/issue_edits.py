"""From what an issue states to the edits of a repository whose files are known.

Owns the decisions that need the files' names: what a path means, whether a name is a file or a word of one. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import msgspec

from .edit import EVERY, Edit
from .issue_paths import Scope, choose, looks_like_path
from .issue_statement import Pair, Problem
from .setting_files import has_settings

_COMMENT = r"[ \t]*(?:#+|//+|--|;+|%+|/\*+|<!--)[ \t]*"
_MORE_CODE = r"(?:existing|rest|remain\w*|remainder|unchanged|previous|other|same|omitted|code|as before)"
#: A line that stands for lines which the issue doesn't show: "# ... existing code ...", "// rest unchanged".
_ELIDED = re.compile(
    rf"^(?:{_COMMENT}(?:(?:\.{{3,}}|…)[ \t]*(?:[^\n]{{0,60}}\b{_MORE_CODE}\b[^\n]*)?"
    r"|[(\[]?(?:the )?(?:rest|remainder|existing code|remaining \w+)\b[^\n]*"
    r"\b(?:unchanged|same|as before|as is|omitted|here)\b[^\n]*)"
    r"(?:\*/|-->)?|[ \t]*(?:\[(?:\.{3}|…)\]|…))[ \t]*$",
    re.M | re.I,
)
_WHAT = {"after": "lines to be put", "before": "lines to be put", "end": "lines to be put", "start": "lines to be put"}


def edits_of(pair: Pair, listed: Sequence[str], files: Collection[str]) -> list[Edit] | Problem:
    """Return what a pair means in a repository with these files; `listed` are those that the issue lists."""
    if pair.how == "everywhere":
        if pair.count == EVERY:
            return Problem(
                pair.line, "is to be replaced in the whole repository, and nothing says how often it is there"
            )
        return [msgspec.structs.replace(_edit(pair, ""), files=pair.files)]
    if pair.how == "move":
        return _moves(pair, files)
    if pair.how == "delete":
        return _deletion(pair, files)
    offered = [*pair.scopes, Scope(list(listed), 0)] if len(listed) == 1 else pair.scopes
    path, why = choose(offered, files)
    if not path and pair.old is None and pair.scopes and len(pair.scopes[0].paths) == 1:
        path = pair.scopes[0].paths[0]  # a file to be made, whatever its name looks like
    if not path:
        what = _WHAT.get(pair.how, "a setting to be changed" if pair.how == "set" else "an old and a new text")
        return Problem(pair.line, f"has {what}, but {why}")
    if pair.how == "set":
        return _setting(pair, path)
    if pair.how == "replace":
        if pair.old == pair.new and not pair.tail:
            return Problem(pair.line, "has the same text twice, as the old and as the new one")
        if pair.old is not None and not pair.old.strip():
            return Problem(pair.line, "has no old text, so nothing says where the new one goes")
        if elided := _elided(pair):
            return Problem(pair.line, f"has a new text that stands for lines which it does not show ({elided})")
    elif pair.old is not None and not pair.old.strip():
        return Problem(pair.line, "has no text beside which the new one goes")
    return [_edit(pair, path)]


def _elided(pair: Pair) -> str:
    """Return the line of a new text that stands for others, which the file doesn't have; "" where none does."""
    shown = {line.strip() for line in (pair.old or "").splitlines()}
    found = (match[0].strip() for match in _ELIDED.finditer(pair.new or ""))
    return next((line for line in found if pair.old is not None and line not in shown), "")


def _edit(pair: Pair, path: str, to: str = "") -> Edit:
    return Edit(
        path=path,
        old=pair.old,
        new=pair.new,
        count=pair.count,
        lines=pair.lines,
        line=pair.line,
        at_line=pair.at_line,
        how=pair.how,
        key=pair.key,
        to=to,
        tail=pair.tail,
    )


def _setting(pair: Pair, path: str) -> list[Edit] | Problem:
    if has_settings(path):
        return [_edit(pair, path)]
    if pair.old is None:
        return Problem(pair.line, f"names a setting of {path}, which is no file whose settings this can tell")
    values = (pair.old, pair.new, pair.count, pair.line)
    return [Edit(path=path, old=values[0], new=values[1], count=values[2], line=values[3])]


def _moves(pair: Pair, files: Collection[str]) -> list[Edit] | Problem:
    old, new = pair.scopes[0].paths[0], pair.to
    beside = _beside(pair, files, (old, new))
    if old.endswith("/"):
        inside = [path for path in files if path.startswith(old)]
        if not inside or any(path.startswith(new) for path in files) or old.rstrip("/") in files:
            return Problem(pair.line, f"asks to move the folder {old}, which is not there, or to a place that is taken")
        return [_edit(pair, path, new + path.removeprefix(old)) for path in sorted(inside)]
    if beside and old not in files:
        return [Edit(path=beside, old=old, new=new, line=pair.line)]  # a word of that file
    if beside:
        return Problem(pair.line, f"may mean the file {old} itself, or its name in {beside}")
    if new.endswith("/") or any(path.startswith(f"{new}/") for path in files):
        new = f"{new.rstrip('/')}/{old.rpartition('/')[2]}"
    elif not looks_like_path(new) and "/" not in new and "." in old:
        return Problem(pair.line, f"asks to move {old} to {new}, which is neither a folder that is there nor a file")
    return [_edit(pair, old, new)]


def _deletion(pair: Pair, files: Collection[str]) -> list[Edit] | Problem:
    path = pair.scopes[0].paths[0]
    beside = _beside(pair, files, (path,))
    if beside:
        return Problem(pair.line, f"may mean the file {path} itself, or what {beside} says of it")
    return [_edit(pair, path)]


def _beside(pair: Pair, files: Collection[str], own: Collection[str]) -> str:
    """Return the file under whose name an order about another file stands."""
    named = [path for scope in pair.scopes[1:] for path in scope.paths]
    if any(path in own for path in named):
        return ""
    return next((path for path in named if path in files), "")
