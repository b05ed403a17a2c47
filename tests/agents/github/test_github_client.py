"""Asking GitHub: pages, limits, redirects, and what is told when it says no."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agents.github.github_server import GitHubServer, serve, soon
from twelvefold.agents.errors import AgentSettingInvalid
from twelvefold.agents.github.access import access_from, environment_for
from twelvefold.agents.github.address import (
    IssueAddress,
    RepositoryName,
    issue_address,
    repository_of_url,
)
from twelvefold.agents.github.client import GitHub
from twelvefold.agents.github.errors import GitHubRefused, GitHubUnavailable, NotOnGitHub, RateLimited
from twelvefold.agents.github.issues import issue_text, read_issue
from twelvefold.agents.github.reach import open_github

TOKEN = "ghp_0123456789secret"
ADDRESS = IssueAddress(RepositoryName("acme", "calc"), 12)
PATH = "/repos/acme/calc/issues/12"


def environ(server: GitHubServer, **more: str) -> dict[str, str]:
    return {"GITHUB_API_URL": server.url, "PATH": "/nowhere", **more}


def asking(server: GitHubServer, **more: str) -> GitHub:
    """A client that never really waits; `slept` has what it would have waited."""
    slept: list[float] = []
    client = GitHub(access_from(environ(server, **more)), sleep=slept.append)
    client.slept = slept  # type: ignore[attr-defined]
    return client


@pytest.mark.parametrize(
    ("text", "number", "repo"),
    [
        ("acme/calc#12", 12, "acme/calc"),
        ("a-b_c/x.y-z#1", 1, "a-b_c/x.y-z"),
        ("https://github.com/acme/calc/issues/7", 7, "acme/calc"),
        ("https://ghe.example.org:8443/acme/calc/pull/7/", 7, "acme/calc"),
    ],
)
def test_addresses_of_issues(text: str, number: int, repo: str) -> None:
    """The short form and the page's address name an issue."""
    found = issue_address(text)
    assert found is not None and (found.number, str(found.repository)) == (number, repo)


@pytest.mark.parametrize(
    "text",
    ["", "12", "#12", "calc#12", "acme/calc", "acme/calc#0", "acme/calc#012", "acme/calc#-1", "acme/calc#1 and more",
     "../etc#1", "acme/..#1", "acme/.#1", "-acme/calc#1", "acme/calc/x#1", "see acme/calc#1", "acme/calc#99999999999",
     "https://github.com/acme/calc", "ftp://github.com/acme/calc/issues/1", "acme/ca lc#1", "acme/calc#1\nx"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """Anything else is no issue's address, options and paths least of all."""
    assert issue_address(text) is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://github.com/acme/calc.git", "github.com"),
        ("https://user:secret@github.com/acme/calc", "github.com"),
        ("git@github.com:acme/calc.git", "github.com"),
        ("ssh://git@github.com:22/acme/calc.git", "github.com"),
        ("http://127.0.0.1:8080/acme/calc.git", "127.0.0.1:8080"),
    ],
)
def test_repositories_of_remotes(url: str, host: str) -> None:
    """Every way to write a remote of GitHub is understood."""
    assert repository_of_url(url) == RepositoryName("acme", "calc", host)


@pytest.mark.parametrize("url", ["/srv/acme/calc", "../acme/calc", "file:///srv/acme/calc", "ext::sh -c x", "C:\\x\\y"])
def test_remotes_that_are_no_repositories_of_github(url: str) -> None:
    """Folders and other transports are none."""
    assert repository_of_url(url) is None


def test_an_issue_with_all_of_its_comments(github_server: GitHubServer) -> None:
    """An issue is read with its labels and with comments over several pages, in order."""
    github_server.per_page_max = 10
    github_server.add_issue(12, "Double", "Fix it.\r\nPlease.", labels=[{"name": "bug"}, "urgent"])
    github_server.add_comments(12, *(f"comment {n}\x1b[2J" for n in range(35)))
    with asking(github_server) as github:
        issue = read_issue(github, ADDRESS)
    assert (issue.title, issue.state, issue.labels, len(issue.comments)) == ("Double", "open", ["bug", "urgent"], 35)
    text = issue_text(issue)
    assert text.startswith("# Double\n\nFix it.\nPlease.\n\nLabels: bug, urgent\n\n## Comments\n\n### user0 commented")
    assert text.index("comment 9[2J\n") < text.index("comment 10[2J\n") < text.index("comment 34[2J\n")
    pages = [asked.query.get("page") for asked in github_server.asked if asked.path.endswith("comments")]
    assert pages == [None, "2", "3", "4"]


