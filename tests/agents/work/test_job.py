"""The built-in job: what is asked before a run, its plan decided and done by the real agents, and its document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.base import BaseAgent
from twelvefold.agents.context import TaskContext
from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.issue_saga import JobTask
from twelvefold.agents.job import branch_ref, job_plan, read_issue, resolve_request
from twelvefold.agents.job_report import job_report, refusal_report
from twelvefold.agents.journal import request_of
from twelvefold.agents.pr_review import PRReviewAgent
from twelvefold.agents.publisher import PublisherAgent
from twelvefold.agents.response import Evidence, ToolResponse
from twelvefold.agents.smart_issue import SmartIssueAgent, decide
from twelvefold.agents.work_errors import (
    BareRepository,
    NoCommits,
    NotARepository,
    UnknownRevision,
    UnreadableIssue,
)
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.orchestration.orchestrator import Orchestrator
from twelvefold.orchestration.plan import plan_from

from .conftest import Job, UserRepo

SOURCE = "def add(a, b):\n    return a - b\n"
ISSUE = (
    "# Sum is wrong\n\n### 1. `calc.py`\nCurrent:\n```\n    return a - b\n```\nShould be:\n```\n    return a + b\n```\n"
)


class Judge(BaseAgent):
    """Stands for the testing agent, with a verdict given beforehand."""

    def __init__(self, answer: ToolResponse) -> None:
        self.answer = answer

    def execute_task(self, task: Any, context: TaskContext) -> ToolResponse:
        context.effect("process", "tests", None, lambda: None, effect="idempotent")
        proof = [Evidence("tests", context.ledger.done[-1][1].id.hex())]
        return msgspec.structs.replace(self.answer, evidence=proof if self.answer.success else [])


def verdict_of(status: str = "passed", **more: Any) -> ToolResponse:
    """A test verdict of the testing agent's shape."""
    sides = {"passed": 3, "failed": 0, "skipped": 0}
    value = {"status": status, "command": "pytest", "before": sides, "after": sides, "newly_failing": [], **more}
    if status == "failed":
        return ToolResponse(False, data=value, error="1 newly failing: test_x", reason="newly_failing")
    if status == "unusable":
        return ToolResponse.needs_human("tests_unusable", "The tests prove nothing. What now?", value)
    return ToolResponse.succeeded(value)


def run_job(
    job: Job, verdict: ToolResponse, issue: str = ISSUE, settings: AgentSettings | None = None
) -> dict[str, Any]:
    """Do the whole plan with the real decider and the real agents but for testing; return the document."""
    job.trial.settings = settings or job.trial.settings
    base = job.user.git("rev-parse", "HEAD")
    plan = job_plan(issue_name="12.md", issue_text=issue, repo=str(job.user.folder), base=base)
    agents: dict[str, BaseAgent] = {"issue_fixer": IssueFixerAgent(), "publisher": PublisherAgent()}
    agents |= {"smart_issue": SmartIssueAgent(), "testing": Judge(verdict), "pr_review": PRReviewAgent()}
    orchestrator = Orchestrator()
    log = job.trial.journal.log
    data = {"plan": plan, "input": {"notes": ["left out"]}}
    asked = new_event("run.requested", data, stream=f"run.{job.run}", run=job.run, id=os.urandom(16))
    log.append(Append(events=[asked]))
    seen = 0
    while True:
        events = log.read(after=seen)
        if not events:
            break
        for event in events:
            seen = event.position
            orchestrator.receive(event)
            if event.type == "task.requested":
                request = request_of(event, job.trial.journal)
                job.trial.deliver(agents[request.agent], request)
            for batch in orchestrator.take():
                log.append(Append(events=batch.events, expected_version=batch.expected_version, marks=batch.marks))
    return job_report(job.run, log.read(limit=10_000, run=job.run))


def test_request_of_a_clean_checkout(user: UserRepo) -> None:
    """The base is HEAD's full commit, the branch is named, nothing is left out, and nothing was written."""
    base = user.commit({"calc.py": SOURCE})
    before = user.picture()
    request = resolve_request(user.folder)
    assert (request.repo, request.base, request.branch) == (str(user.folder), base, "main")
    assert not request.dirty
    assert request.note() is None
    assert user.picture() == before


def test_request_of_a_dirty_checkout(user: UserRepo) -> None:
    """What is uncommitted is counted and said; reading it doesn't refresh the index or start a filter."""
    base = user.commit({"calc.py": SOURCE, "b.py": "b\n", ".gitattributes": "* filter=evil\n"})
    (user.folder / "b.py").write_text("c\n")
    (user.folder / "new.py").write_text("n\n")
    os.utime(user.folder / "calc.py", (1, 1))
    user.plant()
    for name in user.alarms.iterdir():
        name.unlink()
    before = user.picture()
    request = resolve_request(user.folder)
    assert (request.base, request.changed, request.untracked) == (base, 1, 1)
    assert "1 changed file, 1 untracked file" in str(request.note())
    assert user.picture() == before
    assert user.alarmed() == []


