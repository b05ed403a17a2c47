"""One issue for several repositories, taken apart: what it says to each of them.

Owns which lines of an issue speak of which repository, and the names of files as each repository has them. Pure: the
names of the repositories' files are an argument. Keeps: no line is handed to a repository that the issue gives to
another one; what speaks of none goes to all; each line keeps its number; and where a file could be meant in two
repositories that is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ..issue_paths import looks_like_path, normal

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
#: What may be a path in prose: a word, with or without backticks.
_TOKEN = re.compile(r"`[^`\n]+`|[\w.@+~/\-]+")
#: What ends a sentence, and no name.
_TRAIL = ".-+~@"
_DIFF_START = re.compile(r"diff --git (?P<git>\S+) (?P<b>\S+)|--- (?P<old>[^\t\n]+)")
_DIFF_NAME = re.compile(r"^(?P<lead>diff --git |--- |\+\+\+ |rename from |rename to |copy from |copy to )(?P<rest>.*)$")
#: What may stand around the name of a repository that is all that a heading says.
_NAMING = r"(?:(?:in|for|changes? (?:in|to|for)|repo(?:sitory)?|project|package)\b[\s:]*)*"


class Split(msgspec.Struct, frozen=True):
    """What an issue says to each repository, by name; one of which it says nothing is missing.

    `problems` are sentences, each with its line, on what could be meant in several repositories.
    """

    texts: dict[str, str]
    problems: list[str]


class _Piece(NamedTuple):
    """A run of lines (from 0, end excluded) that belongs together."""

    kind: str
    start: int
    end: int
    level: int = 0
    info: str = ""


def split_issue(text: str, files: Mapping[str, Collection[str]]) -> Split:
    """Take an issue apart; `files` are the paths of each repository by its name.

    Where it names no file and no repository, all of it goes to each of them.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    reading = _Reading(lines, {name: set(paths) for name, paths in files.items()})
    for piece in _pieces("\n".join(lines)):
        reading.take(piece)
    spoken = {owner for owner in reading.owners if owner is not None}
    texts = {name: reading.text_for(name) for name in files if name in spoken or not spoken}
    return Split(texts, reading.problems)


