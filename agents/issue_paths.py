"""Which file a part of an issue speaks of.

Owns what looks like a path and which mention of one counts for a given place of an issue. Pure. Keeps: a path that was
stated next to an edit is never traded for one further away, so an edit lands in the file named for it or nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import takewhile

import msgspec

from .issue_blocks import CODE, Block

_EXTENSION_WORDS = """
    astro bash bat c cc cfg cjs clj cmake cmd conf cpp cs css csv cxx dart dockerfile ex exs env erl fish fs go gradle
    graphql groovy h hcl hpp hs htm html in ini ipynb java jinja jinja2 js json jsonc jsx kt kts less lock lua m md
    mdx mjs ml mm nim nix php pl pm properties proto ps1 py pyi pyx r rb rs rst sass sbt scala scss service sh sql
    svelte svg swift tcl tex tf toml tpl ts tsx txt vue xml yaml yml zig zsh"""
_NAME_WORDS = """
    Makefile Dockerfile Procfile Gemfile Rakefile Jenkinsfile Vagrantfile LICENSE LICENCE README CHANGELOG AUTHORS
    CONTRIBUTING NOTICE .gitignore .gitattributes .editorconfig .env .dockerignore"""
_EXTENSIONS = frozenset(_EXTENSION_WORDS.split())
_NAMES = frozenset(_NAME_WORDS.split())
_NAMED = re.compile("|".join(name for name in _NAMES if "." not in name))
#: A letter of a name, also where its accent is a character of its own.
LETTER = r"\w\u0300-\u036f"
_SHAPE = re.compile(rf"[{LETTER}.@+~\-][{LETTER}.@+~/\-\[\] ()]*|/[{LETTER}.@+~/\-]+")
_WINDOWS = re.compile(r"(?:\.\\)?[\w.\-]+(?:\\\w[\w.\-]*)+\.\w+(?=\Z|[:#])")
#: The line numbers that people append to a path.
_LINES = re.compile(r"(?:#L\d+(?:-L?\d+)?|:\d+(?::\d+)?(?:-\d+)?|:)$")
#: A word of a sentence; not the rest of one with a quote or the like in it.
_WORD = re.compile(rf"(?<![{LETTER}.@+~/\-])(?<![{LETTER}]['’\"])[{LETTER}.@+~/\-]+(?!['’\"]\w)")
_LEAD = (
    r"(?:(?:in|files?|path|module|edit|open|update|modify|at|for|changes? (?:in|to))\b"
    r"(?: (?:the )?(?:file|module))?\s*:?\s*)?"
)
#: A line that does nothing but name a file: "In `a.py`:", "**a.py**", "File: a.py, class `X`".
_STATEMENT = re.compile(
    rf"(?:\d+[.)]\s*)?{_LEAD}[\"'“]?({CODE}|[{LETTER}.@+~/\-]+)[\"'”]?\s*(?:[,:;(]|\Z)", re.IGNORECASE
)
#: A path without backticks in the middle of a sentence.
_PLAIN = re.compile(
    r"(?i)(?:(?<=\b(?:in|of|at) )|(?<=\bdans ))(?:(?:(?:the|der|le) )?(?:file|datei|fichier) )?"
    rf"[\"'“]?([{LETTER}.@+~/\-]*\w)[\"'”]?(?=[\s,:;.)]|\Z)"
)


_ODD_LENGTH_MAX = 255
#: Of a section no more blocks than these, before the place in question, are read for files.
LOOKED_BACK_MAX = 60


class Scope(msgspec.Struct, frozen=True):
    """Paths that one place of the issue offers, and the line of it; nearer scopes come first."""

    paths: list[str]
    line: int


def normal(token: str) -> str:
    """Return a token as a path: without a leading `./`, and without the line numbers that people append.

    Windows' separators become slashes.
    """
    token = token.strip()
    if "\\" in token and _WINDOWS.match(token):
        token = token.replace("\\", "/")
    token = token.removeprefix("./")
    return _LINES.sub("", token) if token[-1:] == ":" or token[-1:].isdigit() else token


def looks_like_path(token: str) -> bool:
    """Tell whether a token can hardly be anything but a file, whether it exists or not."""
    if "." not in token and not _NAMED.search(token):
        return False  # as nearly every word of a sentence
    token = normal(token)
    if not _SHAPE.fullmatch(token) or token.endswith("/") or "//" in token:
        return False
    name = token.rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    return name in _NAMES or bool(dot and stem and extension.lower() in _EXTENSIONS)


def mentioned(block: Block) -> list[str]:
    """Return every piece of inline code in a block that may be a path."""
    return [normal(code) for code in block.codes if _may_be_path(normal(code)) and "://" not in code]


def _may_be_path(token: str) -> bool:
    """Tell whether a token has the shape of a path, or at least the end of one: `it's.py`."""
    odd = "\n" not in token and len(token) <= _ODD_LENGTH_MAX and token.rpartition(".")[2].lower() in _EXTENSIONS
    return _SHAPE.fullmatch(token) is not None or (odd and "." in token)


def stated(block: Block, *, told: bool | None = None) -> list[str]:
    """Return the paths that a line of the block names as the place of what follows.

    `told` takes only lines that go on to tell something about the file, or only those that don't.
    """
    found: list[str] = []
    codes = iter(block.codes)
    for line in block.text.split("\n"):
        mine = [next(codes) for _ in range(line.count(CODE))]
        match = _STATEMENT.match(line.strip())
        if match is None:
            continue
        rest = line.strip()[match.end() :]
        if told is not None and told is not (len(rest.split()) > 3 and not rest.endswith(":")):
            continue
        token = mine[0] if match[1] == CODE and mine else match[1]
        if match[1] == CODE or looks_like_path(token):
            found.append(normal(token))
    return found


def with_paths_as_code(block: Block) -> Block:
    """Return a block in which paths behind "in" are inline code, though nobody marked them as such."""
    text = block.text
    codes = list(block.codes)
    for found in reversed(list(_PLAIN.finditer(text))):
        if looks_like_path(found[1]):
            codes.insert(text.count(CODE, 0, found.start()), found[1])
            text = text[: found.start()] + CODE + text[found.end() :]
    return msgspec.structs.replace(block, text=text, codes=codes)


def of_heading(block: Block) -> list[str]:
    """Return the paths in a heading, written as code or as a plain word."""
    plain = [normal(word) for word in _WORD.findall(block.text) if looks_like_path(word)]
    return mentioned(block) + plain


def of_info(info: str) -> list[str]:
    """Return the path behind a code block's fence: `python src/a.py`, `python:src/a.py`, `title="src/a.py"`."""
    named = re.search(r"""(?:title|file|filename|path)=["']?([^"'\s}]+)""", info)
    if named:
        return [normal(named[1])]
    words = [word.rpartition(":")[2] if ":" in word else word for word in info.split()]
    return [normal(word) for word in words if looks_like_path(word) or "/" in word][:1]


