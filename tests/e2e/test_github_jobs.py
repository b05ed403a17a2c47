"""Issues of GitHub worked on by the real command: read, published as a branch, and offered only where asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.github.github_server import GitHubServer, serve
from twelvefold.agents.response import ToolResponse
from twelvefold.external import ExternalIssueProcessor

from ..conftest import eventually
from .conftest import BREAKING, CALC, RIGHT, JobHome, git, make_repo, snapshot

pytestmark = pytest.mark.e2e

TOKEN = "ghp_veryverysecret0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubServer]:
    """A GitHub with one repository."""
    github, running = serve(tmp_path_factory.mktemp("github"))
    github.token = TOKEN
    github.make_repository()
    yield github
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def home(shared_home: JobHome, server: GitHubServer) -> JobHome:
    """A home whose agents know that GitHub, and a token for it."""
    shared_home.environment |= {"GITHUB_API_URL": server.url, "GITHUB_TOKEN": TOKEN, "TWELVEFOLD_GITHUB_WAIT_S": "2"}
    return shared_home


@pytest.fixture
def repo(tmp_path: Path, server: GitHubServer) -> Path:
    """A clone of that repository."""
    made = make_repo(tmp_path / "calc", CALC)
    git(made, "remote", "add", "origin", f"{server.url}/acme/calc.git")
    bare = server.folder / "acme/calc.git"
    git(made, "push", "-q", "--force", str(bare), "main:main")
    server.answers.clear()
    server.asked.clear()
    server.pulls.clear()
    return made


def body(text: str) -> tuple[str, str]:
    """Title and body of an issue text."""
    title, _, rest = text.removeprefix("# ").partition("\n")
    return title, rest


def branches(server: GitHubServer) -> list[str]:
    """What has been pushed."""
    listed = git(server.folder / "acme/calc.git", "for-each-ref", "--format=%(refname)", "refs/heads/twelvefold")
    return listed.split()


def everything(home: JobHome) -> bytes:
    """All that the home holds: log, blobs, outputs of processes, stores."""
    found = [path.read_bytes() for path in home.home.rglob("*") if path.is_file() and not path.is_symlink()]
    return b"".join(found)


def test_an_issue_is_read_and_nothing_is_written_there(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """`run owner/repo#12` publishes a local branch; GitHub sees reading requests only."""
    server.add_issue(12, *body(RIGHT))
    server.add_comments(12, "Please soon.")
    done = home("run", "acme/calc#12", "--json", cwd=repo)
    assert (done.status, done.json["outcome"]) == (0, "succeeded"), done.err
    assert git(repo, "show", f"{done.json['branch']}:calc.py").startswith("def double(n):\n    return n * 2\n")
    assert done.json["notes"] == []
    assert {asked.method for asked in server.asked} == {"GET"} and branches(server) == [] and server.pulls == []
    assert "pull_request" not in done.json


def test_publishing_opens_one_draft_pull_request(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """With --publish the branch is there as well, a draft tells what was tested, and the token is nowhere."""
    server.add_issue(13, *body(RIGHT))
    before = snapshot(repo)
    done = home("run", "acme/calc#13", "--publish", "--json", cwd=repo)
    assert (done.status, done.json["outcome"]) == (0, "succeeded"), done.out + done.err
    branch = done.json["branch"]
    assert f"refs/heads/{branch}" in branches(server)
    pushed = git(server.folder / "acme/calc.git", "rev-parse", branch).strip()
    assert pushed == done.json["commit"]
    (pull,) = server.pulls
    assert (pull["draft"], pull["base"], pull["head"]["ref"]) == (True, "main", branch)
    assert pull["html_url"] == done.json["pull_request"]
    assert "For #13." in pull["body"] and "passed" in pull["body"] and "`calc.py`" in pull["body"]
    assert {name for name in before.keys() ^ snapshot(repo).keys() if "twelvefold" not in name} == set()
    assert TOKEN.encode() not in everything(home) and TOKEN not in done.out + done.err
    assert [task["agent"] for task in done.json["tasks"]][-1] == "pull_request"


def test_a_repository_that_was_renamed(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """An issue asked for by its repository's old name is offered to the new one, which the remote need not know of."""
    if not (server.folder / "acme/new.git").exists():
        bare = server.make_repository("acme/new")
        git(repo, "push", "-q", str(bare), "main:main")
    server.add_issue(22, *body(RIGHT), repo="acme/new")
    server.answer_once("/repos/acme/calc/issues/22", 301, {"Location": f"{server.url}/repos/acme/new/issues/22"})
    done = home("run", "acme/calc#22", "--publish", "--json", cwd=repo)
    assert (done.status, done.json["outcome"], done.json["notes"]) == (0, "succeeded", []), done.out + done.err
    assert git(server.folder / "acme/new.git", "rev-parse", done.json["branch"]).strip() == done.json["commit"]
    (pull,) = [asked for asked in server.asked if asked.method == "POST" and asked.path.endswith("/pulls")]
    assert pull.path == "/repos/acme/new/pulls"


