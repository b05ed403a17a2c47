"""What `repos.toml` forbids, the agents refuse themselves, whoever asks them; and what they fetch is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from tests.e2e.conftest import BREAKING, CALC, RIGHT, git, make_repo
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.journal import fresh_id
from twelvefold.agents.smart_issue import SmartIssueAgent
from twelvefold.agents.turn import TaskOutcome
from twelvefold.settings import load_settings


class Work:
    """One run on a repository whose rules are the test's."""

    def __init__(self, folder: Path) -> None:
        self.repo = make_repo(folder / "calc", CALC)
        self.base = git(self.repo, "rev-parse", "HEAD").strip()
        self.rules = folder / "repos.toml"
        self.trial = tf.Trial(folder / "home", AgentSettings(repos_file=self.rules))
        self.run = fresh_id().hex()

    def allow(self, text: str) -> None:
        self.rules.write_text(f"[repos.calc]\n{text}\n")

    def do(self, agent: tf.BaseAgent, path: str, **input: Any) -> TaskOutcome:
        given = {"repo": str(self.repo), "base": self.base, **input}
        return self.trial.deliver(agent, self.trial.request(agent, given, run=self.run, path=path))

    def fix(self) -> TaskOutcome:
        return self.do(tf.IssueFixerAgent(), "0.0", issue={"name": "1.md", "text": RIGHT}, engine="patch")

    def types(self, pattern: str) -> list[str]:
        return [event.type for event in self.trial.events(pattern)]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository in which everything is permitted at first."""
    made = Work(tmp_path)
    made.allow("write = true")
    return made


def test_a_branch_is_not_published_where_writing_is_forbidden(work: Work) -> None:
    """The publisher asks itself, at the last moment: rules may have changed since the run began."""
    commit = work.fix().value["commit"]
    ref = f"refs/heads/twelvefold/x-{work.run}"
    work.allow("write = false")
    refused = work.do(tf.PublisherAgent(), "0.2", commit=commit, ref=ref)
    assert (refused.outcome, refused.reason) == ("failed", "repository_forbidden")
    assert "twelvefold" not in git(work.repo, "branch", "--list")
    work.allow("write = true")
    assert work.do(tf.PublisherAgent(), "0.3", commit=commit, ref=ref).outcome == "succeeded"


@pytest.mark.parametrize("rules", ["write = false", "read = false", "commands = false", "commands = ['make']"])
def test_a_job_is_refused_before_it_is_planned(work: Work, rules: str) -> None:
    """No plan, no workspace, no fetch: for one repository and for several."""
    work.allow(rules)
    more = {"test_command": "pytest -q"} if "make" in rules else {}
    issue = {"name": "1.md", "text": RIGHT}
    one = work.do(SmartIssueAgent(), "0", issue=issue, **more)
    assert (one.outcome, one.reason) == ("failed", "repository_forbidden")
    several = work.trial.request(SmartIssueAgent(), {"issue": issue, "repos": [str(work.repo)], **more})
    assert work.trial.deliver(SmartIssueAgent(), several).reason == "repository_forbidden"
    assert work.types("workspace.*") == []


def test_tests_run_only_where_commands_are_permitted(work: Work) -> None:
    """Forbidden they fail the task, or with allow_untested leave it untested, saying why; a list permits by words."""
    commit = work.fix().value["commit"]
    work.allow("commands = false")
    refused = work.do(tf.TestingAgent(), "0.1", commit=commit)
    assert (refused.outcome, refused.reason) == ("failed", "repository_forbidden")
    untested = work.do(tf.TestingAgent(), "0.2", commit=commit, allow_untested=True)
    assert (untested.value["status"], untested.outcome) == ("none", "succeeded")
    assert str(work.rules) in untested.value["reason"]
    work.allow('commands = ["python -m unittest"]')
    given = "python3 -m unittest discover"
    assert work.do(tf.TestingAgent(), "0.3", commit=commit, test_command=given).value["status"] == "passed"
    assert work.do(tf.TestingAgent(), "0.4", commit=commit, test_command="make test").reason == "repository_forbidden"


def test_a_coding_program_runs_only_where_commands_are_permitted(work: Work) -> None:
    """The engine `command` isn't started; nothing is committed."""
    work.allow("commands = false")
    issue = {"name": "1.md", "text": "# Do it\n\nPlease.\n"}
    refused = work.do(tf.IssueFixerAgent(), "0.0", issue=issue, engine="command", command="touch ran")
    assert (refused.outcome, refused.reason) == ("failed", "repository_forbidden")


def test_rules_that_cannot_be_read_permit_nothing(work: Work) -> None:
    """A broken file stops work instead of opening everything."""
    commit = work.fix().value["commit"]
    work.rules.write_text("[repos.calc\nwrite = true")
    ref = f"refs/heads/twelvefold/x-{work.run}"
    refused = work.do(tf.PublisherAgent(), "0.2", commit=commit, ref=ref)
    assert (refused.outcome, refused.reason) == ("failed", "repository_rules_invalid")


def test_every_fetch_from_a_repository_is_an_event(work: Work) -> None:
    """The first task of a run fetches the base, which is told with repository and commit; the next ones don't."""
    work.fix()
    (fetched,) = work.trial.events("workspace.fetched")
    assert fetched.data["repo"] == str(work.repo)
    assert fetched.data["commit"] == work.base
    work.do(tf.IssueFixerAgent(), "0.5", issue={"name": "1.md", "text": BREAKING}, engine="patch")
    assert len(work.types("workspace.fetched")) == 1
    assert work.types("workspace.*")[:2] == ["workspace.fetched", "workspace.created"]


def test_a_repository_cannot_permit_what_its_user_forbids(work: Work, tmp_path: Path) -> None:
    """A file that comes with a repository counts only where its user has none."""
    own = work.repo / "repos.toml"
    own.write_text("[default]\nwrite = true\n")
    environ = {"TWELVEFOLD_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    assert load_settings(environ, work.repo).repos_file == work.rules
    work.rules.unlink()
    assert load_settings(environ, work.repo).repos_file == own
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "repos.toml").write_text("")
    assert load_settings(environ, work.repo).repos_file == tmp_path / "home" / "repos.toml"
