"""An issue: its title, its state, and the explicit edits that it asks for.

Owns the way from an issue's text to edits; leaves making them to `edits`. Pure: the names of the repository's files are
an argument. The text is data from strangers. Keeps: an edit comes only from an old and a new text for a file that the
issue names; what is missing from that is said, not guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

import msgspec

from .edit import Edit
from .issue_asides import OVER, STATUS, is_within, settled_lines, without_asides
from .issue_blocks import Block, read
from .issue_diff import find_diffs, is_diff
from .issue_edits import edits_of
from .issue_files import find_files
from .issue_orders import find_follow_ups
from .issue_pairs import find_pairs
from .issue_paths import listed_files
from .issue_statement import Pair, Problem
from .path_forms import with_known_names

SLUG_LENGTH_MAX = 40


class Issue(msgspec.Struct, frozen=True):
    """What an issue says. `over` is its status where that means that it is settled; None for an open one.

    `settled` is where parts of it stand that are over by themselves (see `settled_lines`); nothing of them counts.
    """

    title: str
    over: str | None
    pairs: list[Pair]
    problems: list[Problem]
    listed: list[str]
    settled: list[tuple[int, int]] = []

    def edits(self, files: Collection[str]) -> tuple[list[Edit], list[Problem]]:
        """Return the edits for a repository with these files, and what keeps pairs of the issue from being one."""
        edits: list[Edit] = []
        problems = list(self.problems)
        for pair in self.pairs:
            found = edits_of(with_known_names(pair, files), self.listed, files)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                edits += found
        return edits, sorted(problems, key=lambda problem: problem.line)


def parse_issue(text: str, name: str = "") -> Issue:
    """Read an issue's Markdown; any text is a valid issue. `name` (a file's) serves where it has no title."""
    document = read(text)
    settled = settled_lines(document.blocks)
    blocks = [block for block in document.blocks if not is_within(block.line, settled)]
    told = without_asides(blocks)
    diffs, wrong_diffs = find_diffs(told)
    words = [block for block in told if not is_diff(block)]
    pairs, wrong_pairs, taken = find_pairs(words)
    taken |= {block.line for block in told if is_diff(block)}
    edited = {path for pair in [*diffs, *pairs] for scope in pair.scopes[:1] for path in scope.paths}
    files, wrong_files = find_files(told, taken, edited)
    whole = [pair for pair in [*diffs, *pairs] if pair.how in ("move", "delete")]
    if whole and len(whole) == len(diffs) + len(pairs) + len(files):
        wrong_pairs = [*wrong_pairs, *find_follow_ups(words)]
    return Issue(
        title=document.fields.get("title") or _title(document.blocks) or _from_name(name) or "Untitled issue",
        over=_over(document.fields.get("status") or document.fields.get("state") or "", blocks),
        pairs=sorted([*diffs, *pairs, *files], key=lambda pair: pair.line),
        problems=[*wrong_diffs, *wrong_pairs, *wrong_files],
        listed=listed_files(blocks),
        settled=settled,
    )


def slug(title: str) -> str:
    """Return a title as a part of a branch's name: lower-case letters and digits, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    made = ""
    for word in words:
        if made and len(made) + 1 + len(word) > SLUG_LENGTH_MAX:
            break
        made = f"{made}-{word}" if made else word[:SLUG_LENGTH_MAX]
    return made or "issue"


def _title(blocks: list[Block]) -> str:
    headings = [block for block in blocks if block.kind == "heading"]
    first = next((block for block in headings if block.level == 1), next(iter(headings), None))
    if first is not None and first.level > 1 and blocks[1:2] == headings[:1] and _is_title(blocks[0]):
        first = blocks[0]  # a form's headings stand below what was written as the title
    if first is None:
        first = next((block for block in blocks if block.kind == "text"), None)
    if first is None:
        return ""
    subject = re.search(r"^Subject: (?:\[PATCH[^\]]*\] ?)?(.+)", first.plain(), re.M)  # of git format-patch
    line = subject[1] if subject and first.kind == "text" else " ".join(first.plain().split("\n", 1)[0].split())
    line = re.sub(r"^(?:issue\s*)?#\d+\s*[:.–—-]?\s*", "", line, flags=re.IGNORECASE)
    return "".join(character for character in line if character.isprintable())[:120].strip()


def _is_title(block: Block) -> bool:
    """Tell whether a paragraph is one line that reads as a title, and no sentence, label or field."""
    line = block.plain().strip() if block.kind == "text" else ""
    return 0 < len(line) <= 120 and "\n" not in line and line[-1] not in ".:!" and not re.match(r"\w+: \S+\Z", line)


def _from_name(name: str) -> str:
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return " ".join(re.split(r"[-_\s]+", stem)).strip()


def _over(field: str, blocks: list[Block]) -> str | None:
    statements = [field]
    for n, block in enumerate(blocks):
        lines = block.plain().split("\n") if block.kind == "text" else []
        statements += [found[1] for line in lines if (found := STATUS.match(line))]
        is_status = block.kind == "heading" and block.text.strip().lower().rstrip(":") in ("status", "state")
        if is_status and n + 1 < len(blocks) and blocks[n + 1].kind == "text":
            statements.append(blocks[n + 1].plain().split("\n")[0])
    return next((" ".join(said.split()) for said in statements if OVER.match(said.strip())), None)