def test_nothing_is_offered_without_evidence(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """A change that breaks a test is neither pushed nor offered, however much that was asked for."""
    server.add_issue(14, *body(BREAKING))
    earlier = branches(server)
    done = home("run", "acme/calc#14", "--publish", "--json", cwd=repo)
    assert (done.status, done.json["outcome"], done.json["branch"]) == (1, "failed", None)
    assert {asked.method for asked in server.asked} == {"GET"} and branches(server) == earlier


@pytest.mark.parametrize(
    ("fields", "outcome", "status", "word"),
    [
        ({"state": "closed", "state_reason": "not_planned"}, "nothing_to_do", 0, "closed as not planned"),
        ({"pull_request": {"url": "x"}}, "failed", 1, "is a pull request"),
    ],
)
def test_what_gets_no_run(
    home: JobHome, server: GitHubServer, repo: Path, fields: dict[str, Any], outcome: str, status: int, word: str
) -> None:
    """A closed issue and a pull request are told for what they are, by command and by class, and start nothing."""
    server.add_issue(15, *body(RIGHT), **fields)
    done = home("run", "acme/calc#15", "--json", cwd=repo)
    assert (done.status, done.json["outcome"], done.json["run"]) == (status, outcome, None)
    assert word in done.json["reason"]
    told = home("run", "acme/calc#15", cwd=repo)
    assert word in told.out and told.status == status


@pytest.mark.parametrize(("number", "status", "words"), [(404, 3, "not to be found"), (999, 3, "GITHUB_TOKEN")])
def test_an_issue_that_is_not_there(home: JobHome, repo: Path, number: int, status: int, words: str) -> None:
    """What GitHub does not know is told as not found, with a help."""
    done = home("run", f"acme/calc#{number}", cwd=repo)
    assert done.status == status and "error[E495]" in done.err and words in done.err and TOKEN not in done.err


def test_publish_is_for_issues_of_github(home: JobHome, repo: Path) -> None:
    """--publish with a file or a sentence is a misunderstanding, and nothing is started."""
    done = home("run", "Fix the double function", "--publish", cwd=repo)
    assert done.status == 2 and "owner/repo#12" in done.err


@pytest.mark.long
def test_a_failed_push_is_told_and_can_be_tried_again(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """Without a remote that leads there the run rests with the reason and the local branch; `retry` ends it."""
    server.add_issue(16, *body(RIGHT))
    git(repo, "remote", "remove", "origin")
    done = home("run", "acme/calc#16", "--publish", "--json", cwd=repo)
    assert (done.status, done.json["outcome"]) == (7, "needs_human"), done.out
    assert "no remote of" in done.json["reason"] and "stays in" in done.json["reason"]
    assert "leads to acme/calc" in done.json["notes"][0]
    assert done.json["branch"] and git(repo, "rev-parse", done.json["branch"])
    assert server.pulls == []
    git(repo, "remote", "add", "elsewhere", f"{server.url}/acme/calc.git")
    (asked,) = [one for one in json.loads(home("inbox", "--json", cwd=repo).out) if one["run"] == done.json["run"]]
    assert home("answer", asked["id"], "retry", cwd=repo).status == 0
    eventually(lambda: len(server.pulls) == 1, 60)
    ended = eventually(lambda: _ended(home, done.json["run"], repo), 60)
    assert ended["outcome"] == "succeeded"


def _ended(home: JobHome, run: str, repo: Path) -> dict[str, Any] | None:
    document: dict[str, Any] = json.loads(home("status", run, "--json", cwd=repo).out)
    return document if document["outcome"] == "succeeded" else None


def test_a_branch_that_is_there_is_never_moved(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """The server's refusal of a push is told in its own words, and no force is used."""
    server.add_issue(17, *body(RIGHT))
    hook = server.folder / "acme/calc.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'this repository is frozen' >&2\nexit 1\n")
    hook.chmod(0o755)
    try:
        done = home("run", "acme/calc#17", "--publish", "--json", cwd=repo)
    finally:
        hook.unlink()
    assert (done.status, done.json["outcome"]) == (7, "needs_human"), done.out
    assert "this repository is frozen" in done.json["reason"]
    assert server.pulls == [] and home("cancel", done.json["run"], cwd=repo).status == 0


def test_the_class_does_the_same(home: JobHome, server: GitHubServer, repo: Path) -> None:
    """`ExternalIssueProcessor` answers with a ToolResponse that has the document and the run's evidence."""
    server.add_issue(18, *body(RIGHT))
    server.add_issue(19, *body(RIGHT), state="closed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.environment.items():
            patch.setenv(name, value)
        processor = ExternalIssueProcessor()
        done = processor.process_external_issue("acme/calc", 18, repo)
        assert isinstance(done, ToolResponse) and (done.success, done.outcome) == (True, "succeeded"), done
        assert done.data["branch"] and {one.kind for one in done.evidence} >= {"commit", "tests"}
        assert processor.process_external_issue("acme/calc", 19, str(repo)).outcome == "nothing_to_do"
        missing = processor.process_external_issue("acme/calc", 404, repo)
        assert (missing.success, missing.reason) == (False, "not_found")
        for wrong in (("acme", 1), ("acme/calc", 0), ("../x", 1)):
            assert processor.process_external_issue(*wrong, repo).reason == "address_invalid"
        elsewhere = processor.process_external_issue("acme/calc", 18, repo.parent)
        assert elsewhere.outcome == "failed" and TOKEN not in f"{missing} {elsewhere}"


def test_one_key_makes_one_run(home: JobHome, repo: Path, tmp_path: Path) -> None:
    """The same --key starts one run, whoever asks and for whatever; another key another one."""
    issue = tmp_path / "issue.md"
    issue.write_text(RIGHT)
    first = home("run", str(issue), "--key", "ticket 7", "--json", cwd=repo)
    issue.write_text(BREAKING)
    again = home("run", str(issue), "--key", "ticket 7", "--json", cwd=repo)
    assert first.json["run"] == again.json["run"] and again.json["outcome"] == "succeeded"
    other = home("run", str(issue), "--key", "ticket 8", "--json", "--detach", cwd=repo)
    assert other.json["run"] != first.json["run"]


@pytest.mark.long
def test_killed_while_it_publishes(own_home: JobHome, server: GitHubServer, repo: Path) -> None:
    """The agent is killed before and after the pull request was opened: in the end there is one of it."""
    own_home.environment |= {"GITHUB_API_URL": server.url, "GITHUB_TOKEN": TOKEN}
    server.add_issue(20, *body(RIGHT))
    killed: list[int] = []

    def killing(asked: Any) -> None:
        """Kill whoever asks for pull requests, the first time before and the second time after it was opened."""
        opening = asked.method == "POST" and asked.path.endswith("/pulls")
        listing = asked.method == "GET" and asked.path.endswith("/pulls")
        if (listing and not killed) or (opening and len(killed) == 1):
            if opening:
                server._open(asked)
            (process,) = [one for one in json.loads(own_home("ps", "--json", cwd=repo).out) if "pull" in one["name"]]
            killed.append(process["pid"])
            os.kill(process["pid"], signal.SIGKILL)

    server.answers.append(killing)
    done = own_home("run", "acme/calc#20", "--publish", "--json", cwd=repo)
    assert done.json["outcome"] == "succeeded", done.out + done.err
    assert len(killed) == 2 and len(server.pulls) == 1
    assert done.json["pull_request"] == server.pulls[0]["html_url"]
    subprocess.run(["git", "-C", str(repo), "fsck", "--strict"], check=True, capture_output=True)


@pytest.mark.long
def test_agents_that_were_started_without_a_token(own_home: JobHome, server: GitHubServer, repo: Path) -> None:
    """What another run has started knows no token: the run says so and rests, and ends well once it is begun anew."""
    server.add_issue(21, *body(RIGHT))
    token = {"GITHUB_API_URL": server.url, "GITHUB_TOKEN": TOKEN}
    assert own_home.job(repo, RIGHT).json["outcome"] == "succeeded"
    own_home.environment |= token
    done = own_home("run", "acme/calc#21", "--publish", "--json", cwd=repo)
    assert (done.status, done.json["outcome"]) == (7, "needs_human"), done.out
    assert "started without a token" in done.json["reason"] and server.pulls == []
    assert own_home("down", cwd=repo).status == 0
    (asked,) = json.loads(own_home("inbox", "--json", cwd=repo).out)
    assert own_home("answer", asked["id"], "retry", cwd=repo).status == 0
    eventually(lambda: len(server.pulls) == 1, 60)
    assert eventually(lambda: _ended(own_home, done.json["run"], repo), 60)
