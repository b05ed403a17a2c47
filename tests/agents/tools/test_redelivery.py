"""A task that is delivered again: its workspace is as it was recorded, and what was done is served from the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.agents.tools.conftest import Desk, Nobody, picture
from tests.agents.work.conftest import UserRepo
from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.errors import EffectFailed
from twelvefold.agents.response import ToolResponse
from twelvefold.agents.tools import workspace_tools
from twelvefold.agents.trial import Trial
from twelvefold.agents.work_errors import CommitMissing, InvalidRef, NotARepository


def again(desk: Desk, desk_on: Callable[..., Desk]) -> Desk:
    """Deliver the task of a desk once more, as after the death of its holder."""
    return desk_on(trial=desk.trial, request=desk.context.request)


def test_files_are_as_of_the_last_effect_and_nothing_is_done_twice(desk: Desk, desk_on: Callable[..., Desk]) -> None:
    """The workspace begins where it was left; the same calls give the same answers and touch nothing."""
    first = [
        desk.call("edit_file", path="README.md", old_text="Sells", new_text="Buys"),
        desk.call("run_command", command=["python3", "-c", "open('count', 'a').write('1')"]),
        desk.call("edit_file", path="README.md", old_text="Sells", new_text="Buys"),
    ]
    state = picture(desk.folder)
    (desk.folder / "stray.txt").write_text("left by a killed holder")
    (desk.folder / "README.md").write_text("half an edit")
    desk = again(desk, desk_on)
    assert picture(desk.folder) == state and desk.context.redelivered
    second = [
        desk.call("edit_file", path="README.md", old_text="Sells", new_text="Buys"),
        desk.call("run_command", command=["python3", "-c", "open('count', 'a').write('1')"]),
        desk.call("edit_file", path="README.md", old_text="Sells", new_text="Buys"),
    ]
    assert second == first and [one.success for one in second] == [True, True, False]
    assert picture(desk.folder) == state
    desk.did("run_command", command=["python3", "-c", "open('count', 'a').write('2')"])
    assert desk.text("count") == "12"


class _Dies(Exception):
    """Stands for the death of the process."""


def test_an_effect_without_a_result_is_redone_from_the_files_before_it(
    desk: Desk, desk_on: Callable[..., Desk]
) -> None:
    """Its process died after the files were changed and committed, but before that was recorded as the result."""
    desk.did("write_file", path="README.md", text="one\n")
    record = desk.trial.journal.append

    def dying(events: Any) -> Any:
        if any(event.type == "effect.completed" for event in events):
            raise _Dies
        return record(events)

    desk.trial.journal.append = dying  # type: ignore[method-assign]
    with pytest.raises(_Dies):
        desk.call("edit_file", path="README.md", old_text="one", new_text="two one")
    desk.trial.journal.append = record  # type: ignore[method-assign]
    assert desk.text("README.md") == "two one\n"
    desk = again(desk, desk_on)
    assert desk.text("README.md") == "one\n"
    desk.did("edit_file", path="README.md", old_text="one", new_text="two one")
    assert desk.text("README.md") == "two one\n"


def test_an_effect_s_result_names_the_commit_of_its_files(desk: Desk) -> None:
    """Reads have none, nor has what changed nothing; what failed half-way has one."""
    desk.did("read_file", path="README.md")
    desk.did("write_file", path="README.md", text="one\n")
    desk.call("edit_file", path="README.md", old_text="nowhere", new_text="x")

    def half() -> None:
        (desk.folder / "half.txt").write_text("half")
        raise OSError("the disk is gone")

    with pytest.raises(EffectFailed):
        desk.context.effect("process", "half", None, half, effect="idempotent")
    desk.did("git_commit", message="Done")
    facts = [(event.type, event.data.get("commit")) for event in desk.trial.events("effect.*")]
    facts = [fact for fact in facts if fact[0] != "effect.intended"]
    assert [bool(commit) for _, commit in facts] == [False, True, False, True, True]
    assert desk.committed("half.txt", facts[3][1]) == "half"
    assert facts[4][1] == desk.workspace.commit == desk.context.recorded_commit


def test_a_commit_is_where_the_next_delivery_begins(desk: Desk, desk_on: Callable[..., Desk]) -> None:
    """Its snapshots are gone from the history then as well."""
    desk.did("write_file", path="README.md", text="one\n")
    made = desk.did("git_commit", message="One")["commit"]
    desk = again(desk, desk_on)
    assert desk.workspace.commit == made and desk.workspace.start == desk.commit
    desk.did("write_file", path="README.md", text="two\n")
    desk.did("git_commit", message="Two")
    assert [one["message"] for one in desk.did("git_log")["commits"]] == ["Two", "One", "State"]


class TwoRepositories(BaseAgent):
    """Works in two repositories at once, and dies in its first delivery."""

    dies = True

    def execute_task(self, task: dict[str, str], context: TaskContext) -> ToolResponse:
        seen = {}
        with (
            context.workspace(task["one"], task["one_at"], name="one") as one,
            context.workspace(task["two"], task["two_at"], name="two") as two,
        ):
            for name, workspace in (("one", one), ("two", two)):
                tools = {tool.name: tool for tool in workspace_tools(workspace, context, name=name)}
                seen[name] = (workspace.folder / "README.md").read_text()
                context.call(tools["write_file"], path="README.md", text=f"{name}\n")
            if self.dies:
                raise KeyboardInterrupt
        return ToolResponse.succeeded({"seen": seen, "commits": context.recorded_commits})


def test_several_workspaces_of_a_task_are_each_recorded(tmp_path: Any, user: UserRepo) -> None:
    """Each begins again with its own last commit, whichever changed last."""
    other = UserRepo(tmp_path / "other" / "repo").init()
    at = other.commit({"README.md": "other\n"})
    trial, agent = Trial(tmp_path / "home"), TwoRepositories()
    task = {"one": str(user.folder), "one_at": user.git("rev-parse", "HEAD"), "two": str(other.folder), "two_at": at}
    request = trial.request(agent, task)
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    agent.dies = False
    outcome = trial.deliver(agent, request, delivery=2)
    assert outcome.outcome == "succeeded", outcome.error
    assert outcome.value["seen"] == {"one": "one\n", "two": "two\n"}
    assert set(outcome.value["commits"]) == {"one", "two"}
    assert not list(trial.places.workspaces.glob("*"))


def test_a_workspace_is_removed_however_its_block_ends(tmp_path: Any, user: UserRepo) -> None:
    """By an error too; and the user's repository is as it was."""
    before = user.picture()

    class Fails(Nobody):
        def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:  # type: ignore[override]
            with context.workspace(user.folder, user.git("rev-parse", "HEAD")) as workspace:
                (workspace.folder / "x").write_text("x")
                raise RuntimeError

    trial = Trial(tmp_path / "home")
    assert trial.deliver(Fails(), trial.request(Fails(), None)).outcome == "failed"
    assert not list(trial.places.workspaces.glob("*")) and user.picture() == before
    assert [event.type for event in trial.events("workspace.*")][-2:] == ["workspace.created", "workspace.removed"]


