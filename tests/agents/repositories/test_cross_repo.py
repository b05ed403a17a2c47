"""Switching between repositories: per task and in parallel, with workspaces in tasks and none outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from tests.e2e.conftest import git, make_repo, snapshot
from twelvefold.agents.git import Git
from twelvefold.agents.repositories.cross_repo import CrossRepoContextManager
from twelvefold.agents.repositories.rules import read_rules
from twelvefold.agents.store import Stores


@pytest.fixture
def sisters(tmp_path: Path) -> dict[str, Path]:
    """Three repositories side by side."""
    return {name: make_repo(tmp_path / "side" / name, {"name.txt": f"{name}\n"}) for name in ("alpha", "beta", "gamma")}


class Doing(tf.BaseAgent):
    """Does what the test says, as a task."""

    do: Callable[[tf.TaskContext], Any]

    def execute_task(self, task: dict[str, Any], context: tf.TaskContext) -> tf.ToolResponse:
        return tf.ToolResponse.succeeded(type(self).do(context))


def perform(do: Callable[[tf.TaskContext], Any], trial: tf.Trial, **input: Any) -> Any:
    """Do something in a task and return its value; the task must succeed."""
    agent = type("Doing", (Doing,), {"do": staticmethod(do)})()
    outcome = tf.run_task(agent, input, trial=trial)
    assert outcome.outcome == "succeeded", outcome
    return outcome.value


def test_switches_nest_and_are_taken_back(
    sisters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each switch is on top of the one before; going back leads there; the working folder never changes."""
    monkeypatch.chdir(sisters["alpha"])
    manager = CrossRepoContextManager()
    assert manager.get_current_context()["name"] == "alpha"
    assert manager.switch_to_repo(str(sisters["beta"])) is True
    assert manager.switch_to_repo("gamma") is True
    context = manager.get_current_context()
    assert (context["name"], context["path"], context["branch"]) == ("gamma", str(sisters["gamma"]), "main")
    assert context["commit"] == git(sisters["gamma"], "rev-parse", "HEAD").strip()
    assert (context["clean"], context["workspace"]) == (True, None)
    manager.restore_context()
    assert manager.get_current_context()["name"] == "beta"
    manager.restore_context()
    assert manager.get_current_context()["name"] == "alpha"
    assert manager.restore_context() is False
    assert Path.cwd() == sisters["alpha"]