def test_request_of_a_revision(user: UserRepo) -> None:
    """Any name of a commit may be the base; a detached HEAD has no branch."""
    base = user.commit({"calc.py": SOURCE})
    user.git("tag", "-a", "v1", "-m", "v1")
    user.commit({"calc.py": "x = 1\n"})
    for revision in ("v1", "HEAD~1", base, base[:10], "refs/tags/v1"):
        assert resolve_request(user.folder, revision).base == base
    user.git("checkout", "-q", "--detach")
    assert resolve_request(user.folder).branch is None


@pytest.mark.parametrize("revision", ["nope", "--all", "-h", "HEAD:calc.py", "", "a\0b", "refs/heads/x"])
def test_unknown_revisions(user: UserRepo, revision: str) -> None:
    """What names no commit is refused, and never taken for an option; an empty name means HEAD."""
    base = user.commit({"calc.py": SOURCE})
    if not revision:
        assert resolve_request(user.folder, revision).base == base
        return
    with pytest.raises(UnknownRevision):
        resolve_request(user.folder, revision)


def test_what_is_no_repository(user: UserRepo, tmp_path: Path) -> None:
    """No folder, no repository, a folder inside of one, no commit, no working tree: each is said, with a way out."""
    with pytest.raises(NoCommits):
        resolve_request(user.folder)
    user.commit({"sub/calc.py": SOURCE})
    for wrong in (tmp_path / "gone", tmp_path, user.folder / "sub" / "calc.py"):
        with pytest.raises(NotARepository):
            resolve_request(wrong)
    for inside in (user.folder / "sub", user.folder / ".git"):
        with pytest.raises(NotARepository) as caught:
            resolve_request(inside)
        assert str(user.folder) in str(caught.value.help())
    bare = tmp_path / "bare.git"
    user.git("clone", "-q", "--bare", str(user.folder), str(bare))
    with pytest.raises(BareRepository):
        resolve_request(bare)
    (tmp_path / "link").symlink_to(user.folder)
    assert resolve_request(tmp_path / "link").repo == str(user.folder)


def test_issue_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are refused in words."""
    (tmp_path / "latin.md").write_bytes("größe".encode("latin-1"))
    for path in (tmp_path / "gone.md", tmp_path, tmp_path / "latin.md"):
        with pytest.raises(UnreadableIssue) as caught:
            read_issue(path)
        assert str(path) in caught.value.message()


def test_the_plan_is_data(user: UserRepo) -> None:
    """A job is one task; it is answered with a saga, with fix and publish undone, and a branch for issue and run."""
    run = "0" * 32
    base = user.commit({"calc.py": SOURCE})
    asked = job_plan(issue_name="12.md", issue_text=ISSUE, repo=str(user.folder), base=base, test_command="make test")
    assert plan_from(asked)
    assert asked["agent"] == "smart_issue"
    plan = decide(msgspec.convert(asked["input"], JobTask), run, open_engines=False)["plan"]
    assert plan_from(plan)
    assert plan["pattern"] == "saga"
    assert [(step["name"], step["agent"], "undo" in step) for step in plan["steps"]] == [
        ("fix", "issue_fixer", True),
        ("test", "testing", False),
        ("review", "pr_review", False),
        ("publish", "publisher", True),
    ]
    assert plan["steps"][1]["input"]["test_command"] == "make test"
    assert (
        plan["steps"][3]["input"]["ref"]
        == branch_ref(run, "12.md", ISSUE)
        == f"refs/heads/twelvefold/sum-is-wrong-{run}"
    )


def test_a_job_that_succeeds(user: UserRepo, job: Job) -> None:
    """The document has every key, and says what is in the repository."""
    base = user.commit({"calc.py": SOURCE})
    document = run_job(job, verdict_of())
    commit = user.git("rev-parse", f"refs/heads/{document['branch']}")
    assert (document["outcome"], document["reason"]) == ("succeeded", None)
    assert (document["run"], document["repo"], document["base_commit"]) == (job.run, str(user.folder), base)
    assert document["commit"] == commit
    assert document["files_changed"] == ["calc.py"]
    assert Path(document["patch"]).read_text().count("+    return a + b") == 1
    counts = {"passed": 3, "failed": 0}
    told = {"status": "passed", "command": "pytest", "before": counts, "after": counts, "newly_failing": []}
    assert document["tests"] == told
    assert list(document["review"]) == ["findings"]
    assert document["notes"] == ["left out"]
    assert {"kind": "commit", "ref": commit} in document["evidence"]
    assert document["tasks"] == [
        {"path": "0", "agent": "smart_issue", "outcome": "succeeded"},
        {"path": "0.0", "agent": "issue_fixer", "outcome": "succeeded"},
        {"path": "0.1", "agent": "testing", "outcome": "succeeded"},
        {"path": "0.2", "agent": "pr_review", "outcome": "succeeded"},
        {"path": "0.3", "agent": "publisher", "outcome": "succeeded"},
    ]
    assert document["cost"] == {"model_calls": 0, "tokens_in": 0, "tokens_out": 0, "usd": 0.0}
    assert 1 == document["positions"]["first"] < document["positions"]["last"]
    assert document["elapsed_s"] > 0


def test_what_is_worth_knowing_of_passing_tests(user: UserRepo, job: Job) -> None:
    """Tests that fail as before, didn't run any more or are unsteady are no secret of the log."""
    user.commit({"calc.py": SOURCE})
    document = run_job(job, verdict_of(reason="2 fail as before", flaky=["test_x"]))
    assert (document["outcome"], document["reason"]) == ("succeeded", None)
    assert document["notes"][1] == "tests: 2 fail as before"
    assert "test_x" in document["notes"][2]


