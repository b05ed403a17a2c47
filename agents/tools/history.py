"""Tools that read the repository's history: `git_log`, `git_blame`, `git_diff`, `git_show`.

They read the run's store and never the workspace's own `.git`, which foreign code may have written. Keeps: what they
answer with is bounded and says so; no program that a repository's settings or attributes name is started.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from ..git import Git
from ..response import ToolResponse
from ..work_errors import GitFailed
from .bench import Refusal, WorkspaceTool, refused
from .revisions import Revision, resolve
from .tree import FILE_BYTES_MAX, check_path

#: More of a diff, a file or a message isn't returned.
TEXT_LENGTH_MAX = 64_000
#: A command that takes longer is ended, well before its tool call would be given up.
GIT_TIMEOUT_S = 40.0
#: Larger files are said to differ, and not shown.
_SETTINGS = {"core.bigFileThreshold": "2m"}
#: No settings of a repository's own have a say.
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color")
#: A NUL ends each field, as none can hold one.
_FIELDS = "%H%x00%an%x00%aI%x00%B%x00"
_Path = Annotated[str, Meta(max_length=4096, description="Only this file or folder")]


class _GitTool(WorkspaceTool):
    """What the four have in common."""

    def git(self, *args: str) -> str:
        """Run git in the run's store and return its output as text."""
        return self.raw(*args).decode("utf-8", "replace")

    def raw(self, *args: str) -> bytes:
        """Run git in the run's store and return its output; raises Refusal where it fails, or takes too long."""
        workspace = self.bench.workspace
        git = Git(workspace.git.identity, timeout_s=GIT_TIMEOUT_S)
        try:
            return git.run(*args, git_dir=workspace.store.git_dir, settings=_SETTINGS).out
        except GitFailed as error:
            raise Refusal("git_failed", error.message()) from error

    def resolve(self, revision: str) -> str:
        """Return the full id of a commit that a model names."""
        return resolve(self.bench.workspace, revision)

    def below(self, path: str) -> list[str]:
        """Return the arguments that limit a command to a path; literal, whatever characters it holds."""
        path = path.strip().removeprefix("./").rstrip("/")
        if path in ("", "."):
            return ["--"]
        check_path(path)
        return ["--", path]

    def content(self, commit: str, path: str) -> bytes:
        """Return what a file holds as of a commit; raises Refusal where there is none, or it is too large."""
        check_path(path)
        row = self.git("ls-tree", "-z", "-l", commit, "--", path)
        if not row.startswith("100"):
            raise Refusal("file_missing", f"{path} is no file of commit {commit[:12]}")
        _, _, identity, size = row.split("\t", 1)[0].split()
        if int(size) > FILE_BYTES_MAX:
            raise Refusal("file_too_large", f"{path} has {size} bytes")
        return self.raw("cat-file", "blob", identity)


class LogParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which commits."""

    path: _Path = ""
    revision: Revision = "HEAD"
    limit: Annotated[int, Meta(ge=1, le=200, description="How many commits at most")] = 20


class GitLog(_GitTool):
    """List commits, newest first, with id, author, time and message; of the whole repository, or of those that changed
    one file or folder."""

    title = "git_log"
    parameters = LogParameters

    def perform(self, given: LogParameters) -> ToolResponse:
        """Answer with the commits."""
        options = ("--no-mailmap", "--no-show-signature", "--encoding=UTF-8", f"--max-count={given.limit + 1}")
        where = (self.resolve(given.revision), *self.below(given.path))
        fields = self.git("log", "-z", *options, f"--format={_FIELDS}", *where).split("\0")
        commits = []
        for at in range(0, len(fields) - 4, 5):
            commit, author, time, message = fields[at : at + 4]
            commits.append({"commit": commit, "author": author, "time": time, "message": _cut(message.strip(), 2000)})
        return ToolResponse.succeeded({"commits": commits[: given.limit], "truncated": len(commits) > given.limit})


class BlameParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which lines of which file."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    start_line: Annotated[int, Meta(ge=1)] = 1
    end_line: Annotated[int, Meta(ge=1)] | None = None
    revision: Revision = "HEAD"


class GitBlame(_GitTool):
    """Tell for each line of a file which commit wrote it, by whom and when. At most 500 lines at once."""

    title = "git_blame"
    parameters = BlameParameters

    def perform(self, given: BlameParameters) -> ToolResponse:
        """Answer with lines, and the commits that they name."""
        commit = self.resolve(given.revision)
        count = _lines_of(self, commit, given.path)
        if given.start_line > count:
            return refused("no_such_line", f"{given.path} has {count} lines at {commit[:12]}")
        wanted = min(given.end_line or count, count)
        end = min(wanted, given.start_line + 499)
        if end < given.start_line:
            return refused("no_such_line", f"line {given.end_line} comes before line {given.start_line}")
        options = ("--line-porcelain", "--no-progress", f"-L{given.start_line},{end}")
        out = self.git("blame", *options, commit, "--", given.path)
        lines, commits = _blamed(out)
        data = {"path": given.path, "lines": lines, "commits": commits, "truncated": end < wanted}
        return ToolResponse.succeeded(data)


def _lines_of(tool: _GitTool, commit: str, path: str) -> int:
    """Return how many lines a file of a commit has; raises Refusal where there is no such file."""
    content = tool.content(commit, path)
    return int(content.count(b"\n")) + (not content.endswith(b"\n") and content != b"")


def _blamed(out: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """Read git's porcelain: a head for each line, and the line itself behind a tab."""
    lines: list[dict[str, Any]] = []
    commits: dict[str, dict[str, str]] = {}
    facts: dict[str, str] = {}
    commit, number, begins = "", 0, True
    for row in out.split("\n"):
        if begins and row:
            commit, _, final = row.split(" ")[:3]
            number, facts, begins = int(final), {}, False
        elif row.startswith("\t"):
            known = {"author": facts.get("author", ""), "summary": _cut(facts.get("summary", ""), 200)}
            commits.setdefault(commit[:12], {**known, "time": facts.get("author-time", "")})
            lines.append({"line": number, "commit": commit[:12], "text": _cut(row[1:].rstrip("\r"), 400)})
            begins = True
        else:
            name, _, value = row.partition(" ")
            facts[name] = value
    return lines, commits


class DiffParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Between what, of what."""

    old: Revision = "START"
    new: Revision = "HEAD"
    path: _Path = ""


class GitDiff(_GitTool):
    """Show what changed between two commits as a unified diff; by default all that was changed since the task began.
    The workspace's files are committed after each call that changes them, so HEAD is how they are now."""

    title = "git_diff"
    parameters = DiffParameters

    def perform(self, given: DiffParameters) -> ToolResponse:
        """Answer with the diff and the files that it is about."""
        old, new = self.resolve(given.old), self.resolve(given.new)
        below = self.below(given.path)
        names = self.git("diff-tree", "-r", "-z", "--name-only", "--find-renames", old, new, *below)
        text = self.git("diff-tree", "-r", "-p", *_PLAIN, "--find-renames", old, new, *below)
        files = [name for name in names.split("\0") if name]
        return ToolResponse.succeeded({"files": files[:1000], "diff": _cut(text), "truncated": _is_long(text)})


class ShowParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which commit, and which file as of then."""

    revision: Revision = "HEAD"
    path: Annotated[str, Meta(max_length=4096, description="A file: its content as of then, not the diff")] = ""


class GitShow(_GitTool):
    """Show a commit, with its message and its diff; or, with a path, what that file held as of that commit."""

    title = "git_show"
    parameters = ShowParameters

    def perform(self, given: ShowParameters) -> ToolResponse:
        """Answer with the commit or the content."""
        commit = self.resolve(given.revision)
        if given.path:
            return self._content(commit, given.path)
        options = ("-s", "--no-mailmap", "--no-show-signature", "--encoding=UTF-8", f"--format={_FIELDS}")
        _, author, time, message, _ = self.git("show", *options, commit).split("\0", 4)
        text = self.git("diff-tree", "-r", "-p", "--root", "--no-commit-id", "-m", "--first-parent", *_PLAIN, commit)
        data = {"commit": commit, "author": author, "time": time, "message": _cut(message.strip(), 8000)}
        return ToolResponse.succeeded({**data, "diff": _cut(text), "truncated": _is_long(text)})

    def _content(self, commit: str, path: str) -> ToolResponse:
        content = self.content(commit, path)
        if b"\0" in content:
            return refused("binary_file", f"{path} is a binary file of {len(content)} bytes", {"size": len(content)})
        text = content.decode("utf-8", "replace")
        facts = {"commit": commit, "path": path, "text": _cut(text), "size": len(content), "truncated": _is_long(text)}
        return ToolResponse.succeeded(facts)


def _is_long(text: str) -> bool:
    return len(text) > TEXT_LENGTH_MAX


def _cut(text: str, length_max: int = TEXT_LENGTH_MAX) -> str:
    return text if len(text) <= length_max else f"{text[:length_max]}\n[… {len(text) - length_max} characters left out]"
