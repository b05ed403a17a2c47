"""What research answers: the right place, quoted to the byte at a commit, or truthfully nothing."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from tests.agents.research.conftest import Ask
from tests.e2e.conftest import git, snapshot
from twelvefold.agents.research.citation import Citation, evidence_of
from twelvefold.agents.research_agent import ResearchAgent
from twelvefold.agents.response import ToolResponse

#: Questions, each with the file that answers it and words that the quoted lines must have.
QUESTIONS = [
    ("How long is it waited before a letter is sent again?", "mail/outbox.py", "2**attempt"),
    ("Where is an address checked?", "mail/address.py", "fullmatch"),
    ("retry_delay", "mail/outbox.py", "def retry_delay"),
    ("Where is the class Outbox?", "mail/outbox.py", "class Outbox"),
    ("What is ATTEMPTS_MAX?", "mail/outbox.py", "ATTEMPTS_MAX = 7"),
    ("How do I install mail?", "README.md", "pip install"),
    ("How many attachments may a letter have?", "README.md", "ten attachments"),
    ("When does a session expire?", "src/session.js", "isExpired"),
    ("Which discount do members get on the total of a cart?", "src/cart.go", "9 / 10"),
    ("How long are cookies kept?", "docs/privacy.rst", "month"),
    ("What license is the site under?", "LICENSE", "MIT"),
    ("Which test covers the retry delay?", "tests/test_outbox.py", "test_retry_delay_doubles"),
]


@pytest.mark.parametrize(("question", "path", "words"), QUESTIONS)
def test_the_place_that_answers_is_cited_first(ask: Ask, question: str, path: str, words: str) -> None:
    """Of two repositories the passage that answers comes first."""
    outcome = ask(question)
    assert outcome.outcome == "succeeded", outcome
    first = outcome.value["citations"][0]
    assert (first["path"], words in first["text"]) == (path, True), outcome.value["answer"]


def test_every_citation_is_what_git_has_there(ask: Ask, projects: dict[str, Path]) -> None:
    """Reference, commit, lines, text and hash agree with the repository, byte for byte; nothing of it is written."""
    before = {name: snapshot(path) for name, path in projects.items()}
    outcome = ask("How long is it waited before a letter is sent again?")
    assert outcome.value["found"] is True
    assert outcome.value["citations"]
    for one in outcome.value["citations"]:
        assert one["commit"] == git(projects[one["name"]], "rev-parse", "HEAD").strip()
        first, last = one["lines"]
        assert one["ref"] == f"{one['name']}@{one['commit']}:{one['path']}:{first}-{last}"
        shown = subprocess.run(
            ["git", "-C", one["repo"], "show", f"{one['commit']}:{one['path']}"], capture_output=True, check=True
        ).stdout.split(b"\n")
        quoted = b"\n".join(shown[first - 1 : last])
        assert one["text"].encode() == quoted
        assert one["text_hash"] == "sha256:" + hashlib.sha256(quoted).hexdigest()
    proofs = [one for one in outcome.evidence if one.kind == "citation"]
    assert [one.ref for one in proofs] == [one["ref"] for one in outcome.value["citations"]]
    assert {name: snapshot(path) for name, path in projects.items()} == before


@pytest.mark.parametrize(
    "question", ["Which Kubernetes cluster does it run on?", "How is plutonium enriched?", "the of and", "?!", "a"]
)
def test_nothing_found_is_said(ask: Ask, question: str) -> None:
    """A question that nothing speaks of gets no passage, and says so."""
    outcome = ask(question)
    assert (outcome.outcome, outcome.reason) == ("nothing_to_do", "nothing_found")
    assert outcome.value["citations"] == []
    assert outcome.value["found"] is False
    assert "Nothing was found" in outcome.value["answer"]


def test_history_answers_when_and_why(ask: Ask, projects: dict[str, Path]) -> None:
    """The commit whose message tells the reason is cited, with its author."""
    outcome = ask("Why was the wait between attempts changed?")
    (commit,) = [one for one in outcome.value["citations"] if one["kind"] == "commit"]
    assert commit["ref"] == f"mail@{git(projects['mail'], 'rev-parse', 'HEAD').strip()}"
    assert commit["text"].startswith("Wait longer between attempts")
    assert commit["author"] == "User"
    introduced = ask("When was `is_valid_address` introduced?").value["citations"][0]
    assert introduced["ref"] == f"mail@{git(projects['mail'], 'rev-parse', 'HEAD~1').strip()}"


def test_another_revision_is_read_as_it_was(ask: Ask, projects: dict[str, Path]) -> None:
    """With a revision the passages are of that commit, not of HEAD."""
    old = ask("retry_delay", repos=[str(projects["mail"])], revision="HEAD~1")
    assert "300" in old.value["citations"][0]["text"]
    assert old.value["citations"][0]["commit"] == git(projects["mail"], "rev-parse", "HEAD~1").strip()
    assert "600" in ask("retry_delay").value["citations"][0]["text"]


def test_what_is_not_committed_is_left_out_and_said(ask: Ask, projects: dict[str, Path]) -> None:
    """The checkout's changes are no part of the answer; a note tells of them."""
    (projects["mail"] / "mail/address.py").write_text("def is_valid_address(text):\n    return 'changed'\n")
    outcome = ask("Where is an address checked?")
    assert "fullmatch" in outcome.value["citations"][0]["text"]
    assert any("not committed" in text for text in outcome.value["notes"])


