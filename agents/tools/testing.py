"""The tool `run_tests`: the project's tests, run on the workspace's files as they are now.

Owns what a model is told of a run. How tests are found, run and proved to have tested these files is the testing
agent's machinery (`test_side`). Keeps: the tests run in a folder of their own, so that what they leave behind is no
change; a run that isn't known to have tested these files never counts as passed.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from ..errors import TaskWithdrawn
from ..guarded import Limits, alone
from ..response import ToolResponse
from ..test_compare import compare
from ..test_runner import TestCommand, find_test_commands, given_command
from ..test_side import SideReport, run_side
from ..test_sources import Tree, changed_files, read_tree
from ..tool_calls import stopping
from ..working_copy import work_name
from ..workspace import Workspaces
from .bench import Bench, WorkspaceTool, refused

#: How much longer than the tests their call may take.
MARGIN_S = 120.0
TIMEOUT_S_MAX = 3600.0
OUTPUT_LENGTH_MAX = 16_000
NAMES_MAX = 100


class TestParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """How the tests are run."""

    compare: Annotated[
        bool, Meta(description="Run them without the changes as well, and name what newly fails and newly passes")
    ] = False
    timeout_s: Annotated[float, Meta(gt=0, le=TIMEOUT_S_MAX, description="Seconds after which they are ended")] = 600.0


class RunTests(WorkspaceTool):
    """Run the project's tests on the files as they are now, in a copy. `status` is passed, failed, or unusable, which
    means that the run proves nothing about these files, as `reason` says."""

    title = "run_tests"
    effect = "idempotent"
    parameters = TestParameters
    timeout_s = 2 * TIMEOUT_S_MAX + MARGIN_S

    def __init__(self, bench: Bench, test_command: str | None = None) -> None:
        super().__init__(bench)
        self.test_command = test_command

    def perform(self, given: TestParameters) -> ToolResponse:
        """Answer with the status, counts, the names of failing tests, and the end of what was said."""
        command = given_command(self.test_command) if self.test_command else None
        self.bench.require_commands(None if command is None else command.argv or command.shell)
        self.bench.record()
        start, commit = self.bench.workspace.start, self.bench.workspace.commit
        changed = changed_files(self.bench.workspace.git, self.bench.workspace.store.git_dir, start, commit)
        trees = {one: read_tree(self.bench.workspace.git, self.bench.workspace.store.git_dir, one)
                 for one in {start, commit}}  # fmt: skip
        commands = [command] if command is not None else self._commands(trees, changed)
        if not commands:
            return refused("no_tests", "the repository's files name no tests")
        after = self._side(given, commit, trees[commit], changed, commands)
        data = _facts(after)
        if given.compare:
            before = self._side(given, start, trees[start], changed, commands)
            compared = compare(before.tested(), after.tested(), changed)
            data |= {"status": compared.status, "reason": compared.reason}
            data |= {"newly_failing": list(compared.newly_failing[:NAMES_MAX])}
            data |= {"newly_passing": list(compared.newly_passing[:NAMES_MAX])}
        if data["status"] == "passed":
            return ToolResponse.succeeded(data)
        return refused(f"tests_{data['status']}", data["reason"] or "tests fail", data)

    def _commands(self, trees: dict[str, Tree], changed: list[str]) -> list[TestCommand]:
        # The tests that were there before are the measure; where there were none, those that the change brings.
        for one in (self.bench.workspace.start, self.bench.workspace.commit):
            if found := find_test_commands(trees[one].paths, trees[one].contents, changed):
                return found
        return []

    def _side(
        self, given: TestParameters, commit: str, tree: Tree, changed: list[str], commands: list[TestCommand]
    ) -> SideReport:
        """Run the tests of a commit in a workspace of their own."""
        context, own = self.bench.context, self.bench.workspace
        workspaces = Workspaces(own.stores, context.places.workspaces, context.emit)
        name = f"{own.path.removeprefix(context.path).removeprefix('.')}tests"
        with (
            alone(work_name(context, own.path)) as held,
            workspaces.create(own.store, context.path, commit, name) as workspace,
        ):
            report = run_side(
                workspace, repo=self.bench.repo, tree=tree, changed=changed, commands=commands,
                caller=dict(self.bench.environ), limits=Limits(timeout_s=given.timeout_s),
                cancelled=lambda: context.cancelled or stopping(), held=[held],
            )  # fmt: skip
        if report.execution.stopped == "cancelled" and context.cancelled:
            raise TaskWithdrawn(context.run, context.path)
        return report


def _facts(report: SideReport) -> dict[str, Any]:
    """Return what one run came to."""
    tested, results = report.tested(), report.results
    known = results.source != "none"
    if problem := tested.doubt or tested.broke:
        status, reason = "unusable", problem
    elif results.failures or report.execution.exit_code:
        status, reason = "failed", None
    else:
        status, reason = "passed", None
    failing = sorted(results.failures)
    return {
        "status": status,
        "reason": reason,
        "command": report.command,
        "passed": results.passed if known else None,
        "failed": results.failed if known else None,
        "skipped": results.skipped if known else None,
        "failing": failing[:NAMES_MAX],
        "exit_code": report.execution.exit_code,
        "elapsed_s": report.execution.elapsed_s,
        "output": report.execution.tail[-OUTPUT_LENGTH_MAX:] if status != "passed" else None,
    }
