"""Diffs in an issue: real ones, and blocks of `-` and `+` lines that only look like one.

Owns their reading: unidiff for what says where its hunks stand, a tolerant reading for what people type by hand. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec
from unidiff.constants import LINE_TYPE_NO_NEWLINE
from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from .edit import Tail
from .issue_blocks import Block
from .issue_comments import named_file
from .issue_moves import git_moves
from .issue_paths import Scope, looks_like_path, normal, of_info, scopes
from .issue_statement import Pair, Problem, stated_count

_LANGUAGES = ("diff", "patch", "udiff")
#: What a patch with a letter's head before it may be called.
_LETTERS = ("", "text", "txt", "mbox", "mail", "email", "eml")
_HEADER = re.compile(r"^(?:---|\+\+\+) ?(\S.*)?$|^(?:diff --git|index |new file mode|deleted file mode)", re.MULTILINE)
_REAL_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", re.MULTILINE)
_SEARCH = re.compile(
    r"^<{5,} ?(?:SEARCH|ORIGINAL|OLD)\n(.*?)^={5,}\n(.*?)^>{5,} ?(?:REPLACE|UPDATED|NEW)[ \t]*$\n?", re.M | re.S
)
#: What `git format-patch` puts at the end.
_SIGNATURE = re.compile(r"\n-- ?\n\d[\w.-]*\n*\Z")
#: A name that git has put into quotes, as not all of its characters are printable ASCII.
_QUOTED = re.compile(r'^(?:--- |\+\+\+ |diff --git |rename (?:from|to) )(?=.*\\[0-3][0-7]{2}).*"[ \t]*$', re.M)
_UNSUPPORTED = re.compile(r"^(?:rename from|copy from|GIT binary patch|Binary files|old mode|new mode)", re.MULTILINE)


def is_diff(block: Block) -> bool:
    """Tell whether a code block is a diff, by its language or by its first lines."""
    if block.kind != "code":
        return False
    language = re.split(r"[\s:{]", block.info.strip("{. "), maxsplit=1)[0].lower()
    headed = re.match(r"(?:diff --git .*\n(?:.*\n){0,4}?)?--- .*\n\+\+\+ ", block.text)
    inside = language in _LETTERS and re.search(r"^--- \S.*\n\+\+\+ \S.*\n@@ ", block.text, re.M) is not None
    moved = language in _LETTERS and re.search(r"^rename from .+\nrename to ", block.text, re.M) is not None
    if language in _LANGUAGES or headed is not None or inside or moved or _SEARCH.search(block.text):
        return True
    if block.text.startswith("*** Begin Patch\n"):
        return True
    lines = block.text.split("\n")
    marked = all(line[:1] in ("", "-", "+", " ", "@") for line in lines)
    return language == "" and marked and {"-", "+"} <= {line[:1] for line in lines}


def _unquoted(header: re.Match[str]) -> str:
    """Return a line that names files with the names as they are."""

    def plain(name: re.Match[str]) -> str:
        octal = re.sub(r"\\([0-3][0-7]{2})", lambda found: chr(int(found[1], 8)), name[1])
        # A byte each: what is no name in UTF-8 stays quoted, and names no file.
        try:
            return octal.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return name[0]

    return re.sub(r'"([^"\n]+)"', plain, header[0])


def _searched(block: Block, offered: list[Scope]) -> list[Pair | Problem]:
    """Read blocks of SEARCH and REPLACE; a line between them may name the file."""
    found: list[Pair | Problem] = []
    done = 0
    for match in _SEARCH.finditer(block.text):
        between = [line.strip() for line in block.text[done : match.start()].split("\n") if line.strip()]
        place = [Scope([normal(between[-1])], block.line)] if between and looks_like_path(between[-1]) else []
        line = block.line + 1 + block.text.count("\n", 0, match.start())
        old, new = match[1], match[2]
        made = Pair(old, new, True, line, [*place, *offered]) if old.strip() else None
        found.append(made or Problem(line, "searches for nothing, so nothing says where the new text goes"))
        done = match.end()
    return found


def find_diffs(blocks: Sequence[Block]) -> tuple[list[Pair], list[Problem]]:
    """Return a pair for each hunk of each diff, and what of them cannot be taken as one."""
    pairs: list[Pair] = []
    problems: list[Problem] = []
    for at, block in enumerate(blocks):
        if block.kind == "code" and block.info.split(" ")[0] == "suggestion":
            problems.append(Problem(block.line, "is a suggestion, and does not say which text it is to replace"))
        if not is_diff(block):
            continue
        text, moves = git_moves(_QUOTED.sub(_unquoted, block.text), block.line)
        pairs += moves
        if moves and not re.search(r"^(?:@@|[-+])", text, re.M):
            continue
        block = msgspec.structs.replace(block, text=text)
        if _UNSUPPORTED.search(block.text):
            problems.append(Problem(block.line, "is a diff that renames, changes a mode or holds binary data"))
            continue
        offered = [Scope(of_info(block.info), block.line), *scopes(blocks, at)]
        found = (
            _searched(block, offered)
            or _real(block, offered)
            or _typed(block, offered, blocks[at - 1 : at] if at else [])
        )
        pairs += [item for item in found if isinstance(item, Pair)]
        problems += [item for item in found if isinstance(item, Problem)]
        if not found:
            problems.append(Problem(block.line, "is a diff that changes nothing"))
    return pairs, problems


def _real(block: Block, offered: list[Scope]) -> list[Pair | Problem]:
    """Read a diff with hunk headers; nothing where they are missing or their numbers don't fit the lines."""
    if not _REAL_HUNK.search(block.text):
        return []
    text = _with_names(_SIGNATURE.sub("\n", block.text))
    named = re.search(r"^--- ", text, re.MULTILINE) is not None
    if not named:
        text = "--- a\n+++ a\n" + text
    # An editor that trims white space takes the blank of an empty context line.
    text = re.sub(r"^$(?=\n.)", " ", text, flags=re.MULTILINE)
    try:
        patch = PatchSet(text)
    except UnidiffParseError:
        return []
    if sum(hunk.added + hunk.removed for file in patch for hunk in file) != _changed_lines(text):
        return []  # unidiff leaves out what is beyond the numbers of a hunk
    found: list[Pair | Problem] = []
    for file in patch:
        place = [Scope([file.path], block.line)] if named else offered
        for hunk in file:
            old = "".join(line.value for line in hunk if line.is_context or line.is_removed)
            new = "".join(line.value for line in hunk if line.is_context or line.is_added)
            before = None if file.is_added_file else old
            if file.is_added_file and len(hunk) and hunk[-1].line_type == LINE_TYPE_NO_NEWLINE:
                new = new.removesuffix("\n")
            after = None if file.is_removed_file else new
            line = block.line + (hunk[0].diff_line_no or 0) if len(hunk) else block.line
            tail = _tail("".join(item.line_type for item in hunk))
            found.append(_hunk(before, after, line, place, at_line=hunk.source_start, tail=tail))
    return found


