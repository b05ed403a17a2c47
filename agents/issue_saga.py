"""How an issue is worked on, as the data of a plan: the saga fix, test, review, publish, undone in reverse.

Owns the steps, what each is handed, and into which parts a larger issue is fixed. Leaves the steps to their agents and
their order to orchestration. Pure. Keeps: the parts of an issue are fixed one after the other, each from the commit of
the part before it, so that their changes need no joining; tested, reviewed and published is the whole, once. Explicit
edits stand by themselves: work beside them that can't be done doesn't take them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..orchestration.complexity import Complexity
from ..orchestration.decomposition import Subtask
from ..orchestration.pipeline import Pipeline
from ..orchestration.plan import Plan, Retry, Task, plan_data
from ..orchestration.saga import Saga
from .engines.engine import AUTO, IssueText
from .understanding.structure import StructuredIssue, Understanding

#: So many parts an issue is fixed in; what is beyond is one part with the last of them.
PARTS_MAX = 12
#: A longer issue is fixed as a whole: each part is handed all of its text.
PARTED_LENGTH_MAX = 60_000
#: The engine that makes explicit edits, all of them and no others.
EXACT = "patch"
#: A branch that somebody has worked on stays: trying again brings nothing, a human has to look.
UNPUBLISH_RETRY = Retry(attempts_max=5, backoff_s=0.5, backoff_max_s=30.0, unless=["ref_moved"])
#: What is no change of files by itself.
_NO_FIX = frozenset({"verification"})
_LARGER = frozenset({Complexity.COMPLEX, Complexity.ENTERPRISE})


class JobTask(msgspec.Struct, frozen=True, kw_only=True):
    """What `smart_issue` is asked: the issue, in the repository at `repo`, from the full commit `base` on.

    `path` is the caller's PATH, on which interpreters and tools are looked for; `ref` the branch to publish, which
    title and run decide otherwise; `command` a command line for the engine of that name, in place of the setting;
    `test_timeout_s` bounds one run of the tests. With `parts` False even a large issue is fixed as a whole; without
    `publish` the change stays in the run's store. `offer` is what a draft pull request needs to know beside the change
    (repository, host, issue, title, branch; see `github/pull_request.py`): with it, one is opened at the end.
    """

    issue: IssueText
    repo: str
    base: str
    engine: str = AUTO
    test_command: str | None = None
    allow_untested: bool = False
    path: str | None = None
    ref: str | None = None
    command: str | None = None
    test_timeout_s: float = 900.0
    parts: bool = True
    publish: bool = True
    offer: dict[str, Any] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an issue: `requirement` in words ("" for all of the issue), the engine, the files that are known.

    `beside` says that it is work beside explicit edits, which stand without it; `needs` are the numbers of the parts,
    counted from 0, whose work it goes on with.
    """

    title: str
    requirement: str = ""
    engine: str = AUTO
    files: tuple[str, ...] = ()
    beside: bool = False
    needs: tuple[int, ...] = ()


def parts_of(found: Understanding, engine: str, *, open_engines: bool) -> list[Part]:
    """Decide in which parts an issue is fixed, in the order of their dependencies; at least one.

    `open_engines` tells that there are engines for work that the issue doesn't state edit by edit. An issue of explicit
    edits, or one that nobody could do more for, is one part; so is one of a few files.
    """
    issue = found.issue
    whole = [Part(title=issue.title, engine=engine)]
    if not open_engines or engine == EXACT:
        return whole
    left = open_work(found)
    edits = any(edit["path"] for edit in issue.edits)
    if edits and (left or issue.further) and engine == AUTO:
        first = Part(title="the explicit edits", engine=EXACT)
        others = _grouped(left, engine) if left else [_further(issue.further, engine)]
        shifted = [msgspec.structs.replace(part, needs=tuple(n + 1 for n in part.needs)) for part in others]
        return [first, *(msgspec.structs.replace(part, beside=True) for part in shifted)]
    larger = found.work.assessment.level in _LARGER
    fixes = [subtask for subtask in ungrouped(found.work.subtasks) if subtask.kind not in _NO_FIX]
    if not larger or edits or len(fixes) < 2:
        return whole
    return _grouped(fixes, engine)