def test_a_job_whose_tests_fail(user: UserRepo, job: Job) -> None:
    """A change that breaks tests is undone: no branch, no patch, no workspace; the document names the tests."""
    user.commit({"calc.py": SOURCE})
    before = user.picture()
    document = run_job(job, verdict_of("failed", newly_failing=["test_x"]))
    assert document["outcome"] == "failed"
    assert "newly_failing" in document["reason"]
    assert (document["branch"], document["patch"]) == (None, None)
    assert document["tests"]["newly_failing"] == ["test_x"]
    assert [task["path"] for task in document["tasks"]] == ["0", "0.0", "0.0.undo", "0.1"]
    assert user.picture() == before
    assert not list(job.trial.places.workspaces.glob("*"))


def test_a_job_whose_tests_prove_nothing(user: UserRepo, job: Job) -> None:
    """Unusable tests make the run rest for a human, without a branch."""
    user.commit({"calc.py": SOURCE})
    before = user.picture()
    document = run_job(job, verdict_of("unusable"))
    assert (document["outcome"], document["branch"]) == ("needs_human", None)
    assert "prove nothing" in document["reason"]
    assert document["tests"]["status"] == "unusable"
    assert user.picture() == before


def test_a_job_without_tests(user: UserRepo, job: Job) -> None:
    """Where nothing was tested the change is published, `tests` is null and the reason says so."""
    user.commit({"calc.py": SOURCE})
    document = run_job(job, verdict_of("none", reason="nothing was tested: no tests"))
    assert (document["outcome"], document["tests"]) == ("succeeded", None)
    assert document["reason"] == "nothing was tested: no tests"
    assert document["branch"]


@pytest.mark.parametrize(
    ("issue", "outcome", "reason"),
    [
        (ISSUE.replace("a - b", "a * b"), "failed", "old_text_missing: the old text is not in calc.py"),
        ("# Sum\nis wrong", "needs_human", "vague: The issue “Sum” states no explicit edits"),
        (
            "# Sum of `add`\nis wrong",
            "needs_human",
            "no_explicit_edits: The issue “Sum of add” states no explicit edits",
        ),
        ("", "needs_human", "empty_issue: the issue is empty"),
        (f"{ISSUE}\nStatus: closed", "nothing_to_do", "issue_closed: the issue's status says: closed"),
    ],
)
def test_a_job_that_ends_at_its_issue(user: UserRepo, job: Job, issue: str, outcome: str, reason: str) -> None:
    """An issue that can't be applied ends the run with its reason, before anything is tested or published."""
    base = user.commit({"calc.py": SOURCE})
    before = user.picture()
    document = run_job(job, verdict_of(), issue)
    assert document["outcome"] == outcome
    assert document["reason"].startswith(reason)
    assert (document["repo"], document["base_commit"]) == (str(user.folder), base)
    for absent in ("branch", "commit", "patch", "tests", "review"):
        assert document[absent] is None, absent
    assert user.picture() == before


def test_a_job_that_could_not_start(tmp_path: Path) -> None:
    """A refusal has the same keys as a run's end."""
    document = refusal_report(NotARepository(str(tmp_path)), str(tmp_path))
    assert (document["outcome"], document["run"], document["repo"]) == ("failed", None, str(tmp_path))
    assert document["reason"] == f"{tmp_path} is not a git repository"
    assert document.keys() == job_report("0" * 32, []).keys()


def test_an_open_run_has_no_outcome(user: UserRepo, job: Job) -> None:
    """Of a run that has not ended nothing is claimed."""
    document = job_report(job.run, [])
    assert (document["outcome"], document["elapsed_s"], document["branch"]) == (None, None, None)
