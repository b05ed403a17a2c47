"""The built-in job: an issue and a repository in, a tested and reviewed branch out.

Owns what is asked of the user's repository before a run starts, and the one task with which a run begins. Leaves the
steps to `smart_issue`, which plans them. Keeps: a run works on one full commit, found and
recorded before it starts, whatever the user does to the repository meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..orchestration.plan import Task, plan_data
from .git import Git, check_commit
from .issue import parse_issue, slug
from .repositories.standing import remarks, uncommitted
from .store import find_repository
from .work_errors import NoCommits, UnknownRevision, UnreadableIssue

#: The most of an issue file that is read, in bytes.
ISSUE_SIZE_MAX = 4 << 20
#: The queue that a job's first task goes to.
ENTRY = "smart_issue"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as it was found: `base` is the full commit that work starts from.

    `changed` and `untracked` count what is uncommitted in the checkout, and so left out; `branch` is the checked-out
    one, None for a detached HEAD; `remarks` are sentences on what else is odd (see `repositories/standing.py`).
    """

    repo: str
    base: str
    branch: str | None
    changed: int
    untracked: int
    remarks: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        """Whether the checkout holds anything that is not committed."""
        return bool(self.changed or self.untracked)

    def note(self) -> str | None:
        """Say what was left out, in a sentence; None for a clean checkout."""
        if not self.dirty:
            return None
        parts = [f"{n} {what} file{'s' if n > 1 else ''}" for n, what in self._left_out() if n]
        return f"uncommitted changes were left out ({', '.join(parts)}); work started from {self.base[:12]}"

    def notes(self) -> list[str]:
        """Return all that somebody should know before work starts from there, each in a sentence."""
        note = self.note()
        return [*([note] if note else []), *self.remarks]

    def _left_out(self) -> list[tuple[int, str]]:
        return [(self.changed, "changed"), (self.untracked, "untracked")]


def resolve_request(repo: Path, revision: str | None = None) -> Request:
    """Find the commit that work on a repository starts from: `revision`, else HEAD. Writes nothing anywhere.

    Raises NotARepository, BareRepository, NoCommits, UnknownRevision.
    """
    git = Git()
    found = find_repository(git, repo.absolute())
    wanted = f"{(revision or 'HEAD').replace(chr(0), '')}^{{commit}}"
    base = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted, at=found.top, expect=(0, 1, 128))
    if base.status:
        if revision in (None, "HEAD"):
            raise NoCommits(str(found.top))
        raise UnknownRevision(str(found.top), str(revision))
    branch = git.run("symbolic-ref", "--quiet", "--short", "HEAD", at=found.top, expect=(0, 1)).text
    changed, untracked = uncommitted(git, found.top)
    return Request(
        repo=str(found.top),
        base=check_commit(base.text),
        branch=branch or None,
        changed=changed,
        untracked=untracked,
        remarks=tuple(remarks(git, found, base.text)),
    )


def read_issue(path: Path) -> str:
    """Return an issue file's text; raises UnreadableIssue."""
    try:
        with path.open("rb") as file:
            content = file.read(ISSUE_SIZE_MAX + 1)
        if len(content) > ISSUE_SIZE_MAX:
            raise UnreadableIssue(str(path), f"it is larger than {ISSUE_SIZE_MAX} bytes")
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableIssue(str(path), f"it is not text in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise UnreadableIssue(str(path), error.strerror or str(error)) from error


def branch_ref(run: str, issue_name: str, issue_text: str) -> str:
    """Return the full ref that a run publishes: refs/heads/twelvefold/<issue-slug>-<run>."""
    return f"refs/heads/twelvefold/{slug(parse_issue(issue_text, issue_name).title)}-{run}"


def job_plan(
    *,
    issue_name: str,
    issue_text: str,
    repo: str,
    base: str,
    engine: str = "auto",
    test_command: str | None = None,
    allow_untested: bool = False,
    path: str | None = None,
    test_timeout_s: float = 900.0,
    command: str | None = None,
    offer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the plan of one job as data: the task for `smart_issue`, which answers with the steps.

    `path` is the caller's PATH, on which the tests' interpreter is looked for; `test_timeout_s` bounds one run of them;
    `command` is a command line for the engine of that name, `offer` asks for a draft pull request (see `JobTask`).
    """
    given: dict[str, Any] = {
        "issue": {"name": issue_name, "text": issue_text},
        "repo": repo,
        "base": base,
        "engine": engine,
        "test_command": test_command,
        "allow_untested": allow_untested,
        "path": path,
        "test_timeout_s": test_timeout_s,
    }
    given |= {"command": command} if command is not None else {}
    given |= {"offer": dict(offer)} if offer is not None else {}
    return plan_data(Task(agent=ENTRY, input=given))
