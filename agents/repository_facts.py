"""What a repository says about an issue: its files at a commit, and where the names of the issue are used and defined.

Reads the commit, never the user's checkout, and writes nothing. Leaves what follows from it to
`orchestration.complexity_signals`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..orchestration.complexity_facts import RepositoryFacts
from .git import Git, check_commit

#: So many names of an issue are looked up, each by one search through the commit's files.
NAMES_MAX = 12
#: So many lines of one name are looked at; a name that stands in more is no help.
LINES_MAX = 20_000
_GREP_TIMEOUT_S = 20.0
_NAME = re.compile(r"[A-Za-z_]\w{2,80}")
_DEFINED = (
    r"(?:^|[\s(])(?:def|class|func|fn|function|fun|sub|struct|enum|interface|trait|type|const|let|var|val|module|macro"
    r"|#define)\s+(?:\([^)]{{0,80}}\)\s*)?{name}\b|^\s*(?:export\s+)?{name}\s*(?::[^=]{{0,80}})?=[^=]"
)


def read_repository(top: Path, commit: str, names: Sequence[str]) -> RepositoryFacts:
    """Return a commit's files, and for each of the names where it is used and defined; raises GitFailed."""
    git = Git(timeout_s=_GREP_TIMEOUT_S)
    listed = git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", check_commit(commit), at=top).out
    files = frozenset(name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name)
    uses: dict[str, tuple[str, ...]] = {}
    definitions: dict[str, tuple[str, ...]] = {}
    for name in [name for name in dict.fromkeys(names) if _NAME.fullmatch(name)][:NAMES_MAX]:
        uses[name], definitions[name] = _look_up(git, top, commit, name)
    return RepositoryFacts(files, uses, definitions)


def _look_up(git: Git, top: Path, commit: str, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    search = ("grep", "-I", "-w", "-F", "--no-color", "--full-name", "-z", "-e", name, commit)
    out = git.run(*search, at=top, expect=(0, 1)).out
    defined = re.compile(_DEFINED.format(name=re.escape(name)))
    using: dict[str, None] = {}
    defining: dict[str, None] = {}
    for row in out.split(b"\n")[:LINES_MAX]:
        place, found, line = row.decode("utf-8", "surrogateescape").partition("\0")
        if found:
            path = place.partition(":")[2]
            using[path] = None
            if defined.search(line[:2000]):
                defining[path] = None
    return tuple(using), tuple(defining)
