"""The agent that runs a project's tests before and after a change, and says what the change did to them.

Owns the task: which commits, which command, how often, and what follows from the comparison. How a run is made and
proved is `test_side`'s. Keeps: `succeeded` only where the tests of the workspace ran and none fails that didn't before,
or where there are none, or where the caller said that untested is enough; and the value always says which.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from .base import BaseAgent
from .context import TaskContext
from .errors import TaskWithdrawn
from .git import Git
from .guarded import Limits, alone
from .journal import HumanAnswer
from .repositories.allowed import require
from .repository_errors import RepositoryForbidden
from .response import Evidence, ToolResponse
from .store import RunStore, Stores, find_repository
from .test_compare import NAMES_MAX, Comparison, compare, judge_alone, settle_unsteady
from .test_memory import TestMemory
from .test_runner import TestCommand, find_test_commands, given_command
from .test_side import SideReport, run_side
from .test_sources import Tree, changed_files, own_packages, read_tree
from .workspace import Workspaces

#: Newly failing tests are looked at again only where a run takes at most this long.
AGAIN_ELAPSED_S_MAX = 300.0
OUTPUT_LENGTH_MAX = 4000
#: How Python, pytest and argparse end what they say of an error.
_CAUSE = re.compile(
    r"^(?:E +)?((?:[\w.]*\.)?(?:[A-Z]\w*(?:Error|Exception)|error): .+|\S*sh: .*not found)$", re.MULTILINE
)


class TestingTask(msgspec.Struct, kw_only=True):
    """What is to be tested: `commit` against `base`, both full ids, of the repository at `repo`; by itself without one.

    `path` is the caller's PATH, on which interpreters and tools are looked for; this process's own by default.
    `timeout_s` bounds each run of the tests. `allow_untested` lets a result pass that proves nothing;
    without `ask` no person is asked what to do about one, and the task has failed.
    """

    __test__: ClassVar[bool] = False
    repo: str
    commit: str
    base: str | None = None
    test_command: str | None = None
    allow_untested: bool = False
    path: str | None = None
    timeout_s: float = 900.0
    ask: bool = True


_NO_TESTS = "nothing was tested: the repository's files name no tests"


class _Bench(msgspec.Struct, kw_only=True):
    """What the runs of one task have in common."""

    task: TestingTask
    stores: Stores
    store: RunStore
    changed: list[str]
    trees: dict[str, Tree]
    commands: list[TestCommand]
    memory: TestMemory | None = None
    forbidden: str = ""
    effects: list[str] = []


class TestingAgent(BaseAgent):
    """Runs the tests of a repository at two commits, each in a workspace of its own, and compares."""

    __test__ = False
    workflow_stages = ("look", "before", "after", "again", "compare")

    def execute_task(self, task: TestingTask, context: TaskContext) -> ToolResponse:
        """Run the tests at both commits and answer with the comparison.

        The value: `status` (passed, failed, unusable, none), `reason`, `command`, `kind`, `contained`; `before` (null
        without a base) and `after`, each with counts, names of failures, exit code and proof; `newly_failing`,
        `newly_passing`, `disappeared`, `unsteady`, `flaky`. Every run's whole report, with the outcome of each test by
        name, is an effect's result, which is the evidence.
        """
        self.current_stage = "look"
        task = with_answers(task, context.answers)
        bench = self._bench(task, context)
        if not bench.commands:
            return self._untested(bench, context)
        before = self._side(bench, context, "before", task.base) if task.base is not None else None
        after = self._side(bench, context, "after", task.commit)
        compared = compare(before.tested(), after.tested(), bench.changed) if before else judge_alone(after.tested())
        if before is not None and before.cached is not None and compared.status != "passed":
            # Nothing is held against a change by what ran for another task.
            before = self._side(bench, context, "before", before.commit, fresh=True)
            compared = compare(before.tested(), after.tested(), bench.changed)
        if before is not None and self._worth_again(compared, before, after):
            compared = self._again(bench, context, compared, before)
        self.current_stage = "compare"
        self.progress = 1.0
        return _answer(bench, before, after, compared)

    def _bench(self, task: TestingTask, context: TaskContext) -> _Bench:
        stores = Stores(Git(), context.places.stores, context.emit)
        repository = find_repository(stores.git, Path(task.repo))
        commits = [task.commit] if task.base is None else [task.base, task.commit]
        store = stores.open_run(repository, context.run, commits[0])
        if not stores.has(store.git_dir, task.commit):
            stores.keep_base(repository, task.commit)  # one of the user's own, not of the run
        for commit in commits:
            stores.require(store, commit)
        trees = {commit: read_tree(stores.git, store.git_dir, commit) for commit in set(commits)}
        # Without a base nothing has changed, and what must be seen to be tested are the project's own packages.
        changed = changed_files(stores.git, store.git_dir, task.base, task.commit) if task.base is not None else []
        watched = changed if task.base is not None else own_packages(trees[task.commit])
        commands = [given_command(task.test_command)] if task.test_command else []
        # The tests that were there before are the measure; a change that brings the first ones is measured by those.
        for commit in commits:
            commands = commands or find_test_commands(trees[commit].paths, trees[commit].contents, changed)
        commands, forbidden = _permitted(task, commands, context)
        memory = None
        if task.base is not None:
            tree = stores.git.run("rev-parse", "--verify", f"{task.base}^{{tree}}", git_dir=store.git_dir).text
            memory = TestMemory(context.places.cache / "tests", tree)
        return _Bench(
            task=task, stores=stores, store=store, changed=watched, trees=trees, memory=memory,
            commands=commands, forbidden=forbidden,
        )  # fmt: skip

    def _side(
        self, bench: _Bench, context: TaskContext, side: str, commit: str, nth: int = 0, *, fresh: bool = False
    ) -> SideReport:
        """Run one side as a recorded effect; what is recorded already isn't run again."""
        self.current_stage = side if nth == 0 else "again"
        self.progress = {"before": 0.1, "after": 0.5}[side] if nth == 0 else 0.9
        name = side if nth == 0 else f"{side}{nth}"
        task = bench.task
        commands = [command.text() for command in bench.commands]
        parameters = {"side": side, "commit": commit, "nth": nth, "commands": commands, "timeout_s": task.timeout_s}
        parameters |= {"fresh": True} if fresh else {}

        def run() -> SideReport:
            # The caller's variables are the project's own to rely on; `test_environment` takes out what would mislead.
            caller = {**os.environ, **({"PATH": task.path} if task.path else {})}
            workspaces = Workspaces(bench.stores, context.places.workspaces, context.emit)
            with (
                alone(f"twelvefold-{context.run}-{context.path}") as held,
                workspaces.create(bench.store, context.path, commit, name) as workspace,
            ):
                report = run_side(
                    workspace, repo=Path(task.repo), tree=bench.trees[commit], changed=bench.changed,
                    commands=bench.commands, caller=caller, limits=Limits(timeout_s=task.timeout_s),
                    cancelled=lambda: context.cancelled, held=[held],
                    writable=None if context.settings.sandbox == "off" else context.settings.writable,
                    memory=bench.memory if side == "before" and nth == 0 else None, fresh=fresh,
                )  # fmt: skip
            if report.execution.stopped == "cancelled":
                raise TaskWithdrawn(context.run, context.path)
            return report

        report: SideReport = context.effect("process", "tests", parameters, run, effect="idempotent", result=SideReport)
        bench.effects.append(context.ledger.done[-1][1].id.hex())
        return report

    def _worth_again(self, compared: Comparison, before: SideReport, after: SideReport) -> bool:
        """Tell whether failing tests should be tried again: only tests that are known by name and ran, and soon."""
        names = set(compared.newly_failing)
        soon = before.execution.elapsed_s + after.execution.elapsed_s <= 2 * AGAIN_ELAPSED_S_MAX
        return compared.status == "failed" and soon and not before.tested().broke and names <= set(after.results.tests)

    def _again(self, bench: _Bench, context: TaskContext, compared: Comparison, before: SideReport) -> Comparison:
        """Tell broken tests from unsteady ones by running again: with the change, and if that differs, without it."""
        still = self._side(bench, context, "after", bench.task.commit, 1)
        if still.tested().broke or still.tested().doubt or set(compared.newly_failing) <= still.results.failures:
            return compared
        without: set[str] = set()
        assert bench.task.base is not None  # or there would be nothing that is newly failing
        for nth in (1, 2):
            without |= self._side(bench, context, "before", bench.task.base, nth).results.failures
        settled = settle_unsteady(compared, still.results.failures, without)
        if settled.unsteady and bench.memory is not None and before.key:
            bench.memory.forget(before.key)  # tests that come out now so, now so, are no measure
        return settled

    def _untested(self, bench: _Bench, context: TaskContext) -> ToolResponse:
        reason = f"nothing was tested: {bench.forbidden}" if bench.forbidden else _NO_TESTS
        looked = {"base": bench.task.base, "commit": bench.task.commit}
        found = {"commands": [], "files": len(bench.trees[bench.task.commit].paths)}
        context.effect("git", "look for tests", looked, lambda: found, effect="idempotent")
        bench.effects.append(context.ledger.done[-1][1].id.hex())
        value: dict[str, Any] = {
            "status": "none",
            "reason": reason,
            "tests": None,
            "command": None,
            "before": None,
            "after": None,
        }
        value |= {"newly_failing": [], "newly_passing": [], "contained": context.contained}
        return ToolResponse.succeeded(value, _evidence(bench, "none"), reason)