class _Reading:
    """An issue being read from its first line to its last: whose each line is."""

    def __init__(self, lines: list[str], files: dict[str, set[str]]) -> None:
        self.lines = lines
        self.files = files
        self.folders = {
            name: {path.partition("/")[0] for path in paths if "/" in path} for name, paths in files.items()
        }
        self.owners: list[str | None] = [None] * len(lines)
        self.problems: list[str] = []
        self._sections: list[tuple[int, str]] = []
        self._told: str | None = None
        #: What the paragraph right before calls by its name.
        self._called: str | None = None
        #: Lines in which nothing is a name: code, but for the headers of diffs.
        self._code: set[int] = set()
        #: The diffs that may be divided, fences included.
        self._diffs: list[range] = []

    def take(self, piece: _Piece) -> None:
        """Decide whose a piece is; what it says counts for what comes behind it in its section."""
        section = self._sections[-1][1] if self._sections else None
        if piece.kind == "heading":
            self._sections = [one for one in self._sections if one[0] < piece.level]
            self._told = self._called = None
            owner = self._owner_of(piece, heading=True)
            if owner is not None:
                self._sections.append((piece.level, owner))
            section = self._sections[-1][1] if self._sections else None
            self._give(piece.start, piece.end, section)
        elif piece.kind == "code":
            self._code.update(range(piece.start, piece.end))
            if self._is_diff(piece):
                self._take_diff(piece, section)
            else:
                owner = section or self._owner_in([normal(word) for word in piece.info.split()], piece.start)
                self._give(piece.start, piece.end, owner or self._told)
        else:
            owner = section or self._owner_of(piece)
            if piece.kind == "text":
                self._told = owner or self._told
                said = " ".join(self.lines[piece.start : piece.end])
                self._called = owner if owner is not None and self._prose_names(said) == owner else None
            self._give(piece.start, piece.end, owner or (self._told if piece.kind == "text" else None))

    def text_for(self, name: str) -> str:
        """Return the issue as one repository is to read it: lines of others are empty, files are called as it does."""
        made = []
        others = {number for diff in self._diffs if not self._has_part(diff, name) for number in diff}
        for number, line in enumerate(self.lines):
            if self.owners[number] not in (None, name) or number in others:
                made.append("")
            elif number in self._code:
                made.append(self._diff_line(line, name) if self._starts_name(line) else self._fence_line(line, name))
            else:
                made.append(self._prose(line, name))
        return "\n".join(made)

    def _has_part(self, diff: range, name: str) -> bool:
        """Tell whether anything between the fences of a diff is a repository's to read."""
        return any(self.lines[number].strip() and self.owners[number] in (None, name) for number in diff[1:-1])

    def _give(self, start: int, end: int, owner: str | None) -> None:
        for number in range(start, end):
            self.owners[number] = owner

    def _owner_of(self, piece: _Piece, *, heading: bool = False) -> str | None:
        """Return the one repository that a piece of prose speaks of, or None."""
        said = " ".join(self.lines[piece.start : piece.end])
        if heading and (named := self._heading_names(said)):
            return named
        tokens = [normal(token.strip("`").rstrip(_TRAIL)) for token in _TOKEN.findall(said)]
        return self._owner_in(tokens, piece.start, ask=heading) or (None if heading else self._prose_names(said))

    def _prose_names(self, said: str) -> str | None:
        """Return the one repository that a paragraph or item calls by name: repository `x`, or `x`: where it begins."""
        plain = re.sub(r"[`*_\"']", "", said)
        found = set()
        for name in self.files:
            own = re.escape(re.sub(r"[`*_\"']", "", name))
            told = rf"\b(?:repo(?:sitory)?|project) {own}(?![\w/-])|(?<![\w/-]){own} repo(?:sitory)?\b"
            if re.search(rf"{told}|\A\W*(?:(?:in|for)\s+)?{own}\s*(?:[:,–—]\s|[:,]\Z)", plain, re.IGNORECASE):
                found.add(name)
        return found.pop() if len(found) == 1 else None

    def _heading_names(self, said: str) -> str | None:
        plain = re.sub(r"^\s*#+|#+\s*$|[`*_\"']", "", said).strip()
        for name in sorted(self.files, key=len, reverse=True):
            own = re.match(rf"{_NAMING}{re.escape(name)}(?=\s*(?:$|[:(—–]|- |repo))", plain, re.IGNORECASE)
            if own and (own.end() == len(plain) or plain[own.end() :].lstrip()[:1] in ":(—–-r"):
                return name
        return None

    def _owner_in(self, tokens: Sequence[str], line: int, *, ask: bool = False) -> str | None:
        """Return the repository of the paths among these words where they are all of one."""
        found: list[str] = []
        for token in tokens:
            if not looks_like_path(token) and "/" not in token:
                continue
            owners = [name for name in self.files if self._as_in(name, token) is not None]
            if len(owners) == 1:
                found.append(owners[0])
            elif len(owners) > 1 and ask:
                where = " and ".join(sorted(owners))
                self.problems.append(f"line {line + 1}: {token} could be meant in {where}; write {owners[0]}/{token}")
        return found[0] if found and len(set(found)) == 1 else None

    def _as_in(self, name: str, token: str) -> str | None:
        """Return what a repository calls the file that a word means, or None where it means none of its files."""
        token = token.removeprefix("./")
        if token in self.files[name]:
            return token
        own = token.startswith(f"{name}/")
        stripped = token.removeprefix(f"{name}/") if own else token
        if own and stripped in self.files[name]:
            return stripped
        if own and stripped and looks_like_path(stripped):
            # A file to be made. A package is often called as its repository.
            return token if name in self.folders[name] else stripped
        return None

    def _is_diff(self, piece: _Piece) -> bool:
        inside = self.lines[piece.start : piece.end]
        return piece.info.split(" ")[0] in ("diff", "patch", "udiff") or any(
            re.match(r"\s*diff --git ", line) for line in inside
        )

    def _take_diff(self, piece: _Piece, section: str | None) -> None:
        """Give each file's part of a diff to its repository; the fence around it is everybody's."""
        owner = section or self._told
        self._give(piece.start, piece.end, section)
        begun = False
        if self.lines[piece.start].strip().startswith(("```", "~~~")):
            self._diffs.append(range(piece.start, piece.end))
        for number in range(piece.start, piece.end):
            line = self.lines[number].strip()
            found = _DIFF_START.match(line)
            if found and not (found["old"] and begun):
                names = [found["b"]] if found["git"] else [found["old"], *self._new_name(number)]
                plain = [re.sub(r"^[ab]/", "", name.strip()) for name in names if name.strip() != "/dev/null"]
                asks = self._called is None
                owner = section or self._owner_in(list(dict.fromkeys(plain)), number, ask=asks) or self._told
                begun = bool(found["git"])
            elif line.startswith("@@"):
                begun = False
            if line.startswith(("```", "~~~")) and number in (piece.start, piece.end - 1):
                continue
            self.owners[number] = owner

    def _new_name(self, number: int) -> list[str]:
        following = self.lines[number + 1].strip() if number + 1 < len(self.lines) else ""
        return [following[4:].split("\t")[0]] if following.startswith("+++ ") else []

    def _starts_name(self, line: str) -> bool:
        return _DIFF_NAME.match(line.lstrip()) is not None

    def _diff_line(self, line: str, name: str) -> str:
        """Return a header of a diff with the repository's own name of its file."""

        def own(word: re.Match[str]) -> str:
            side, path = re.match(r"([ab]/)?(.*)", word[0]).groups("")  # type: ignore[union-attr]
            return side + (self._as_in(name, path) or path)

        margin = line[: len(line) - len(line.lstrip())]
        found = _DIFF_NAME.match(line.lstrip())
        assert found is not None  # _starts_name has looked
        return margin + found["lead"] + re.sub(r"\S+", own, found["rest"], count=0 if "git" in found["lead"] else 1)

    def _fence_line(self, line: str, name: str) -> str:
        return self._prose(line, name) if re.match(r"\s*(?:```|~~~)", line) else line

    def _prose(self, line: str, name: str) -> str:
        line = re.sub(rf"^(\s*#+\s+){re.escape(name)}\s*:\s+(?=\S)", r"\1", line)

        def own(token: re.Match[str]) -> str:
            quote = "`" if token[0].startswith("`") else ""
            word = token[0].strip("`")
            if not word.startswith(f"{name}/"):
                return token[0]
            path = normal(word.rstrip(_TRAIL))
            made = self._as_in(name, path)
            return f"{quote}{made}{word[len(path) :]}{quote}" if made is not None else token[0]

        return _TOKEN.sub(own, line)


def _pieces(text: str) -> list[_Piece]:
    """Return headings, paragraphs, items of lists and blocks of code in order; the front matter is nobody's."""
    if found := _FRONT_MATTER.match(text):
        text = "\n" * found[0].count("\n") + text[found.end() :]
    made: list[_Piece] = []
    items = 0
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        items += token.nesting if token.type in ("bullet_list_open", "bullet_list_close") else 0
        items += token.nesting if token.type in ("ordered_list_open", "ordered_list_close") else 0
        if token.map is None:
            continue
        made += _piece(token, in_list=items > 0)
    return made


def _piece(token: Token, *, in_list: bool) -> list[_Piece]:
    assert token.map is not None
    start, end = token.map
    if token.type == "heading_open":
        return [_Piece("heading", start, end, int(token.tag[1:]))]
    if token.type in ("fence", "code_block"):
        return [_Piece("code", start, end, info=token.info.strip())]
    if token.type in ("paragraph_open", "html_block", "tr_open"):
        return [_Piece("item" if in_list or token.type == "tr_open" else "text", start, end)]
    return []