def test_too_many_words_are_left_out_and_it_is_said(github_server: GitHubServer) -> None:
    """A discussion without an end becomes a bounded text."""
    github_server.add_issue(12, "Long")
    github_server.add_comments(12, *("x" * 400_000 for _ in range(4)))
    with asking(github_server) as github:
        text = issue_text(read_issue(github, ADDRESS))
    assert len(text) < 1_000_000 and "(2 further comments are left out" in text


def test_strange_answers_of_a_right_shape(github_server: GitHubServer) -> None:
    """Null in place of texts, users that were deleted, fields that are missing: an issue all the same."""
    github_server.add_issue(12, "Odd", user=None, labels=None, body=None, state=None)
    github_server.add_comments(12, "")
    github_server.comments[f"{PATH}/comments"] = [{"user": None, "body": None}, None, {"body": "words"}]  # type: ignore[list-item]
    with asking(github_server) as github:
        assert issue_text(read_issue(github, ADDRESS)) == "# Odd\n\n## Comments\n\n### Somebody commented\n\n> words\n"


def test_what_strangers_propose_is_no_edit(github_server: GitHubServer) -> None:
    """An edit in a comment counts where its author may write in the repository or has opened the issue, else not."""
    from twelvefold.agents.issue import parse_issue

    edit = "### `calc.py`\nCurrent:\n```python\nn + 2\n```\nShould be:\n```python\nn * {}\n```\n"
    github_server.add_issue(12, "Double", "It adds.")
    roles = (("mallory", "NONE"), ("alice", "NONE"), ("bob", "COLLABORATOR"), ("eve", "CONTRIBUTOR"))
    github_server.add_comments(12, *(edit.format(n) for n in range(4)))
    for comment, (author, role) in zip(github_server.comments[f"{PATH}/comments"], roles, strict=True):
        comment |= {"user": {"login": author}, "author_association": role}
    with asking(github_server) as github:
        text = issue_text(read_issue(github, ADDRESS))
    edits, _ = parse_issue(text, "12").edits(["calc.py"])
    assert [one.new.strip() for one in edits] == ["n * 1", "n * 2"]
    assert "> n * 0" in text and "### bob (collaborator) commented" in text


def test_a_moved_repository_is_followed(github_server: GitHubServer) -> None:
    """A permanent redirect on the same server leads to the issue, whose address is the new one."""
    github_server.add_issue(12, "Moved", repo="acme/new")
    github_server.answer_once(PATH, 301, {"Location": f"{github_server.url}/repos/acme/new/issues/12"})
    with asking(github_server, GITHUB_TOKEN=TOKEN) as github:
        assert str(read_issue(github, ADDRESS).address) == "acme/new#12"
    assert [asked.headers["authorization"] for asked in github_server.asked] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_other_host_gets_the_token(github_server: GitHubServer, tmp_path: Path, status: int) -> None:
    """A redirect to another host, port or scheme isn't followed: nothing reaches it."""
    other, server = serve(tmp_path / "other")
    try:
        for place in (f"{other.url}{PATH}", f"http://localhost:{github_server.port}{PATH}", "https://127.0.0.1/x", ""):
            github_server.answer_once(PATH, status, {"Location": place})
            with asking(github_server, GITHUB_TOKEN=TOKEN) as github, pytest.raises(GitHubUnavailable) as told:
                read_issue(github, ADDRESS)
            assert "it sends the request on to" in told.value.message() and TOKEN not in told.value.message()
        assert other.asked == []
    finally:
        server.shutdown()
        server.server_close()


def test_the_next_page_is_none_of_another_host(github_server: GitHubServer) -> None:
    """A Link header that leads elsewhere is no page of this list."""
    github_server.add_issue(12, "Linked")
    github_server.add_comments(12, "one")
    github_server.answer_once(f"{PATH}/comments", 200, {"Link": '<http://127.0.0.1:1/x>; rel="next"'}, [])
    with asking(github_server) as github, pytest.raises(GitHubUnavailable):
        read_issue(github, ADDRESS)


