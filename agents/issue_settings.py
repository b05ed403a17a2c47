"""Settings that an issue wants to have another value: versions, requirements, numbers. Pure.

Takes only a name, a new value and, where it is said, the old one; which place of a file that is, and whether there is
exactly one, is found out by `edit_settings`.
"""

from __future__ import annotations

import re

from .issue_blocks import CODE
from .issue_orders import END, Order, Said, path_of
from .issue_paths import Scope, normal
from .issue_statement import Pair

_ONE = r"(?:(?:===|==|~=|>=|<=|!=|>|<|\^|~) ?)?v?\d[\w*]*(?:\.[\w*]+)*(?:[-+][\w.]*\w)?"
_VALUE = rf"(?:{CODE}|{_ONE}(?:, ?(?:==|~=|>=|<=|!=|>|<) ?\d[\w*]*(?:\.[\w*]+)*)*)"
_NAME = (
    rf"(?:{CODE}|@[\w.\-]+/[\w.\-]+|(?!(?:version|from|to|in|of|the|its?|a|an)\b)[A-Za-z][\w.\-]*(?:\[[\w, \-]+\])?)"
)
_FILE = rf"(?:(?:the |file )*{CODE})"
_KIND = r"(?: (?:version|dependency|requirement|package|constraint|pin|setting|option|key|value|field))*"
_BUMP = re.compile(
    rf"(?:(?:in|inside) (?:the )?(?:file )?(?P<lead>{CODE}),? )?(?:please |also |simply |just )*"
    r"(?P<verb>bump|upgrade|update|raise|increase|set|change|pin|downgrade|lower|decrease|reduce|require|switch)"
    r" (?:(?:up|the|its|our|required|minimum|minimal|package|project|current|dependency|library|setting|option|key"
    r"|constraint|value of|limit on) )*"
    rf"(?:(?P<version>versions?)(?: (?:number|string))?(?: (?:of|for) (?:the )?)?)?(?: ?(?P<name>{_NAME}){_KIND})?"
    rf"(?P<mid> (?:in|inside|of) {_FILE})?"
    rf"(?: (?:from )?(?P<old>{_VALUE}))? ?(?:to|->|-->|→|=>|⇒|=)(?: (?:be|version))? ?(?P<new>{_VALUE})"
    rf"(?P<where>,? ?(?:in|inside|of|for|at) {_FILE}(?:(?:,|,? and|/)(?: in)? {_FILE})*)?{END}",
    re.I,
)
#: Verbs that may speak of any text; for the others there must be a setting or requirement of that name.
_LOOSE = ("change", "raise", "increase", "set", "lower", "decrease", "reduce", "switch")
_NAME_SHAPE = re.compile(r"@?[A-Za-z_][\w.\-/]*(?:\[[\w, \-]+\])?")
_VALUE_SHAPE = re.compile(rf"{_ONE}(?:, ?{_ONE})*|true|false|True|False", re.I)


def read_settings_order(said: Said, start: int) -> Order | None:
    """Read ``Bump the version from 1.2.3 to 1.2.4 in `pyproject.toml` `` at a place of a paragraph."""
    match = _BUMP.match(said.flat, start)
    if match is None:
        return None
    name = said.text(match, "name")
    old, new = said.text(match, "old"), said.text(match, "new")
    verb = match["verb"].lower()
    own = match["version"] is not None and name.lower() in ("", "number", "string")
    if not own and (not name or not _NAME_SHAPE.fullmatch(name) or (path_of(name) and name[0] != "@")):
        return None
    key = "version" if own else name.partition("[")[0].strip()
    loose = verb in _LOOSE and not own and match["version"] is None
    if key.lower() != "version" and CODE not in match["name"]:
        if loose and CODE in (match["old"] or ""):
            return None  # "Change the limit from `15` to `60`" names two texts
        if loose:
            return None
    if not _VALUE_SHAPE.fullmatch(new) or (old and not _VALUE_SHAPE.fullmatch(old)):
        return None
    files = [normal(path) for group in ("lead", "mid", "where") for path in _files(said, match, group)]
    if files and not all(path_of(path) for path in files):
        return None
    near = [[Scope([path], said.line)] for path in dict.fromkeys(files)] or [said.offered]
    pairs = [Pair(old or None, new, False, said.line, [*scope], how="set", key=key) for scope in near]
    return Order(match.end(), pairs)


def _files(said: Said, match: re.Match[str], group: str) -> list[str]:
    if match.start(group) < 0:
        return []
    first = said.flat.count(CODE, 0, match.start(group))
    return said.codes[first : first + match[group].count(CODE)]