def test_what_cannot_be_switched_to_changes_nothing(
    sisters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown name, a plain folder, a bare repository, one without commits, a forbidden one: False, and why."""
    monkeypatch.chdir(sisters["alpha"])
    git(tmp_path, "clone", "--quiet", "--bare", str(sisters["beta"]), "bare")
    git(tmp_path, "init", "--quiet", "unborn")
    (tmp_path / "plain").mkdir()
    rules = tmp_path / "repos.toml"
    rules.write_text("[repos.gamma]\nread = false\n")
    manager = CrossRepoContextManager(rules=read_rules(rules))
    wanted = {"bare": "bare", "unborn": "no commits", "plain": "not a git repository"}
    for place, word in [*((tmp_path / name, word) for name, word in wanted.items()), ("delta", "no repository"),
                        ("gamma", "reading"), (tmp_path / "gone", "not a folder")]:  # fmt: skip
        assert manager.switch_to_repo(place) is False
        assert word in str(manager.problem.message() if manager.problem else "")
        assert manager.get_current_context()["name"] == "alpha"
    assert manager.switch_to_repo("beta")
    assert manager.problem is None


def test_a_folder_without_any_repository_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no repository, nothing is invented."""
    monkeypatch.chdir(tmp_path)
    context = CrossRepoContextManager().get_current_context()
    assert context["path"] == str(tmp_path)
    assert {value for key, value in context.items() if key != "path"} == {None}


def test_asyncio_tasks_and_threads_do_not_see_each_other(
    sisters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred tasks and eight threads, switching with one manager and interleaved, each see only their own."""
    monkeypatch.chdir(sisters["alpha"])
    manager = CrossRepoContextManager()
    names = ["beta", "gamma"]

    async def visit(n: int) -> tuple[str, str]:
        async with manager.in_repo(names[n % 2]) as inside:
            await asyncio.sleep(0)
            async with manager.in_repo(names[(n + 1) % 2]):
                await asyncio.sleep(0)
            assert manager.get_current_context()["name"] == inside["name"]
            return inside["name"], names[n % 2]

    async def all_of_them() -> list[tuple[str, str]]:
        return list(await asyncio.gather(*(visit(n) for n in range(20))))

    assert all(got == wanted for got, wanted in asyncio.run(all_of_them()))
    assert manager.get_current_context()["name"] == "alpha"
    meet = threading.Barrier(4)
    seen: list[tuple[str, str]] = []

    def work(name: str) -> None:
        assert manager.switch_to_repo(name)
        meet.wait(30)
        seen.append((name, manager.get_current_context()["name"]))

    threads = [threading.Thread(target=work, args=(names[n % 2],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert all(wanted == got for wanted, got in seen)
    assert manager.get_current_context()["name"] == "alpha"


def test_a_task_has_a_workspace_in_each_repository(sisters: dict[str, Path], tmp_path: Path) -> None:
    """Files are changed in workspaces, committed when they are left, and no repository of the user's is touched."""
    before = {name: snapshot(path) for name, path in sisters.items()}
    trial = tf.Trial(tmp_path / "home")
    manager = CrossRepoContextManager()
    folders: list[Path] = []

    def work(context: tf.TaskContext) -> list[str]:
        assert manager.get_current_context()["name"] == "alpha"
        commits = []
        for name in ("alpha", "beta"):
            assert manager.switch_to_repo(sisters[name])
            folder = Path(manager.get_current_context()["workspace"])
            folders.append(folder)
            assert (folder / "name.txt").read_text() == f"{name}\n"
            (folder / "name.txt").write_text("changed\n")
            assert manager.get_current_context()["clean"] is False
        for _ in range(2):
            inner = manager.workspace
            assert manager.restore_context()
            assert inner is not None
            commits.append(inner.commit)
        assert manager.workspace is None
        assert manager.switch_to_repo(sisters["alpha"])
        assert Path(manager.get_current_context()["workspace"]) == folders[0]
        assert manager.get_current_context()["clean"] is True
        return commits

    commits = perform(work, trial, repo=str(sisters["alpha"]))
    assert {name: snapshot(path) for name, path in sisters.items()} == before
    assert not any(folder.exists() for folder in folders)
    stores = Stores(Git(), trial.places.stores)
    run = trial.events("task.requested")[0].run
    for commit in commits:
        store = stores.find_run(run, commit)
        assert store is not None
        assert stores.git.run("cat-file", "blob", f"{commit}:name.txt", git_dir=store.git_dir).text == "changed"
    assert len({stores.find_run(run, commit) for commit in commits}) == 2
    types = [event.type for event in trial.events("workspace.*")]
    assert types.count("workspace.created") == types.count("workspace.removed") == 2
    assert types.count("workspace.committed") == 2


def test_branches_of_one_async_task_work_in_parallel(sisters: dict[str, Path], tmp_path: Path) -> None:
    """Three branches of one handler, each in a repository, write into the right one each time."""
    trial = tf.Trial(tmp_path / "home")
    manager = CrossRepoContextManager()

    class Parallel(tf.BaseAgent):
        async def execute_task(self, task: dict[str, Any], context: tf.TaskContext) -> tf.ToolResponse:
            async def branch(name: str) -> str:
                async with manager.in_repo(str(sisters[name])) as inside:
                    await asyncio.sleep(0)
                    (Path(inside["workspace"]) / "made.txt").write_text(name)
                    await asyncio.sleep(0)
                    return (Path(manager.get_current_context()["workspace"]) / "name.txt").read_text().strip()

            return tf.ToolResponse.succeeded(list(await asyncio.gather(*map(branch, sisters))))

    assert tf.run_task(Parallel(), {}, trial=trial).value == list(sisters)
    committed = [event.data for event in trial.events("workspace.committed")]
    assert [one["files_changed"] for one in committed] == [["made.txt"]] * 3
    assert len({one["store"] for one in committed}) == 3


def test_after_a_crash_a_workspace_is_as_it_was_recorded(sisters: dict[str, Path], tmp_path: Path) -> None:
    """A task whose process dies in another repository goes on from what was committed there, on the same base."""
    trial = tf.Trial(tmp_path / "home")
    dying = True

    class Writes(tf.BaseAgent):
        @tf.tool(effect="idempotent")
        def write(self, file: str) -> str:
            """Write a file."""
            Path(file).write_text("written")
            return Path(file).name

        def execute_task(self, task: dict[str, Any], context: tf.TaskContext) -> tf.ToolResponse:
            manager = CrossRepoContextManager()
            assert manager.switch_to_repo(sisters["beta"])
            folder = Path(manager.get_current_context()["workspace"])
            context.call("write", file=str(folder / "made.txt"))
            if dying:
                raise KeyboardInterrupt
            return tf.ToolResponse.succeeded(
                [(folder / "made.txt").read_text(), manager.get_current_context()["clean"]]
            )

    agent = Writes()
    request = trial.request(agent, {"repo": str(sisters["alpha"])})
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    git(sisters["beta"], "commit", "--quiet", "--allow-empty", "-m", "Moved on meanwhile")
    dying = False
    outcome = trial.deliver(agent, request, delivery=2)
    assert outcome.value == ["written", True], outcome
    (done,) = [event for event in trial.events("effect.completed") if event.data["name"] == "write"]
    assert list(done.data["commits"].values()) == [trial.events("workspace.committed")[0].data["commit"]]


def test_a_manager_of_an_ended_task_does_not_work_in_it(sisters: dict[str, Path], tmp_path: Path) -> None:
    """A manager that a handler made and kept is outside of any task once that one is over."""
    kept: list[CrossRepoContextManager] = []
    perform(lambda context: kept.append(CrossRepoContextManager()), tf.Trial(tmp_path / "home"))
    assert kept[0].switch_to_repo(sisters["beta"])
    assert kept[0].workspace is None
    kept[0].restore_context()
