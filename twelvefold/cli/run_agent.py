"""`twelvefold run --agent NAME TARGET`: one agent alone, followed to its end.

Owns what TARGET means for each of the agents that come with Twelvefold; for any other it is the task itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..agents.job import ENTRY
from ..built_in import QUEUES
from ..errors import UsageInvalid

#: Those whose target is an issue.
_OF_ISSUES = (ENTRY, "intelligent_issue", "issue_fixer")
#: Those whose target is a change.
_OF_CHANGES = ("testing", "pr_review")


class AgentRun(NamedTuple):
    """What was asked on the command line; `input` is JSON or @FILE, and stands in place of a target."""

    name: str
    target: str | None
    input: str | None
    repo: Path
    base: str | None
    engine: str
    test_command: str | None
    allow_untested: bool


def run_agent(
    asked: AgentRun, *, budget: Mapping[str, float], timeout_s: float | None, detach: bool, as_json: bool, key: str = ""
) -> int:
    """Give a task to one agent, follow it and return the exit status; raises UsageInvalid."""
    from ..orchestration.plan import Task
    from ..orchestration.values import references
    from .run_plan import follow_plan

    if (asked.target is None) == (asked.input is None):
        raise UsageInvalid("--agent needs a TARGET, or an --input", "twelvefold run")
    given = agent_input(asked)
    if any(references(given)):
        raise UsageInvalid("a task for one agent can't refer to others by `$from`", "twelvefold run")
    labels = {"agent": asked.name}
    return follow_plan(
        Task(agent=asked.name, input=given),
        labels=labels,
        input=None,
        budget=budget,
        timeout_s=timeout_s,
        detach=detach,
        as_json=as_json,
        key=key,
    )


def agent_input(asked: AgentRun) -> Any:
    """Return the input of the task: JSON as it is given, else what the target means for this agent."""
    from .run_plan import input_of

    if asked.input is not None:
        return input_of(asked.input, None)
    target = asked.target or ""
    if asked.name in _OF_ISSUES:
        return _of_issue(asked, target)
    if asked.name in _OF_CHANGES:
        return _of_change(asked, target)
    if asked.name == "research":
        return {"question": target, "repos": [str(asked.repo.absolute())]}
    if asked.name in QUEUES:
        raise UsageInvalid(f"what {asked.name} is to do stands in no target: give it by --input", "twelvefold run")
    return _of_any(target)


def _of_issue(asked: AgentRun, target: str) -> dict[str, Any]:
    from ..agents.job import resolve_request
    from ..settings import load_settings
    from .issue_target import issue_of

    name, text = issue_of(target)
    issue = {"name": name, "text": text}
    request = resolve_request(asked.repo, asked.base)
    found: dict[str, Any] = {"issue": issue, "repo": request.repo, "base": request.base, "engine": asked.engine}
    if asked.name == "intelligent_issue":
        return found
    command = load_settings().fixer_command
    found |= {"command": command} if command else {}
    if asked.name == ENTRY:
        found |= {"test_command": asked.test_command, "allow_untested": asked.allow_untested}
        found |= {"path": os.environ.get("PATH")}
    return found


def _of_change(asked: AgentRun, target: str) -> dict[str, Any]:
    """Read `BASE..COMMIT`, or one commit, whose base is --base or the commit before it."""
    from ..agents.job import resolve_request

    first, dots, last = target.partition("..")
    if dots:
        base, commit = first or asked.base or "HEAD", last.lstrip(".") or "HEAD"
    else:
        base, commit = asked.base or f"{target}~1", target
    request = resolve_request(asked.repo, commit)
    found: dict[str, Any] = {"repo": request.repo, "base": resolve_request(asked.repo, base).base}
    found |= {"commit": request.base, "path": os.environ.get("PATH")}
    if asked.name == "testing":
        found |= {"test_command": asked.test_command, "allow_untested": asked.allow_untested}
    return found


def _of_any(target: str) -> Any:
    """Return a file's name and text, or the words themselves."""
    from ..agents.job import read_issue

    path = Path(target)
    try:
        there = path.is_file()
    except OSError:
        there = False  # longer than a file's name can be
    return {"name": path.name, "text": read_issue(path)} if there else target
