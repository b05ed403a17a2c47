"""The primary agent of a hierarchy: it takes a task apart, answers with the plan of its parts, and aggregates them.

Decomposition is deterministic and calls no model. What the plans look like is `orchestration.hierarchy`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..orchestration.hierarchy import Brief, Roles, Work, check_work, leaves, numbered, primary_plan, values_of, work_of
from ..orchestration.issue_outline import read_outline
from .assessment import Origin, decompose_at, origin_of
from .base import BaseAgent
from .context import TaskContext
from .journal import HumanAnswer
from .response import ToolResponse

#: What is asked where a task names no file, no case and no number.
QUESTION = "nothing in this task could be checked: what shall be checked when it is done (a file, a case, a number)?"


class Assignment(msgspec.Struct, frozen=True):
    """A task for a hierarchy: its text, the repository that it is about, and its parts where they are given by hand.

    `override` is the level of complexity that counts instead of the estimated one.
    """

    text: str
    repo: str | None = None
    base: str | None = None
    subtasks: tuple[Work, ...] = ()
    override: str | None = None


class PrimaryAgent(BaseAgent):
    """Decomposes a task, validates its parts, and aggregates what came of them."""

    workflow_stages = ("decompose", "aggregate")

    def execute_task(self, task: dict[str, Any], context: TaskContext) -> ToolResponse:
        """Answer `{"do": "decompose"}` with a plan, and `{"do": "aggregate"}` with the values of all parts."""
        if task.get("do") == "aggregate":
            self.current_stage = "aggregate"
            return self.aggregate(task)
        self.current_stage = "decompose"
        assignment = msgspec.convert(task.get("assignment"), Assignment)
        roles = msgspec.convert(task.get("roles", {}), Roles)
        return self.decompose(assignment, roles, context.path, context.answers)

    def decompose(
        self, assignment: Assignment, roles: Roles, path: str = "0", answers: Sequence[HumanAnswer] = ()
    ) -> ToolResponse:
        """Take the task at a path apart; raises SlicesInvalid and SlicesCyclic for parts that can't be carried out.

        A text in which nothing could be checked is given to nobody: its author is asked, and what he answers joins the
        text, and is what its only part is checked by where it can't be taken apart even so. `reject` fails the task.
        """
        said = [one for one in answers if one.question == QUESTION]
        if said and said[-1].answer == "reject":
            return ToolResponse.failed("rejected", said[-1].note or "nobody says what shall be checked")
        checks = tuple(filter(None, map(_text_of, said)))
        assignment = msgspec.structs.replace(assignment, text="\n\n".join((assignment.text, *checks)))
        origin = Origin() if assignment.repo is None else origin_of(assignment.repo, assignment.base)
        about: dict[str, Any] = {"level": None, "confidence": None, "vague": False}
        parts, title = assignment.subtasks, read_outline(assignment.text).title
        constraints: tuple[str, ...] = ()
        targets: tuple[str, ...] = ()
        if not parts:
            found = decompose_at(assignment.text, origin, override=assignment.override)
            judged = found.assessment
            if judged.vague and not checks:
                return ToolResponse.needs_human("vague", QUESTION, {"text": assignment.text})
            about = {"level": judged.level, "confidence": judged.confidence, "vague": judged.vague}
            parts, constraints, title, targets = work_of(found), found.constraints, found.title, judged.targets
        # An atomic task is its own only part.
        parts = numbered(parts or (Work(assignment.text, files=targets, checks=checks),))
        check_work(parts)
        brief = Brief(assignment.text, origin.repo, origin.commit, constraints)
        plan = primary_plan(brief, parts, roles, {"title": title, **about}, path)
        return ToolResponse.planned(plan, f"{sum(1 for _ in leaves(parts))} parts")

    def aggregate(self, task: dict[str, Any]) -> ToolResponse:
        """Put the values of all parts together; one that is missing makes this a failure."""
        parts = msgspec.convert(task["parts"], tuple[Work, ...])
        values = values_of(parts, task["values"])
        told = [
            {"id": leaf.id, "title": leaf.title, "checks": list(leaf.checks), "value": values[leaf.id]}
            for leaf in leaves(parts)
        ]
        about = {key: task.get(key) for key in ("title", "level", "confidence", "vague")}
        return ToolResponse.succeeded({**about, "subtasks": told}, message=f"{len(told)} parts done")


def _text_of(said: HumanAnswer) -> str:
    """Return what an answer says shall be checked; a bare yes (`approve`) says nothing but its note."""
    answer = "" if said.answer in (None, "approve") else said.answer
    text = answer if isinstance(answer, str) else msgspec.json.encode(answer).decode()
    return "\n\n".join(filter(None, (text.strip(), said.note.strip())))
