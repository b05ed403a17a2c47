"""Patterns of paths: `*` and `?` within a part of a path, `**` over parts, `[a-z]`, `{a,b}`.

Pure. Keeps: matching takes time in proportion to pattern and path, whatever they are; a regular expression made of a
pattern could take ages, and would hold up every thread of the process meanwhile.
"""

from __future__ import annotations

from itertools import product

#: How many patterns one with `{a,b}` may stand for.
ALTERNATIVES_MAX = 64


class Glob:
    """One pattern. Without a `/` it is that of a name, in whatever folder; one that is a folder's takes all below.

    Raises ValueError where it stands for too many.
    """

    def __init__(self, pattern: str) -> None:
        pattern = pattern.removeprefix("./").rstrip("/") or "**"
        self._patterns = [one.lstrip("/").split("/") for one in _alternatives(pattern)]
        self._patterns = [["**", *parts] if len(parts) == 1 else parts for parts in self._patterns]
        for parts in self._patterns:
            if parts[-1] == "**":  # something below a folder: its own entries are, and those take along what they hold
                parts[-1] = "*"

    def matches(self, path: str) -> bool:
        """Tell whether a path, or a folder that it lies in, is one of those."""
        parts = path.split("/")
        return any(_covers(pattern, parts) for pattern in self._patterns)


def _covers(pattern: list[str], parts: list[str]) -> bool:
    """Tell whether a pattern matches the beginning of a path: `reached` holds where in the pattern it may be."""
    reached = _past_stars({0}, pattern)
    for part in parts:
        if len(pattern) in reached:
            return True
        following = set()
        for at in reached:
            if pattern[at] == "**":
                following.add(at)
            elif _is_like(part, pattern[at]):
                following.add(at + 1)
        reached = _past_stars(following, pattern)
    return len(pattern) in reached


def _past_stars(reached: set[int], pattern: list[str]) -> set[int]:
    """Add the places behind each `**` that is reached, as it may stand for nothing."""
    found = set(reached)
    for at in reached:
        while at < len(pattern) and pattern[at] == "**":
            at += 1
            found.add(at)
    return found


def _is_like(name: str, pattern: str) -> bool:
    """Tell whether a name fits: each `*` is tried as short as it can be, and only the last one is ever made longer."""
    tokens = _tokens(pattern)
    at = token = 0
    star = resume = -1
    while at < len(name):
        if token < len(tokens) and tokens[token] == "*":
            star, resume = token, at
            token += 1
        elif token < len(tokens) and _fits(name[at], tokens[token]):
            at += 1
            token += 1
        elif star >= 0:
            resume += 1
            at, token = resume, star + 1
        else:
            return False
    return all(one == "*" for one in tokens[token:])


def _tokens(pattern: str) -> list[str]:
    """Split a pattern of a name: single characters, `*`, `?` and whole sets in brackets."""
    tokens: list[str] = []
    at = 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        token = pattern[at : end + 1] if end > 0 else pattern[at]
        at += len(token)
        if token != "*" or tokens[-1:] != ["*"]:
            tokens.append(token)
    return tokens


def _fits(character: str, token: str) -> bool:
    if token == "?":
        return True
    if len(token) == 1:
        return character == token
    inside = token[1:-1]
    negated = inside[0] in "!^" and len(inside) > 1
    inside = inside[1:] if negated else inside
    found = False
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            found = found or inside[at] <= character <= inside[at + 2]
            at += 3
        else:
            found = found or inside[at] == character
            at += 1
    return found != negated


def _alternatives(pattern: str) -> list[str]:
    """Write out `{a,b}`; nested braces and those without a comma are characters like others."""
    pieces: list[list[str]] = []
    rest = pattern
    while rest:
        start = rest.find("{")
        end = rest.find("}", start)
        inside = rest[start + 1 : end] if 0 <= start < end else ""
        if "," not in inside or "{" in inside:
            pieces.append([rest])
            break
        pieces += [[rest[:start]], inside.split(",")]
        rest = rest[end + 1 :]
    count = 1
    for piece in pieces:
        count *= len(piece)
    if count > ALTERNATIVES_MAX:
        raise ValueError(f"the pattern stands for more than {ALTERNATIVES_MAX} patterns")
    return ["".join(chosen) for chosen in product(*pieces)]