def is_exact(parts: Sequence[Part], *, open_engines: bool) -> bool:
    """Tell whether only an issue's explicit edits are made, and nobody works on what it asks for beside them."""
    return len(parts) == 1 and parts[0].engine in (EXACT, AUTO) and not open_engines


def open_work(found: Understanding) -> list[Subtask]:
    """Return what an issue asks for beyond its explicit edits."""
    edited = {edit["path"] for edit in found.issue.edits if edit["path"]}
    if not edited:
        return []
    lines = {edit["line"] for edit in found.issue.edits}
    return [
        subtask
        for subtask in ungrouped(found.work.subtasks)
        if subtask.kind not in _NO_FIX
        and subtask.line not in lines
        and not (set(subtask.files) and edited.issuperset(subtask.files))
    ]


def _further(wishes: Sequence[str], engine: str) -> Part:
    """Return one part for what is asked for beside explicit edits, where it falls into nothing smaller."""
    title = wishes[0] if len(wishes) == 1 else f"{wishes[0]}, and {len(wishes) - 1} more"
    return Part(title=title, requirement="\n".join(f"- {wish}" for wish in wishes)[:8000], engine=engine)


def _grouped(subtasks: Sequence[Subtask], engine: str) -> list[Part]:
    """Return one part for each subtask in the order of their dependencies; the last takes what is beyond the bound."""
    ordered = in_order(subtasks)
    kept, rest = ordered[: PARTS_MAX - 1], ordered[PARTS_MAX - 1 :]
    groups = [[one] for one in kept] + ([rest] if rest else [])
    place = {one.id: n for n, group in enumerate(groups) for one in group}
    parts = []
    for n, group in enumerate(groups):
        title = group[0].title if len(group) == 1 else f"{group[0].title}, and {len(group) - 1} more"
        needs = {place[other] for one in group for dep in one.depends_on for other in _meant(dep, subtasks)}
        before = tuple(sorted(need for need in needs if need < n))
        parts.append(Part(title=title, requirement=_requirement(group), engine=engine, needs=before))
    return parts


def ungrouped(subtasks: Sequence[Subtask]) -> list[Subtask]:
    """Return subtasks with those in the place of each that only holds others together."""
    found: list[Subtask] = []
    for subtask in subtasks:
        found += subtask.subtasks if subtask.subtasks and not subtask.line else [subtask]
    return found


def in_order(subtasks: Sequence[Subtask]) -> list[Subtask]:
    """Return subtasks so that each stands behind those that it depends on, otherwise in their own order."""
    needs = {
        one.id: {other for dep in one.depends_on for other in _meant(dep, subtasks)} - {one.id} for one in subtasks
    }
    done: list[Subtask] = []
    waiting = list(subtasks)
    while waiting:
        placed = {one.id for one in done}
        # Dependencies form no circle; if they did, the order of the text would do.
        following = next((one for one in waiting if placed >= needs[one.id]), waiting[0])
        done.append(following)
        waiting.remove(following)
    return done


def _meant(dependency: str, subtasks: Sequence[Subtask]) -> list[str]:
    """Return the subtasks that an id means: itself, those below it, or the one that it is a part of."""
    ids = [one.id for one in subtasks]
    below = [one for one in ids if one == dependency or one.startswith(f"{dependency}.")]
    return below or [one for one in ids if dependency.startswith(f"{one}.")]


def _requirement(subtasks: Sequence[Subtask]) -> str:
    """Put parts into words: what, where, and what shows that it is done."""
    told = []
    for one in subtasks:
        lines = [
            one.title,
            *(f"- in {path}" for path in one.files[:20]),
            *(f"- check: {check}" for check in one.checks[:20]),
        ]
        for inner in one.subtasks:
            lines += [f"- {inner.title}", *(f"  - check: {check}" for check in inner.checks[:5])]
        told.append("\n".join(lines))
    return "\n\n".join(told)[:8000]


