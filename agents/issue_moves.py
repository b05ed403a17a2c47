"""Files that an issue wants moved, renamed or deleted, in words or in a diff of git. Pure.

Leaves what a name means in the repository, a file or a word of another file, to `issue`, which knows the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .issue_blocks import CODE, Block
from .issue_orders import END, Order, Said, path_of
from .issue_paths import LETTER, Scope, looks_like_path, normal
from .issue_statement import Pair, Problem

_LEAD = r"(?:please |also |simply |just |finally |first |next |then |now |and )*"
_FILE = r"(?:(?P<kind>file|module|script|page|test|test file|template|folder|directory|package) )?"
_WORDS = r"(?:(?:the|this|existing|old|obsolete|unused|dead|whole|entire|empty|now|test|stale|legacy) )*"
_MOVE = re.compile(
    rf"{_LEAD}(?P<verb>git mv|rename|move|relocate):? {_WORDS}{_FILE}(?P<old>{CODE})"
    rf"(?: (?:file|module|folder|directory))?(?:,? (?:to|into|as|under)|:? ?(?:->|-->|→|=>|⇒)|(?<=mv .)) ?"
    rf"(?:(?:the|a|new) )*(?:(?P<into>folder|directory|package|file|name|path) )?(?P<new>{CODE})"
    rf"(?: (?:folder|directory|instead))?{END}",
    re.I,
)
_MOVED = re.compile(
    rf"{_LEAD}{_WORDS}{_FILE}(?P<old>{CODE})(?: file)? (?:should|must|has to|needs to|is to) be "
    rf"(?P<verb>renamed|moved|relocated) (?:to|into|as|under) (?:(?:the|a|new) )*"
    rf"(?:(?P<into>folder|directory|package|file|name|path) )?(?P<new>{CODE})(?: folder| directory)?{END}",
    re.I,
)
_WHOLE = (
    r"(?: entirely| completely| altogether| again| as well| too| from (?:the |this )?"
    r"(?:repo|repository|project|code ?base|tree))*"
)
_DELETE = re.compile(
    rf"{_LEAD}(?:delete|remove|drop|git rm):? {_WORDS}(?:(?P<kind>file|module|script|page|test|test file|template)s? )?"
    rf"(?P<files>{CODE}(?:(?:,|,? and) (?:the file )?{CODE})*)(?: files?)?{_WHOLE}{END}",
    re.I,
)
_DELETED = re.compile(
    rf"{_LEAD}{_WORDS}(?:(?P<kind>file|module|script|page|test|test file|template)s? )?(?P<files>{CODE})(?: file)? "
    rf"(?:should|must|has to|needs to|can|is to) be (?:deleted|removed|dropped){_WHOLE}{END}",
    re.I,
)
_FOLDER = re.compile(rf"{_LEAD}(?:delete|remove|drop) {_WORDS}(?:folder|directory|package)s? (?:{CODE})", re.I)
_IN_FILE = re.compile(
    rf"(?:^|[.;:!?,]\s)\s*(?:and |then |please )*(?:in|inside|within|of|from) (?:the )?(?:file )?{CODE}"
    r"[^,.;]{0,40},\s*$",
    re.I,
)
#: A heading such as "`old.py` (delete)".
_MARKED = re.compile(
    rf"^\W*(?:\d+[.)]\s*)?({CODE})\W*\(?(?:to be )?(?:delete|remove)d?(?: this file| file)?\)?\W*$", re.I
)
_LISTED_TOLD = re.compile(
    r"\W*(?:the )?(?:following |these )?files? (?:to|should|must|need to|can|have to) (?:be )?"
    r"(?P<verb>delete|remove|rename|move)d?\W*$",
    re.I,
)
_LISTED = re.compile(
    r"\W*(?:please |also )*(?P<verb>delete|remove|rename|move)d? (?:the following|these|those)(?: \w+){0,2} files?\W*$",
    re.I,
)
_ARROW = re.compile(rf"\W*({CODE}) ?(?:->|-->|→|=>|⇒|to) ?({CODE})\W*$")


def read_moves(said: Said, start: int) -> Order | None:
    """Read an order to move, rename or delete files at a place of a paragraph."""
    if _IN_FILE.search(said.flat[max(0, start - 200) : start]):
        return None  # of a word in that file
    for pattern in (_MOVE, _MOVED):
        if match := pattern.match(said.flat, start):
            return _move(said, match)
    if match := _FOLDER.match(said.flat, start):
        return Order(match.end(), [], [Problem(said.line, "asks to delete a folder, which must be said file by file")])
    for pattern in (_DELETE, _DELETED):
        if match := pattern.match(said.flat, start):
            first = said.flat.count(CODE, 0, match.start("files"))
            paths = said.codes[first : first + match["files"].count(CODE)]
            if not all(path_of(path) for path in paths):
                return None
            pairs = [_deletion(normal(path), said, sure=bool(match["kind"])) for path in paths]
            return Order(match.end(), pairs)
    return None


def _move(said: Said, match: re.Match[str]) -> Order | None:
    old, new = said.code(match, "old"), said.code(match, "new")
    kind = (match["kind"] or "").lower()
    folder = kind in ("folder", "directory", "package") or old.endswith("/")
    into = (match["into"] or "").lower() in ("folder", "directory", "package") or new.endswith("/")
    if folder:
        if not re.fullmatch(rf"[{LETTER}.@+~\-]+(?:/[{LETTER}.@+~\-]+)*/?", old) or not re.fullmatch(
            rf"[{LETTER}.@+~\-/]+", new
        ):
            return None
        return Order(match.end(), [_moved(old.rstrip("/") + "/", new.rstrip("/") + "/", said, sure=True)])
    moves = not match["verb"].lower().startswith("renam") and re.fullmatch(rf"[{LETTER}.@+~\-]+", new) is not None
    if not path_of(old) or not (into or path_of(new) or moves):
        return None  # names of something else than files
    target = new if not into else new.rstrip("/") + "/"
    if match["verb"].lower().startswith("renam") and "/" not in target:
        target = normal(old).rpartition("/")[0] + "/" + target if "/" in normal(old) else target
    return Order(match.end(), [_moved(normal(old), target.removeprefix("./"), said, sure=bool(kind))])


def _moved(old: str, new: str, said: Said, *, sure: bool) -> Pair:
    around = [] if sure else said.under
    return Pair("", "", False, said.line, [Scope([old], said.line), *around], how="move", to=new)


def _deletion(path: str, said: Said, *, sure: bool) -> Pair:
    around = [] if sure else said.under
    return Pair("", None, False, said.line, [Scope([path], said.line), *around], how="delete")


def find_listed(blocks: Sequence[Block], at: int) -> tuple[list[Pair], list[Problem], int]:
    """Read "Delete the following files:" with the list behind it; the int is how many blocks that took."""
    words = blocks[at].text.split("\n")[-1]
    match = _LISTED.match(words) or _LISTED_TOLD.match(words)
    if match is None:
        return [], [], 0
    pairs: list[Pair] = []
    end = at + 1
    moves = match["verb"].lower() in ("rename", "move")
    while end < len(blocks) and blocks[end].kind == "text":
        block = blocks[end]
        said = Said(block.text, block.codes, block.line)
        arrow = _ARROW.match(block.text)
        if moves and arrow and all(map(path_of, block.codes)):
            pairs.append(_moved(normal(block.codes[0]), normal(block.codes[1]), said, sure=True))
        elif not moves and re.fullmatch(rf"\W*{CODE}\W*", block.text) and path_of(block.codes[0]):
            pairs.append(_deletion(normal(block.codes[0]), said, sure=True))
        elif not moves and looks_like_path(block.text.strip()):
            pairs.append(_deletion(normal(block.text.strip()), said, sure=True))
        else:
            break
        end += 1
    if not pairs:
        return [], [Problem(blocks[at].line, f"asks to {match['verb'].lower()} files, and none is listed behind it")], 1
    return pairs, [], end - at


def find_marked(block: Block) -> list[Pair]:
    """Read a heading that marks its file as one to be deleted."""
    match = _MARKED.match(block.text)
    if match is None or not path_of(block.codes[0]):
        return []
    return [_deletion(normal(block.codes[0]), Said("", [], block.line), sure=True)]


def git_moves(text: str, line: int) -> tuple[str, list[Pair]]:
    """Take the renames out of a diff of git: the text without them, and a pair for each."""
    pairs: list[Pair] = []

    def take(match: re.Match[str]) -> str:
        at = line + text.count("\n", 0, match.start("old"))
        old, new = _unquoted(match["old"]), _unquoted(match["new"])
        pairs.append(Pair("", "", False, at, [Scope([old], at)], how="move", to=new))
        return match["rest"] or ""

    pattern = (
        r"(?m)^(?:diff --git .*\n)?(?:(?:dis)?similarity index .*\n)?"
        r"rename from (?P<old>.+)\nrename to (?P<new>.+)(?:\n|\Z)(?P<rest>index .*\n)?"
    )
    return re.sub(pattern, take, text), pairs


def _unquoted(path: str) -> str:
    return path.strip().strip('"')
