"""The agents that come with Twelvefold: their queues, the Procfile lines that run them, and which of them a job needs.

Pure data. What they do is `agents`'; what they run on is `ground`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from .orchestration.procfile import ProcfileLine


class BuiltIn(NamedTuple):
    """One agent: its queue, the name of its line, its class, and how many work side by side; `job`: a job needs it."""

    queue: str
    line: str
    place: str
    processes: int
    job: bool = False


_HERE = "twelvefold.agents"
#: A job needs one who plans, and for each step of its plan one who does it.
BUILT_IN = (
    BuiltIn("smart_issue", "smart_issue", f"{_HERE}.smart_issue:SmartIssueAgent", 1, job=True),
    BuiltIn("issue_fixer", "fixer", f"{_HERE}.fixer:IssueFixerAgent", 2, job=True),
    BuiltIn("testing", "testing", f"{_HERE}.testing:TestingAgent", max(2, os.cpu_count() or 1), job=True),
    BuiltIn("pr_review", "review", f"{_HERE}.pr_review:PRReviewAgent", 1, job=True),
    BuiltIn("publisher", "publisher", f"{_HERE}.publisher:PublisherAgent", 1, job=True),
    BuiltIn("intelligent_issue", "intelligent_issue", f"{_HERE}.intelligent_issue:IntelligentIssueAgent", 1),
    BuiltIn("pull_request", "pull_request", f"{_HERE}.github.pull_request:PullRequestAgent", 1),
    BuiltIn("research", "research", f"{_HERE}.research_agent:ResearchAgent", 1),
)
QUEUES = frozenset(one.queue for one in BUILT_IN)
#: The queues of all agents that a job needs.
JOB_QUEUES = tuple(one.queue for one in BUILT_IN if one.job)


def needed_by(queues: Iterable[str]) -> tuple[str, ...]:
    """Return the built-in queues among some, with those to which a plan goes that one of them answers with."""
    asked = [queue for queue in queues if queue in QUEUES]
    return tuple(dict.fromkeys([*asked, *(JOB_QUEUES if "smart_issue" in asked else ())]))


def lines_for(queues: Iterable[str]) -> tuple[tuple[ProcfileLine, ...], dict[str, int]]:
    """Return the Procfile lines that serve built-in queues, and how many processes each has."""
    wanted = set(needed_by(queues))
    chosen = [(number, one) for number, one in enumerate(BUILT_IN, 1) if one.queue in wanted]
    lines = tuple(ProcfileLine(one.line, f"twelvefold agent {one.place}", number) for number, one in chosen)
    return lines, {one.line: one.processes for _, one in chosen}