def saga(job: JobTask, parts: Sequence[Part], ref: str, scope: Sequence[str] = ()) -> Plan:
    """Return the plan for an issue that is fixed in these parts and published as `ref`.

    `scope` are the files that the issue names as places of the work; a review says which others were changed.
    """
    commit = {"$from": "fix", "key": "commit"}
    undo = Task(agent="issue_fixer", input={"repo": job.repo})
    given = {"repo": job.repo, "base": job.base, "commit": commit}
    issue = msgspec.to_builtins(job.issue)
    test = Task(
        name="test",
        agent="testing",
        input={
            **given,
            "test_command": job.test_command,
            "allow_untested": job.allow_untested,
            "path": job.path,
            "timeout_s": job.test_timeout_s,
        },
        requires=["tests"],
    )
    review = Task(
        name="review",
        agent="pr_review",
        input={**given, "scope_files": list(scope) or None, "issue": issue, "path": job.path},
        requires=["review"],
    )
    publish = Task(
        name="publish",
        agent="publisher",
        input={**given, "ref": ref},
        requires=["commit"],
        retry=Retry(attempts_max=3, unless=["ref_taken", "invalid_ref", "commit_missing", "not_a_repository"]),
        pivot=True,
        undo=Task(agent="publisher", input={"repo": job.repo, "commit": commit, "ref": ref}, retry=UNPUBLISH_RETRY),
    )
    fix: Plan
    if len(parts) == 1:
        fix = _fix(job, issue, parts[0], name="fix", undo=undo)
    else:
        fix = Pipeline(name="fix", steps=[_fix(job, issue, part, before=n) for n, part in enumerate(parts)], undo=undo)
    offered = [_offer(job.offer, given, ref)] if job.offer is not None else []
    return Saga(steps=[fix, test, review, *([publish, *offered] if job.publish else [])])


def _offer(offer: Mapping[str, Any], given: Mapping[str, Any], ref: str) -> Task:
    """Return the step that opens a draft pull request for what was published; it tells what the tests have found."""
    told = ("status", "reason", "command", "before", "after", "newly_failing")
    tests = {name: {"$from": "test", "key": name, "default": None} for name in told}
    return Task(
        name="offer",
        agent="pull_request",
        input={**given, "ref": ref, "tests": tests, **offer},
        requires=["commit"],
        retry=Retry(attempts_max=3, unless=["not_found", "refused", "push_refused", "repository_invalid"]),
    )


def _fix(
    job: JobTask, issue: dict[str, Any], part: Part, *, name: str = "", before: int = 0, undo: Task | None = None
) -> Task:
    """Return the task that fixes a part; `before` counts the parts before it, of which it takes the last commit."""
    given: dict[str, Any] = {"issue": issue, "repo": job.repo, "base": job.base, "engine": part.engine}
    if job.command is not None:
        given["command"] = job.command
    if part.requirement:
        given |= {"requirement": part.requirement}
    if before:
        # A part in which there was nothing to do has no commit: the one before it counts then.
        given["after"] = [_commit_of(n) for n in reversed(range(before))]
    if part.beside:
        given |= {"beside": True, "needs": [_commit_of(n) for n in part.needs]}
    return Task(name=name or part_name(before), agent="issue_fixer", input=given, requires=["commit"], undo=undo)


def _commit_of(number: int) -> dict[str, Any]:
    """Refer to the commit of a part, null where it has none."""
    return {"$from": part_name(number), "key": "commit", "default": None}


def part_tasks(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the fixer is asked for each part of an issue, of a plan's data; all but commits still to be made."""
    fix = plan["steps"][0]
    return [step["input"] for step in fix.get("steps", [fix])]


def part_name(number: int) -> str:
    """Return the name of the step that fixes a part, counted from 0."""
    return f"part-{number + 1}"


def with_scope(issue: StructuredIssue) -> tuple[str, ...]:
    """Return the files that a change for an issue may be expected in; nothing where the issue doesn't say them all."""
    edited = {edit["path"] for edit in issue.edits}
    return tuple(sorted(edited | set(issue.target_files))) if edited and None not in edited else ()


def saga_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as data; raises PlanInvalid."""
    return plan_data(plan)
