"""One value of a settings file made another: a version, a requirement, a number.

Owns which value an issue means by its name, and how a new version takes the old one's place. Pure. Keeps: the text of
the file changes at one place, and the file then reads as it did but for that one value; where several values could be
meant, or the old one is not as stated, nothing is changed.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from .edit import EVERY, Change, Edit, EditFailure, Present, failed
from .edit_places import anywhere
from .setting_files import Leaf, Settings, Where, read_settings
from .text_file import TextFile

_VERSION = re.compile(r"(===|==|~=|!=|>=|<=|>|<|\^|~|=)?\s*(v?)([\w.*+!-]+)")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)(\s*\[[^\]]*\])?(\s*)([^;#@]*?)(\s*(?:;.*)?)")
#: A text that stands more often than that in a file is not looked for.
_PLACES_MAX = 300


class _Spot(msgspec.Struct, frozen=True):
    """A value that may be meant: its leaf, the text that changes within it, and the text that takes its place."""

    leaf: Leaf
    old: str
    new: str | None
    value: Any

    @property
    def done(self) -> bool:
        return self.old == self.new


def settings_changes(number: int, edit: Edit, file: TextFile) -> list[Change] | Present | EditFailure:
    """Find the one place at which a setting gets its new value, or that it has it, or why it can't."""
    settings = read_settings(edit.path, file.text)
    if settings is None:
        return failed("not_text", number, edit, f"{edit.path} can't be read as what its name says")
    spots = _spots(edit, settings)
    if not spots:
        message = f"{edit.path} has no setting or requirement {edit.key!r}"
        return failed("setting_missing", number, edit, message)
    fitting = [spot for spot in spots if spot.new is not None]
    if not fitting:
        said = ", ".join(sorted({f"{spot.old!r}" for spot in spots})[:5])
        wanted = f", not {edit.old!r}" if edit.old else f", which does not tell what becomes of it with {edit.new!r}"
        return failed("setting_differs", number, edit, f"{edit.key} in {edit.path} is {said}{wanted}")
    own = all(spot.leaf.where in settings.own_version for spot in fitting) and len({spot.old for spot in fitting}) == 1
    if edit.count not in (EVERY, len(fitting)) and not own:
        places = [" . ".join(map(str, spot.leaf.where)) for spot in fitting]
        message = f"{edit.key} stands {len(fitting)} times in {edit.path}: {'; '.join(places[:10])}"
        return failed("old_text_ambiguous", number, edit, message)
    if all(spot.done for spot in fitting):
        at = file.text.find(fitting[0].old)
        return Present(file.line_at(at) if at > 0 else 1)
    changes = []
    for spot in fitting:
        found = _span(edit.path, file.text, settings, spot)
        if found is None:
            message = f"{edit.key} in {edit.path} is {spot.old!r}, which does not stand there in one piece"
            return failed("place_unclear", number, edit, message)
        changes.append(Change(*found, spot.new or "", number))
    return changes


def _span(path: str, text: str, settings: Settings, spot: _Spot) -> tuple[int, int] | None:
    """Return where the old text stands, proved by reading the file with the new one in its place."""
    expected = settings.with_value(spot.leaf.where, spot.value)
    places = anywhere(text, spot.old) if spot.old else []
    right = []
    for start, end in places if len(places) <= _PLACES_MAX else []:
        made = read_settings(path, text[:start] + (spot.new or "") + text[end:])
        if made is not None and made.read == expected:
            right.append((start, end))
    return right[0] if len(right) == 1 else None


def _spots(edit: Edit, settings: Settings) -> list[_Spot]:
    named = [leaf for leaf in settings.leaves if _is_named(leaf.where, edit.key)]
    if _plain(edit.key) == "version":
        own = [leaf for leaf in settings.leaves if leaf.where in settings.own_version]
        if settings.own_version:
            named = own  # a version that stands elsewhere is another thing's
    found = [_of_leaf(leaf, edit) for leaf in named]
    if _plain(edit.key) == "version":
        return found
    for leaf in settings.leaves:
        if isinstance(leaf.value, str) and leaf not in named:
            found += _of_requirements(leaf, edit)
    return found