def test_a_commit_of_an_earlier_task_of_the_run_is_found(desk: Desk, desk_on: Callable[..., Desk]) -> None:
    """It is in the run's store and not in the user's repository."""
    desk.did("write_file", path="README.md", text="one\n")
    made = desk.workspace.commit
    request = desk.trial.request(Nobody(), None, run=desk.context.run, path="1")
    later = TaskContext(Nobody(), request, desk.trial.journal, desk.trial.places)
    with later.workspace(desk.user.folder, made) as workspace:
        assert (workspace.folder / "README.md").read_text() == "one\n"


class Parallel(BaseAgent):
    """Calls many tools of one workspace at once."""

    async def execute_task(self, task: dict[str, str], context: TaskContext) -> ToolResponse:
        with context.workspace(task["repo"], task["commit"]) as workspace:
            tools = {tool.name: tool for tool in workspace_tools(workspace, context)}
            slow = ["python3", "-c", "import time; time.sleep(0.3); open('slow', 'w')"]
            calls = [("write_file", {"path": f"{number}.txt", "text": str(number)}) for number in range(12)]
            calls += [("run_command", {"command": slow}), ("git_log", {}), ("list_files", {})]
            answers = await asyncio.gather(*(context.call_async(tools[name], given) for name, given in calls))
            files = workspace.changed(task["commit"], workspace.commit)
            return ToolResponse.succeeded({"done": [answer.success for answer in answers], "files": files})


def test_calls_at_once_take_turns_and_each_is_recorded_with_its_own_files(tmp_path: Any, user: UserRepo) -> None:
    """Each commit holds the changes of one call, so that redoing one begins with the files of those before it."""
    trial = Trial(tmp_path / "home")
    task = {"repo": str(user.folder), "commit": user.git("rev-parse", "HEAD")}
    outcome = trial.deliver(Parallel(), trial.request(Parallel(), task))
    assert outcome.outcome == "succeeded", outcome.error
    assert all(outcome.value["done"]) and len(outcome.value["files"]) == 13
    commits = [event.data["files_changed"] for event in trial.events("workspace.committed")]
    assert sorted(commits) == [[name] for name in outcome.value["files"]]


def test_a_workspace_that_can_t_be_laid_out_is_told(tmp_path: Any, user: UserRepo, desk: Desk) -> None:
    """No repository, no such commit, no commit id: the error that says so, and nothing is left."""
    plain = tmp_path / "plain"
    plain.mkdir()
    head = user.git("rev-parse", "HEAD")
    request = desk.trial.request(Nobody(), None)
    context = TaskContext(Nobody(), request, desk.trial.journal, desk.trial.places)
    for repo, commit, error in (
        (plain, head, NotARepository),
        (tmp_path / "nowhere", head, NotARepository),
        (user.folder, "0" * 40, CommitMissing),
        (user.folder, "main", InvalidRef),
        (user.folder, "--upload-pack=touch owned", InvalidRef),
    ):
        with pytest.raises(error), context.workspace(repo, commit):
            pytest.fail("it was laid out")
    for name in ("../x", "a/b", ".."):
        with pytest.raises((ValueError, InvalidRef)), context.workspace(user.folder, head, name=name):
            pytest.fail("it was laid out")
    assert [path.name for path in desk.trial.places.workspaces.iterdir()] == [desk.context.run]
