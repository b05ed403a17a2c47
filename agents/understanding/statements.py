"""What an issue says about itself: its declared type, its labels, what it depends on, whether it is over.

Owns fields in front matter, in lines such as `Type: bug`, and in sections of a heading and a word. Pure. Leaves what
follows from a type to `kind`, and the text itself to `orchestration.issue_units`.
"""

from __future__ import annotations

import re

import msgspec

from ..issue_blocks import read

#: Longer texts are judged by their beginning: nobody states an issue's type behind that.
READ_MAX = 100_000
_FIELD = re.compile(
    r"\s*[-*+]?\s*(type|kind|category|labels?|tags?|status|state|depends[ -]on|blocked[ -]by|requires)\s*[:=]\s*(.*)\Z",
    re.IGNORECASE,
)
#: "Depends on #12" in a sentence; what is behind the words is read by `_REFERENCE`.
_NEEDS = re.compile(
    r"\b(?:depends (?:up)?on|dependent on|blocked by|needs|requires|builds on|hängt ab von|abhängig von|dépend de"
    r"|depende de)\b[\s:]*(?:(?:the )?(?:issues?|tickets?|tasks?|prs?|pull requests?)\b[\s:]*)?",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"(?:https?://[\w.-]+/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)\S*|([\w.-]+(?:/[\w.-]+)?)?#(\d+)\b"
    r"|(?<![\w.#/-])0*(\d{1,6})(?![\w%-]|\.\d))",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[\s,;&+]*(?:and|und|et|y)?[\s,;&+]*(?:(?:issues?|tickets?|prs?)\s+)?", re.IGNORECASE)
#: So many dependencies are told.
DEPENDS_MAX = 50


class Statements(msgspec.Struct, frozen=True):
    """What an issue's fields say: words as they stand there, in lower case.

    `depends_on` are numbers of issues, or `repository#number` for those of another repository.
    """

    types: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    status: str = ""
    depends_on: tuple[int | str, ...] = ()


def statements(text: str) -> Statements:
    """Read the fields of an issue's text; any text has some, if only empty ones."""
    document = read(text[:READ_MAX])
    found: dict[str, list[str]] = {}
    depends: list[int | str] = []
    for name, value in document.fields.items():
        _take(found, name, value)
    for n, block in enumerate(document.blocks):
        if block.kind == "heading":
            name = block.text.strip().rstrip(":")
            following = document.blocks[n + 1] if n + 1 < len(document.blocks) else None
            if following is not None and following.kind == "text":
                _take(found, name, following.plain())
        elif block.kind == "text":
            for line in block.plain().split("\n"):
                if field := _FIELD.match(line):
                    _take(found, field[1], field[2])
                depends += _needs(line)
    for name in ("depends on", "blocked by"):
        for value in found.get(name, ()):
            depends += _references(value, bare=True)
    words = [word for name in ("type", "kind", "category") for value in found.get(name, ()) for word in _words(value)]
    labels = [word for name in ("label", "tag") for value in found.get(name, ()) for word in _words(value)]
    status = next(iter(found.get("status", found.get("state", ()))), "")
    unique = tuple(dict.fromkeys(depends))[:DEPENDS_MAX]
    return Statements(tuple(words), tuple(labels), " ".join(status.lower().split())[:200], unique)


def _take(found: dict[str, list[str]], name: str, value: str) -> None:
    key = re.sub(r"[\s_-]+", " ", name.strip().lower())
    key = {"labels": "label", "tags": "tag", "dependencies": "depends on", "depends": "depends on"}.get(key, key)
    if value.strip():
        found.setdefault(key, []).append(value.strip()[:2000])


def _words(value: str) -> list[str]:
    """Return the words of a field's first line: `[bug, "good first issue"]`."""
    line = value.split("\n", 1)[0].strip("[] ")
    parts = (part.strip().strip("\"'`*_[]:").lower() for part in re.split(r"[,;/|]", line))
    return [part for part in parts if 0 < len(part) <= 40]


def _needs(line: str) -> list[int | str]:
    """Return the issues that a sentence says it depends on; bare numbers count behind the plainest words only."""
    found: list[int | str] = []
    for words in _NEEDS.finditer(line):
        plain = words[0].lower().startswith(("depend", "blocked"))
        found += _references(line[words.end() :], bare=plain)
    return found


def _references(text: str, *, bare: bool) -> list[int | str]:
    """Return the issues that a text begins with: `#12, #13 and other-repo#4`."""
    found: list[int | str] = []
    at = 0
    text = text[:2000].lstrip(" :*_`[(")
    while match := _REFERENCE.match(text, at):
        of_url, url_number, repository, number, plain = match.groups()
        if plain and not bare:
            break
        name = of_url or (repository or "").lower()
        digits = url_number or number or plain
        # "issue#12" is an issue of this repository.
        named = name and name not in ("issue", "issues", "ticket", "pr", "gh")
        found.append(f"{of_url or repository}#{int(digits)}" if named else int(digits))
        at = match.end()
        at = between.end() if (between := _BETWEEN.match(text, at)) else at
    return found