def _is_named(where: Where, key: str) -> bool:
    """Tell whether a place has a name, or is the `version` of the dependency that has it."""
    if isinstance(where[-1], int):
        return False
    steps = [_plain(step) for step in where if isinstance(step, str)]
    for parts in ([key], key.split(".")):
        wanted = [_plain(part) for part in parts]
        if steps[-len(wanted) :] == wanted:
            return True
        # Not `tool.poetry.version` for what is called poetry.
        needed = any("dependenc" in step for step in steps)
        if needed and steps[-1] == "version" and steps[-len(wanted) - 1 : -1] == wanted:
            return True
    return False


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip("_")).lower()


def _of_leaf(leaf: Leaf, edit: Edit) -> _Spot:
    new = edit.new or ""
    if isinstance(leaf.value, bool | int | float):
        old = json.dumps(leaf.value)
        value = _literal(new)
        fits = type(value) is type(leaf.value) and edit.old in (None, old)
        return _Spot(leaf, old, json.dumps(value) if fits else None, value)
    if not isinstance(leaf.value, str):
        return _Spot(leaf, str(leaf.value), None, None)
    text = respecified(leaf.value, edit.old, new)
    if _plain(edit.key) == "version" and not new[:1].isalnum():
        text = None  # a condition is no version
    return _Spot(leaf, leaf.value, text, text)


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_requirements(leaf: Leaf, edit: Edit) -> list[_Spot]:
    """Return each line of a value that requires what the edit names."""
    found = []
    for line in leaf.value.split("\n"):
        bare = re.sub(r"\s+#.*", "", line).strip()
        match = _REQUIREMENT.fullmatch(bare)
        if match is None or _plain(match[1]) != _plain(edit.key) or not _is_requirement(bare):
            continue
        spec = respecified(match[4], edit.old, edit.new or "") if match[4] else None
        if spec is None:
            found.append(_Spot(leaf, bare, None, None))
            continue
        new = f"{match[1]}{match[2] or ''}{match[3]}{spec}{match[5]}"
        value = leaf.value.replace(bare, new, 1) if leaf.value.count(bare) == 1 else None
        found.append(_Spot(leaf, bare, new if _is_requirement(new) and value is not None else None, value))
    return found


def _is_requirement(text: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except InvalidRequirement:
        return False
    return True


def respecified(current: str, old: str | None, new: str) -> str | None:
    """Return a version or requirement with its new version; None where it isn't the old one, or that isn't clear.

    An operator stays where the new version comes without one. Where there are several conditions, they all must have
    been stated.
    """
    now = _VERSION.fullmatch(current.strip())
    wanted = _VERSION.fullmatch(new.strip())
    if old is not None and not _same(current, old):
        return new if current == new else None
    if old is not None and _squeezed(old) == _squeezed(current) and wanted is None:
        return new
    whole = all((one := _VERSION.fullmatch(part.strip())) and one[1] for part in new.split(","))
    if wanted is None and whole and (now is not None or "," in current):
        return new.strip()  # several conditions say all that there is to say
    if now is None or wanted is None:  # one of several conditions says nothing about the others
        stated = old is not None and _squeezed(old) == _squeezed(current)
        return new.strip() if stated or current == new else None
    if wanted[1]:
        # An exact version stays exact unless it is said what it shall be instead.
        return new.strip()
    mark = "" if wanted[2] else now[2]
    gap = current.strip()[len(now[1] or "") : -len(now[3]) - len(now[2]) or None] if now[1] else ""
    return f"{now[1] or ''}{gap}{mark}{new.strip()}"


def _same(current: str, old: str) -> bool:
    if _squeezed(current) == _squeezed(old):
        return True
    now, said = _VERSION.fullmatch(current.strip()), _VERSION.fullmatch(old.strip())
    return now is not None and said is not None and not said[1] and now[3] == said[3]


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