def test_repositories_that_cannot_be_read(ask: Ask, projects: dict[str, Path], tmp_path: Path) -> None:
    """Named ones are an error; among all sisters one is left out with a note; a bare one can be read."""
    plain = tmp_path / "plain"
    plain.mkdir()
    mixed = [str(plain), str(projects["mail"])]
    assert ask("retry_delay", repos=mixed).reason == "not_a_repository"
    outcome = ask("retry_delay", repos=mixed, optional=True)
    assert outcome.outcome == "succeeded"
    assert any("plain" in text for text in outcome.value["notes"])
    assert ask("retry_delay", repos=[str(plain)], optional=True).reason == "no_repositories"
    git(tmp_path, "clone", "--quiet", "--bare", str(projects["mail"]), "bare.git")
    assert ask("retry_delay", repos=[str(tmp_path / "bare.git")]).outcome == "succeeded"
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "repos.toml").write_text("[repos.mail]\nread = false\n")
    assert ask("retry_delay").reason == "repository_forbidden"
    assert ask("session", optional=True).value["repos"][0]["name"] == "site"


def test_evidence_that_does_not_hold_fails_the_task(projects: dict[str, Path], tmp_path: Path) -> None:
    """A citation of a wrong text, line, file or commit makes a success a failure, whoever gives it."""
    repo = projects["mail"]
    commit = git(repo, "rev-parse", "HEAD").strip()
    text = "ATTEMPTS_MAX = 7"

    def task(**changes: object) -> str | None:
        facts = {"commit": commit, "path": "mail/outbox.py", "lines": (3, 3), "text": text, **changes}
        digest = "sha256:" + hashlib.sha256(str(facts["text"]).encode()).hexdigest()
        ref = f"mail@{facts['commit']}:{facts['path']}:{facts['lines'][0]}-{facts['lines'][1]}"  # type: ignore[index]
        cited = Citation(n=1, ref=ref, name="mail", repo=str(repo), text_hash=digest, **facts)  # type: ignore[arg-type]

        class Claims(tf.BaseAgent):
            def execute_task(self, task: object) -> ToolResponse:
                return ToolResponse.succeeded("said", [evidence_of(cited)])

        outcome = tf.run_task(Claims(), None, trial=tf.Trial(tmp_path / "home"))
        return outcome.reason if outcome.outcome == "failed" else None

    assert task() is None
    for wrong in (
        {"text": "ATTEMPTS_MAX = 8"}, {"lines": (4, 4)}, {"lines": (0, 1)}, {"lines": (3, 900)}, {"path": "gone.py"},
        {"path": "../../etc/passwd"}, {"commit": "0" * 40}, {"commit": "HEAD"}, {"commit": "--output=x"},
    ):  # fmt: skip
        assert task(**wrong) == "evidence", wrong


def test_what_was_found_is_served_from_the_record(projects: dict[str, Path], tmp_path: Path) -> None:
    """A task whose process died after the search answers from what was recorded, also when the branch has moved on."""
    trial = tf.Trial(tmp_path / "home")
    dying = True

    class Mortal(ResearchAgent):
        def _answer(self, *given: Any) -> ToolResponse:
            answer = super()._answer(*given)
            if dying:
                raise KeyboardInterrupt
            return answer

    agent = Mortal()
    request = trial.request(agent, {"question": "retry_delay", "repos": [str(projects["mail"])]})
    with pytest.raises(KeyboardInterrupt):
        trial.deliver(agent, request)
    dying = False
    head = git(projects["mail"], "rev-parse", "HEAD").strip()
    git(projects["mail"], "rm", "--quiet", "mail/outbox.py")
    git(projects["mail"], "commit", "--quiet", "-m", "Remove the outbox")
    outcome = trial.deliver(agent, request, delivery=2)
    assert outcome.outcome == "succeeded"
    assert outcome.value["citations"][0]["commit"] == head