def _with_names(text: str) -> str:
    """Give files the lines `---` and `+++` where only `diff --git` names them."""
    return re.sub(r"^diff --git a/(\S+) b/(\S+)\n(?:index .*\n)?(?=@@)", r"--- a/\1\n+++ b/\2\n", text, flags=re.M)


def _changed_lines(text: str) -> int:
    """Count the lines that the hunks of a diff add and remove, whatever their headers say."""
    lines = text.split("\n")
    count = 0
    inside = False
    for line, following in pairwise([*lines, ""]):
        if line.startswith("@@"):
            inside = True
        elif line.startswith("diff --git ") or (line.startswith("--- ") and following.startswith("+++ ")):
            inside = False
        elif inside and line.startswith(("+", "-")):
            count += 1
    return count


def _hunk(
    old: str | None, new: str | None, line: int, place: list[Scope], at_line: int = 0, tail: Tail = ""
) -> Pair | Problem:
    if old is not None and not old.strip():
        return Problem(line, "is a diff that adds lines and does not say where")
    if old == new and not tail:
        return Problem(line, "is a diff that changes nothing")
    tail = "" if old is None or new is None else tail
    return Pair(old, new, True, line, place, at_line=at_line, tail=tail)


def _tail(signs: str) -> Tail:
    """Return how the file ends after a hunk, where it ended otherwise before; `signs` are those before its lines."""
    old = re.search(r"[ -]\\", signs) is not None
    new = re.search(r"[ +]\\", signs) is not None
    return "" if old == new else "bare" if new else "newline"