def scopes(blocks: Sequence[Block], at: int) -> list[Scope]:
    """Return what the place before `blocks[at]` offers, nearest first: its section, then the sections around it.

    Within a section, a line that only names a file counts before the heading, and the heading before sentences.
    """
    found: list[Scope] = []
    level = 7
    end = at
    while end >= 0 and level > 0:
        start = end - 1
        while start >= 0 and not (blocks[start].kind == "heading" and blocks[start].level < level):
            start -= 1
        begun = takewhile(lambda b: b.kind != "heading", blocks[start + 1 : end])
        inside = [block for block in begun if block.kind == "text"][-LOOKED_BACK_MAX:]
        found += [Scope(stated(block, told=False), block.line) for block in reversed(inside)]
        if start >= 0:
            found.append(Scope(of_heading(blocks[start]), blocks[start].line))
        found += [Scope(stated(block, told=True), block.line) for block in reversed(inside)]
        found += [Scope(mentioned(block), block.line) for block in reversed(inside)]
        level = blocks[start].level if start >= 0 else 0
        end = start
    return [scope for scope in found if scope.paths]


def listed_files(blocks: Sequence[Block]) -> list[str]:
    """Return the paths of the section that lists the files to change ("Files to Update", "Affected files", …)."""
    found: list[str] = []
    inside = False
    for block in blocks:
        if block.kind == "heading":
            inside = bool(re.search(r"\bfiles?\b", block.text, re.IGNORECASE))
        elif block.kind == "text" and inside:
            found += stated(block) or mentioned(block)
        elif block.kind == "text" and re.match(r"(affected |changed )?files?( to \w+)?\s*:", block.text, re.IGNORECASE):
            found += mentioned(block)
    return list(dict.fromkeys(found))


def choose(offered: Sequence[Scope], files: Collection[str]) -> tuple[str, str]:
    """Return the path that the nearest scope decides on, or "" and the reason why there is none.

    A scope decides if it names a file that exists, or something that can only be a file. A path that doesn't exist is
    returned all the same where it looks like one: the edit then fails, naming it.
    """
    for scope in offered:
        there = list(dict.fromkeys(path for path in scope.paths if path in files))
        if len(there) == 1:
            return there[0], ""
        if there:
            return "", f"line {scope.line} names several files: {', '.join(there)}"
        if absent := [path for path in scope.paths if looks_like_path(path)]:
            return absent[0], ""
    return "", "no file is named for it"
