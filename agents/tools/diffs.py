"""The tool `apply_diff`: a unified diff, applied as a whole or not at all.

git reads and places the diff, on an index of its own that no file is behind: its context must fit exactly, and it may
rename, make, remove and change modes. What comes out is then judged and written as any other change (`transaction`).
Keeps: nothing is written unless all of it fits, lies in the workspace, is no link, and parses as it did.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from ..response import ToolResponse
from .bench import Refusal, WorkspaceTool
from .tree import FILE_BYTES_MAX

DIFF_LENGTH_MAX = 2_000_000
#: `a/` and `b/`, or other letters; where both are the same it is a folder's name, and nothing is put before it.
_GIT = re.compile(r"^diff --git \"?([a-z])/[^\n]* \"?(?!\1/)[a-z]/", re.MULTILINE)
#: Both names of a file, where a hunk follows: a line that is removed may look like one of them.
_NAMES = re.compile(r"^--- (\"[^\n]*\"|[^\t\r\n]*)[^\n]*\n\+\+\+ (\"[^\n]*\"|[^\t\r\n]*)[^\n]*\n@@", re.MULTILINE)
_REGULAR = ("100644", "100755")


class DiffParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is applied."""

    diff: Annotated[
        str,
        Meta(min_length=1, max_length=DIFF_LENGTH_MAX, description="As `git diff` writes it, with context lines"),
    ]


class ApplyDiff(WorkspaceTool):
    """Apply a unified diff to one or many files: all of it, or nothing where a hunk's context doesn't fit exactly or a
    file would no longer parse. The numbers in hunk headers may be off. May also make, remove and rename files."""

    title = "apply_diff"
    effect = "idempotent"
    parameters = DiffParameters

    def perform(self, given: DiffParameters) -> ToolResponse:
        """Answer with the files that it changed."""
        self.bench.record()  # what was changed by other means is part of what the diff is applied to
        tree = self._applied(given.diff.replace("\r\n", "\n") if _is_all_crlf(given.diff) else given.diff)
        changed = self._write(tree)
        if not changed:
            return ToolResponse.nothing_to_do("no_change", "the diff changes nothing")
        return ToolResponse.succeeded({"files_changed": changed})

    def _applied(self, diff: str) -> str:
        """Return the id of the tree that the diff makes of the last commit's; raises Refusal where it doesn't fit."""
        workspace = self.bench.workspace
        index = workspace.store.index(f"{workspace.path}.diff")
        text = (diff if diff.endswith("\n") else f"{diff}\n").encode("utf-8", "surrogateescape")
        options = ("--cached", "--whitespace=nowarn", f"-p{_strip(diff)}")
        git = partial(workspace.git.run, git_dir=workspace.store.git_dir, index=index)
        try:
            git("read-tree", workspace.commit)
            done = git("apply", *options, "-", stdin=text, expect=(0, 1, 128))
            if done.status and "corrupt patch" in done.err:
                # Not at once: without its numbers a hunk would go on into the names of the next file.
                done = git("apply", *options, "--recount", "-", stdin=text, expect=(0, 1, 128))
            if done.status:
                raise Refusal("diff_does_not_apply", _said(done.err))
            return git("write-tree").text
        finally:
            for path in (index, Path(f"{index}.lock")):
                path.unlink(missing_ok=True)

    def _write(self, tree: str) -> list[str]:
        """Bring the files to what a tree holds."""
        workspace = self.bench.workspace
        command = ("diff-tree", "-r", "-z", "--raw", "--no-renames", workspace.commit, tree)
        rows = workspace.git.run(*command, git_dir=workspace.store.git_dir).out.split(b"\0")[:-1]
        edits = self.bench.edits()
        for facts, name in zip(rows[::2], rows[1::2], strict=True):
            path = os.fsdecode(name)
            _, mode, _, identity, status = facts.decode().lstrip(":").split()
            if status == "D":
                edits.delete(path)
                continue
            if mode not in _REGULAR:
                raise Refusal("unsafe_path", f"the diff makes {path!r} a symbolic link or a submodule")
            content = workspace.git.run("cat-file", "blob", identity, git_dir=workspace.store.git_dir).out
            if len(content) > FILE_BYTES_MAX:
                raise Refusal("file_too_large", f"{path} would have {len(content)} bytes")
            edits.write(path, content, executable=mode == "100755")
        return self.bench.make(edits)


def _strip(diff: str) -> int:
    """Return how many parts the diff's names begin with that are none of the path: 1 for `a/` and `b/`, else 0."""
    if _GIT.search(diff):
        return 1
    pairs = [[name.strip('" ') for name in found.groups()] for found in _NAMES.finditer(diff)]
    names = [name for pair in pairs for name in pair if name != "/dev/null"]
    return int(all(re.match(r"[a-z]/", name) for name in names) and all(old != new for old, new in pairs))


def _is_all_crlf(diff: str) -> bool:
    """Tell whether a diff was carried through something that ends each line with a carriage return."""
    lines = diff.rstrip("\n").split("\n")
    return all(line.endswith("\r") for line in lines) and "\r\r" not in diff


def _said(stderr: str) -> str:
    lines = [line.removeprefix("error: ") for line in stderr.strip().split("\n") if line.strip()]
    return "; ".join(lines[:20])[:2000] or "the text is no diff"