def _permitted(task: TestingTask, commands: list[TestCommand], context: TaskContext) -> tuple[list[TestCommand], str]:
    """Return those of the commands that may be run, and why none of them may.

    Raises RepositoryForbidden where none may and the task can't do without.
    """
    permitted, refusal = [], ""
    for command in commands:
        try:
            require(context, Path(task.repo), "commands", command.argv or command.shell)
            permitted.append(command)
        except RepositoryForbidden as error:
            if command is commands[-1] and not permitted and not task.allow_untested:
                raise
            refusal = error.message()
    return permitted, "" if permitted else refusal


def _evidence(bench: _Bench, status: str) -> list[Evidence]:
    return [Evidence("tests", ref, {"status": status}) for ref in bench.effects]


def _counts(report: SideReport) -> dict[str, Any]:
    """Return what a side came to; counts are null where nothing tells how many tests ran."""
    results, execution = report.results, report.execution
    known = results.source != "none"
    return {
        "commit": report.commit,
        "passed": results.passed if known else None,
        "failed": results.failed if known else None,
        "skipped": results.skipped if known else None,
        "failures": sorted(results.failures)[:NAMES_MAX],
        "broken": list(results.broken),
        "exit_code": execution.exit_code,
        "stopped": report.tested().stop or None,
        "elapsed_s": execution.elapsed_s,
        # For people who must decide, the end of what was said.
        "output": execution.tail[-OUTPUT_LENGTH_MAX:] if report.tested().broke or results.failed else None,
        "left_behind": list(execution.left_behind),
        "cached": msgspec.to_builtins(report.cached) if report.cached is not None else None,
        "proof": msgspec.to_builtins(report.proof),
    }