def test_redirects_without_an_end(github_server: GitHubServer) -> None:
    """A circle of redirects ends with an error."""
    github_server.answers.append(lambda asked: (301, {"Location": asked.path}, None))
    with asking(github_server) as github, pytest.raises(GitHubUnavailable, match="on and on"):
        read_issue(github, ADDRESS)


LIMITS: list[tuple[str, Callable[[], tuple[int, dict[str, str], Any]], float]] = [
    ("retry-after", lambda: (429, {"Retry-After": "7"}, None), 7),
    ("primary", lambda: (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon(20)}, None), 20),
    ("secondary", lambda: (403, {}, {"message": "You have exceeded a secondary rate limit."}), 60),
    ("secondary-after", lambda: (403, {"Retry-After": "30"}, {"message": "abuse detection"}), 30),
    ("long ago", lambda: (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, None), 1),
    ("garbage", lambda: (429, {"Retry-After": "soon", "X-RateLimit-Reset": "x"}, b"\xff"), 60),
]


@pytest.mark.parametrize(("made", "wait_s"), [limit[1:] for limit in LIMITS], ids=[limit[0] for limit in LIMITS])
def test_a_short_rate_limit_is_waited_for(
    github_server: GitHubServer, made: Callable[[], tuple[int, dict[str, str], Any]], wait_s: float
) -> None:
    """Whatever way a limit is told, it is waited for as long as it says, and the answer comes."""
    github_server.add_issue(12, "Patient")
    github_server.answer_once(PATH, *made())
    with asking(github_server) as github:
        assert read_issue(github, ADDRESS).title == "Patient"
        assert sum(github.slept) == pytest.approx(wait_s, abs=2.5)  # type: ignore[attr-defined]


def test_a_long_rate_limit_is_told(github_server: GitHubServer) -> None:
    """What lasts longer than may be waited is an error that says how long; several short ones add up."""
    github_server.answer_once(PATH, 403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon(3000)})
    with asking(github_server) as github, pytest.raises(RateLimited) as told:
        read_issue(github, ADDRESS)
    assert 2990 < told.value.wait_s < 3010 and "GITHUB_TOKEN" in told.value.help()
    github_server.answers.append(lambda asked: (429, {"Retry-After": "25"}, None))
    with asking(github_server) as github, pytest.raises(RateLimited):
        read_issue(github, ADDRESS)
    with asking(github_server, TWELVEFOLD_GITHUB_WAIT_S="5") as github, pytest.raises(RateLimited):
        read_issue(github, ADDRESS)
    assert github.slept == []  # type: ignore[attr-defined]


def test_a_limit_of_no_length_is_no_endless_loop(github_server: GitHubServer) -> None:
    """A server that says `again at once` for ever is given up."""
    github_server.answers.append(lambda asked: (429, {"Retry-After": "0"}, None))
    with asking(github_server) as github, pytest.raises(RateLimited):
        read_issue(github, ADDRESS)
    assert len(github_server.asked) < 100


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"message": "Not Found"}, NotOnGitHub),
        (410, {"message": "This issue was deleted"}, NotOnGitHub),
        (401, {"message": "Bad credentials"}, GitHubRefused),
        (403, {"message": "Resource not accessible by personal access token"}, GitHubRefused),
        (451, {"message": "Repository access blocked"}, GitHubRefused),
        (422, {"message": "No", "errors": [{"code": "x"}, "y", 3]}, GitHubRefused),
        (500, {"message": "Oops"}, GitHubUnavailable),
        (200, b"<html>Sign in</html>", GitHubUnavailable),
        (200, [], GitHubUnavailable),
        (200, {"title": 3}, GitHubUnavailable),
        (204, b"", GitHubUnavailable),
        (0, b"", GitHubUnavailable),
    ],
)
def test_every_no_is_told_without_the_token(
    github_server: GitHubServer, caplog: pytest.LogCaptureFixture, status: int, body: Any, error: type[Exception]
) -> None:
    """A refusal, a failure, garbage or a cut: an error of ours, in words, with a help, and the token nowhere."""
    caplog.set_level(logging.DEBUG)
    if isinstance(body, dict):
        body = {**body, "message": f"{body.get('message')} {TOKEN}\x1b[31m"}
    github_server.answers.append(lambda asked: (status, {}, body))
    with asking(github_server, GITHUB_TOKEN=TOKEN) as github, pytest.raises(error) as told:
        read_issue(github, ADDRESS)
    shown = f"{told.value.message()} {told.value.help()} {told.value!r} {github.access!r}"  # type: ignore[attr-defined]
    assert TOKEN not in shown and TOKEN not in caplog.text and "\x1b" not in shown
    assert "acme/calc#12" in shown