def _typed(block: Block, offered: list[Scope], before: Sequence[Block]) -> list[Pair | Problem]:
    """Read `-` and `+` lines with or without context, typed by hand; `@@` or `...` stands between two places."""
    found: list[Pair | Problem] = []
    place = list(offered)
    old: list[str] = []
    new: list[str] = []
    signs = ""
    begun = block.line + 1
    adding = False
    count = next((stated_count(b.text) for b in before if b.kind == "text"), None)

    def finish(next_line: int) -> None:
        nonlocal adding, begun, signs
        if adding and new:
            found.append(Pair(None, _text(new), True, begun, place))
            adding = False
        elif old != new or _tail(signs):
            made = _hunk(_text(old), _text(new), begun, place, tail=_tail(signs))
            found.append(msgspec.structs.replace(made, count=count or 1) if isinstance(made, Pair) else made)
        old.clear()
        new.clear()
        signs = ""
        begun = next_line

    named, text = named_file(block.text)
    if named:  # "# a.py" in its first line
        place = [Scope([named], block.line + 1)]
    first = block.line + 2 if named else block.line + 1
    for number, line in enumerate(text.split("\n")[:-1], first):
        header = _HEADER.match(line)
        signs += line[:1] or " "
        if header and not (line.startswith(("--- ", "+++ ")) and old):
            finish(number + 1)
            if git := re.fullmatch(r"diff --git a/(\S+) b/\1", line):
                place = [Scope([git[1]], number)]
            if header[1] and not header[1].startswith("/dev/null"):
                place = [Scope([_path(header[1])], number)]
        elif line.startswith("*** "):  # the headers of a patch that programs like to write
            finish(number + 1)
            word, _, path = line[4:].partition(": ")
            adding = word == "Add File"
            if word in ("Update File", "Add File"):
                place = [Scope([normal(path)], number)]
            elif word in ("Delete File", "Move to"):
                found.append(_whole(word, normal(path), number, place))
            elif not re.match(r"\*\*\* (?:Begin Patch|End Patch|End of File)", line):
                return [Problem(number, "makes, removes or moves a whole file")]
        elif line.startswith("@@") or line.strip() in ("...", "…", "[...]"):
            finish(number + 1)
        elif line.startswith("-"):
            old.append(line[1:])
        elif line.startswith("+"):
            new.append(line[1:])
        elif line.startswith(" ") or not line:
            old.append(line[1:])
            new.append(line[1:])
        elif not line.startswith("\\"):
            return [Problem(number, "is a line of a diff that starts with none of `-`, `+` and a blank")]
    finish(0)
    return found


def _whole(word: str, path: str, line: int, place: list[Scope]) -> Pair:
    """Return what such a header says of a whole file."""
    if word == "Delete File":
        return Pair("", None, False, line, [Scope([path], line)], how="delete")
    return Pair("", "", False, line, place, how="move", to=path)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _path(header: str) -> str:
    path = header.split("\t")[0].strip().strip('"')
    return path[2:] if path.startswith(("a/", "b/")) else path