def with_answers(task: TestingTask, answers: Sequence[HumanAnswer]) -> TestingTask:
    """Return the task as it stands after humans have answered: with a command, or `accept` for an untested change."""
    for one in answers:
        said = one.answer.strip() if isinstance(one.answer, str) else ""
        if said in ("accept", "approve"):
            task = msgspec.structs.replace(task, allow_untested=True)
        elif said and said != "reject":
            task = msgspec.structs.replace(task, test_command=said)
    return task


def _answer(bench: _Bench, before: SideReport | None, after: SideReport, compared: Comparison) -> ToolResponse:
    facts: dict[str, Any] = msgspec.to_builtins(compared)
    counts = {"before": _counts(before) if before is not None else None, "after": _counts(after)}
    value = {**facts, "command": after.command, "kind": after.kind, **counts}
    value["contained"] = after.execution.contained and (before is None or before.execution.contained)
    evidence = _evidence(bench, compared.status)
    if compared.status == "failed":
        names = _some(compared.newly_failing)
        if before is None:
            names = _some(sorted(after.results.failures))
        error = f"{compared.reason}: {names}" if names else compared.reason
        if before is None:
            return ToolResponse(False, data=value, error=error, reason="failing", evidence=evidence)
        return ToolResponse(False, data=value, error=error, reason="newly_failing", evidence=evidence)
    if compared.status == "unusable" and not bench.task.allow_untested:
        if not bench.task.ask:
            error = f"the tests (`{after.command}`) prove nothing: {compared.reason}"
            return ToolResponse(False, data=value, error=error, reason="tests_unusable", evidence=evidence)
        both = after.tested().broke and (before is None or before.tested().broke)
        cause = _cause(after) or (_cause(before) if before is not None else "") if both else ""
        about = "this change" if before is not None else "this commit"
        question = (
            f"The tests (`{after.command}`) prove nothing about {about}: {compared.reason}{cause}. "
            "Answer with a command that works, or with `accept` for an untested change "
            "(--test-command and --allow-untested say so beforehand)"
        )
        return ToolResponse(
            False, data=value, outcome="needs_human", reason="tests_unusable", message=question, evidence=evidence
        )
    counted = after.results.passed if after.results.source != "none" else None
    message = f"{counted} tests passed" if compared.status == "passed" and counted is not None else compared.reason
    return ToolResponse.succeeded(value, evidence, message)


def _cause(report: SideReport) -> str:
    """Return the line by which Python or a tool said why nothing ran, in brackets; empty where there is none."""
    said = _CAUSE.findall(report.execution.tail)
    return f" ({said[-1].strip()[:200].rstrip('.')})" if said else ""


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