def test_a_failing_server_is_asked_again(github_server: GitHubServer) -> None:
    """What only reads is tried again after a failure and after a cut, and a POST is not."""
    github_server.add_issue(12, "Again")
    github_server.answer_once(PATH, 502)
    github_server.answer_once(PATH, 0)
    with asking(github_server) as github:
        assert read_issue(github, ADDRESS).title == "Again"
    github_server.asked.clear()
    github_server.answers.append(lambda asked: (502, {}, None))
    with asking(github_server) as github, pytest.raises(GitHubUnavailable):
        github.post("/repos/acme/calc/pulls", "a pull request", {"head": "x"})
    assert len(github_server.asked) == 1


def test_nobody_answers() -> None:
    """Without a server the error says which was asked, and how to ask it by hand."""
    access = access_from({"GITHUB_API_URL": "http://127.0.0.1:9"})
    with GitHub(access, sleep=lambda _: None) as github, pytest.raises(GitHubUnavailable) as told:
        read_issue(github, ADDRESS)
    assert "http://127.0.0.1:9" in told.value.message() and "curl" in told.value.help()


def test_an_answer_without_an_end(github_server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is too large is not taken in."""
    monkeypatch.setattr("twelvefold.agents.github.client.ANSWER_BYTES_MAX", 1000)
    github_server.add_issue(12, "x" * 2000)
    with asking(github_server) as github, pytest.raises(GitHubUnavailable, match="over 1000 bytes"):
        read_issue(github, ADDRESS)


def test_where_server_and_token_come_from() -> None:
    """The variables of `gh` and of GitHub's own runners are honoured, and wrong ones are refused unseen."""
    assert access_from({}).api_url == "https://api.github.com"
    both = access_from({"GH_TOKEN": "one", "GITHUB_TOKEN": "two"})
    assert (both.token, both.token_from, both.host) == ("one", "GH_TOKEN", "github.com")
    own = access_from({"GH_HOST": "ghe.example.org", "GITHUB_TOKEN": "two", "GH_ENTERPRISE_TOKEN": "three"})
    assert (own.api_url, own.host, own.token) == ("https://ghe.example.org/api/v3", "ghe.example.org", "three")
    given = access_from({"GITHUB_API_URL": "https://api.github.com/", "GITHUB_SERVER_URL": "https://github.com"})
    assert (given.api_url, given.host) == ("https://api.github.com", "github.com")
    for wrong in (
        {"GITHUB_API_URL": "ftp://x"}, {"GITHUB_API_URL": "https://u:p@x"}, {"GITHUB_API_URL": "http://x:y"},
        {"GH_HOST": "a b"}, {"GITHUB_TOKEN": "a b\nc"}, {"GITHUB_TOKEN": "gehe\u00efm"},
        {"TWELVEFOLD_GITHUB_WAIT_S": "-1"},
    ):  # fmt: skip
        with pytest.raises(AgentSettingInvalid) as told:
            access_from(wrong)
        assert next(iter(wrong.values())) not in told.value.message()


GH = """#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "called"), "a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}) + "\\n")
if os.path.exists(os.path.join(here, "signed-out")):
    print("To get started with GitHub CLI, please run:  gh auth login", file=sys.stderr)
    sys.exit(4)
path = sys.argv[-1]
answers = json.load(open(os.path.join(here, "answers.json")))
if path.split("?")[0] not in answers:
    print("HTTP/2.0 404 Not Found\\r\\n\\r\\n" + json.dumps({"message": "Not Found"}))
    print("gh: Not Found (HTTP 404)", file=sys.stderr)
    sys.exit(1)
headers, body = answers[path.split("?")[0]]
if headers is None:
    print("error connecting to api.github.com", file=sys.stderr)
    sys.exit(1)
print("HTTP/2.0 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Encoding: gzip\\r\\nContent-Length: 3\\r")
for name, value in headers.items():
    print(f"{name}: {value}\\r")
print("\\r\\n" + json.dumps(body), end="")
"""


@pytest.fixture
def gh(tmp_path: Path) -> Path:
    """A folder with a program `gh` in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    return folder


def test_gh_carries_the_requests(gh: Path) -> None:
    """Where `gh` is there and signed in, issue and pages of comments come through it, and no token is on its line."""
    import json

    base = "repos/acme/calc/issues/12"
    link = '<https://api.github.com/repositories/1/issues/12/comments?page=2>; rel="next"'
    answers = {
        base: ({}, {"title": "By gh", "number": 12, "comments": 2, "state": "open"}),
        f"{base}/comments": ({"Link": link}, [{"body": "one"}]),
        "repositories/1/issues/12/comments": ({}, [{"body": "two"}]),
    }
    (gh / "answers.json").write_text(json.dumps(answers))
    path = f"{gh}:/usr/bin:/bin"
    with open_github({"PATH": path, "HOME": "/nowhere", "GITHUB_TOKEN": TOKEN, "SECRET_OF_OTHERS": "x"}) as github:
        issue = read_issue(github, ADDRESS)
        assert (issue.title, [comment.body for comment in issue.comments]) == ("By gh", ["one", "two"])
        missing = IssueAddress(ADDRESS.repository, 13)
        with pytest.raises(NotOnGitHub):
            read_issue(github, missing)
    called = [json.loads(line) for line in (gh / "called").read_text().splitlines()]
    assert len(called) == 4 and all(TOKEN not in " ".join(one["argv"]) for one in called)
    assert all("SECRET_OF_OTHERS" not in one["env"] and one["env"]["GITHUB_TOKEN"] == TOKEN for one in called)
    assert called[0]["argv"][:6] == ["api", "--include", "--hostname", "github.com", "--method", "GET"]


def test_gh_that_reaches_nobody(gh: Path) -> None:
    """What `gh` says of the network is in the error."""
    (gh / "answers.json").write_text('{"repos/acme/calc/issues/12": [null, null]}')
    with open_github({"PATH": f"{gh}:/usr/bin:/bin"}) as github, pytest.raises(GitHubUnavailable) as told:
        read_issue(github, ADDRESS)
    assert "error connecting" in told.value.message()


def test_gh_that_nobody_has_signed_in(gh: Path, github_server: GitHubServer) -> None:
    """A `gh` without an account is asked once, and then the API itself, with the token of the environment if any."""
    from twelvefold.agents.github.gh import GhTransport

    (gh / "answers.json").write_text("{}")
    (gh / "signed-out").touch()
    github_server.add_issue(12, "By API")
    github_server.add_comments(12, "one")
    given = {"PATH": f"{gh}:/usr/bin:/bin", "GITHUB_API_URL": github_server.url, "GITHUB_TOKEN": TOKEN}
    access = access_from(given)
    with GitHub(access, GhTransport(str(gh / "gh"), access, given)) as github:
        assert read_issue(github, ADDRESS).title == "By API"
    assert len((gh / "called").read_text().splitlines()) == 1
    assert [asked.headers["authorization"] for asked in github_server.asked] == [f"Bearer {TOKEN}"] * 2


def test_gh_is_left_alone_where_it_cannot_ask_this_server(gh: Path, github_server: GitHubServer) -> None:
    """A base URL that `gh` knows nothing of is asked itself."""
    github_server.add_issue(12, "By API")
    with open_github({"PATH": f"{gh}:/usr/bin:/bin", "GITHUB_API_URL": github_server.url}) as github:
        assert read_issue(github, ADDRESS).title == "By API"
    assert not (gh / "called").exists()


def test_a_token_goes_to_no_other_server() -> None:
    """An issue's own address leads to another server without any token; the one that is set up keeps it."""
    environ = {"GITHUB_TOKEN": "one", "GH_ENTERPRISE_TOKEN": "two", "PATH": "/bin"}
    assert environment_for("", environ) is environ and environment_for("GitHub.com", environ) is environ
    other = environment_for("evil.example.org", environ)
    assert other == {"PATH": "/bin", "GH_HOST": "evil.example.org"} and access_from(other).token == ""
    own = {**environ, "GH_HOST": "ghe.example.org"}
    assert access_from(environment_for("ghe.example.org", own)).token == "two"
    assert access_from(environment_for("github.com", own)).token == ""
