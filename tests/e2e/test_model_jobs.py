"""Jobs and runs with a model: from the command line, over real processes, with budgets and kill -9."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ..conftest import eventually
from .conftest import CALC, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

ISSUE = "# Double adds instead of doubling\n\n`calc.double(3)` should give 6, it gives 5.\n"
TESTS = CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6")


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A reply that calls one tool."""
    return {"tool_calls": [{"name": name, "arguments": arguments}], "usage": {"tokens_in": 100, "tokens_out": 20}}


FIX = [
    call("read_file", path="calc.py"),
    call("edit_file", path="calc.py", old_text="n + 2", new_text="n * 2"),
    call("done", summary="Doubles by multiplying."),
]
#: Only the fixer is answered; what reviews is told that there is nothing.
ONLY_FIXER = "You fix one issue"
FIXER = [{**line, "when": ONLY_FIXER} for line in FIX]
REVIEWER = {"text": '{"findings": []}', "when": "You review a change", "usage": {"tokens_in": 50, "tokens_out": 5}}


class SlowService:
    """An OpenAI-style service that says the lines of a script by the number of the assistant's turns, not too fast."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.asked: list[dict[str, Any]] = []
        #: The fixer's request, counted from 1, that is answered only once `hold` is set.
        self.held = 0
        self.hold = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.asked.append(asked)
                if ONLY_FIXER in asked["messages"][0]["content"] and len(service.fixing) == service.held:
                    service.hold.wait(120)
                line: dict[str, Any] = {"text": '{"findings": []}'}
                if ONLY_FIXER in asked["messages"][0]["content"]:
                    line = lines[sum(message["role"] == "assistant" for message in asked["messages"])]
                calls = [
                    {
                        "id": f"c{len(asked['messages'])}",
                        "function": {"name": one["name"], "arguments": one["arguments"]},
                    }
                    for one in line.get("tool_calls", ())
                ]
                message = {"role": "assistant", "content": line.get("text"), "tool_calls": calls}
                body = {
                    "model": "local",
                    "choices": [{"message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20},
                }
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def fixing(self) -> list[dict[str, Any]]:
        """What the fixer has asked."""
        return [one for one in self.asked if ONLY_FIXER in one["messages"][0]["content"]]

    @property
    def environ(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        return {"TWELVEFOLD_MODEL_URL": url, "TWELVEFOLD_MODEL": "local", "TWELVEFOLD_MODEL_KEY": "LOCAL_KEY"}


@pytest.fixture
def service() -> Iterator[SlowService]:
    """A service that fixes the calculator."""
    made = SlowService(FIX)
    yield made
    made.hold.set()
    made.server.shutdown()
    made.server.server_close()


@contextlib.contextmanager
def told(home: JobHome, settings: dict[str, str]) -> Iterator[None]:
    """Set variables for the commands within."""
    before = home.environment
    home.environment = before | settings
    try:
        yield
    finally:
        home.environment = before


def calculator(tmp_path: Path) -> Path:
    """A repository whose test shows the mistake."""
    return make_repo(tmp_path / "calculator", {**CALC, "tests/test_calc.py": TESTS})


def test_an_issue_in_prose_becomes_a_branch_by_a_scripted_model(shared_home: JobHome, tmp_path: Path) -> None:
    """`auto` comes to the model where the issue states no edits; what the calls have cost is told."""
    repo = calculator(tmp_path)
    script = tmp_path / "script.json"
    script.write_text(json.dumps([*FIXER, REVIEWER]))
    settings = {"TWELVEFOLD_MODEL": f"scripted:{script}", "TWELVEFOLD_MODEL_PRICE": "1,2"}
    with told(shared_home, settings):
        ended = shared_home.job(repo, ISSUE)
    document = ended.json
    assert (ended.status, document["outcome"]) == (0, "succeeded"), ended.err
    assert document["files_changed"] == ["calc.py"]
    assert document["cost"]["model_calls"] >= 3
    assert document["cost"]["tokens_in"] >= 300
    assert document["cost"]["usd"] > 0
    message = git(repo, "log", "-1", "--format=%B", document["branch"])
    assert "Doubles by multiplying." in message
    assert "Twelvefold-Model: scripted:script.json" in message


def test_each_run_has_the_model_that_it_was_asked_with(shared_home: JobHome, tmp_path: Path) -> None:
    """Agents that still live from a run without a model work with that of the next, and then without one again."""
    repo = calculator(tmp_path)
    script = tmp_path / "script.json"
    script.write_text(json.dumps([*FIXER, REVIEWER]))
    assert shared_home.job(repo, ISSUE).json["outcome"] == "needs_human"
    settings = {"TWELVEFOLD_MODEL": f"scripted:{script}"}
    with told(shared_home, settings):
        assert shared_home.job(repo, ISSUE).json["outcome"] == "succeeded"
    assert shared_home.job(repo, ISSUE).json["outcome"] == "needs_human"


@pytest.mark.parametrize("budget", ["tokens=200", "usd=0.0002"])
def test_a_budget_stops_a_model(shared_home: JobHome, tmp_path: Path, budget: str) -> None:
    """Tokens and money that are spent end the run as failed, reason budget; nothing is published."""
    repo = calculator(tmp_path)
    script = tmp_path / "script.json"
    reading = {**call("read_file", path="calc.py"), "when": ONLY_FIXER}
    script.write_text(json.dumps([reading] * 40))
    settings = {"TWELVEFOLD_MODEL": f"scripted:{script}", "TWELVEFOLD_MODEL_PRICE": "1,2"}
    with told(shared_home, settings):
        ended = shared_home.job(repo, ISSUE, "--budget", budget)
    document = ended.json
    assert (ended.status, document["outcome"], document["reason"]) == (1, "failed", "budget"), ended.err
    assert git(repo, "branch", "--format=%(refname:short)").split() == ["main"]


def test_a_service_is_paid_once_for_each_reply_though_its_agent_is_killed(
    own_home: JobHome, tmp_path: Path, service: SlowService
) -> None:
    """kill -9 of the fixer while a reply is under way: what was answered before is not asked for again."""
    repo = calculator(tmp_path)
    (tmp_path / "1.md").write_text(ISSUE)
    service.held = 2
    with told(own_home, {**service.environ, "LOCAL_KEY": "sk-local-1234"}):
        run = own_home("run", str(tmp_path / "1.md"), "--detach", cwd=repo).out.strip()
        eventually(lambda: len(service.fixing) == 2, 60)
        processes = json.loads(own_home("ps", "--json", cwd=repo).out)
        (fixer,) = [one for one in processes if "fixer" in one["name"] and one["state"] == "busy"]
        os.kill(fixer["pid"], signal.SIGKILL)
        service.hold.set()

        def ended() -> Any:
            document = json.loads(own_home("status", run, "--json", cwd=repo).out)
            return document if document["outcome"] else None

        document = eventually(ended, 120)
    turns = [sum(message["role"] == "assistant" for message in one["messages"]) for one in service.fixing]
    assert document["outcome"] == "succeeded", document
    assert sorted(turns) == [0, 1, 1, 2]
    assert "sk-local-1234" not in own_home("log", "--run", run, "--jsonl", cwd=repo).out


@pytest.mark.long
def test_the_projects_words_are_the_models(shared_home: JobHome, tmp_path: Path) -> None:
    """A prompt of one's own is what the model is told, and its hash stands in the call's event; a wrong one is told."""
    repo = calculator(tmp_path)
    words = tmp_path / "words"
    words.mkdir()
    (words / "fixer.md").write_text("OWN WORDS ONLY\n")
    script = tmp_path / "script.json"
    script.write_text(json.dumps([*({**line, "when": "OWN WORDS ONLY"} for line in FIX), REVIEWER]))
    settings = {"TWELVEFOLD_MODEL": f"scripted:{script}", "TWELVEFOLD_PROMPTS": str(words)}
    with told(shared_home, settings):
        ended = shared_home.job(repo, ISSUE)
        assert ended.json["outcome"] == "succeeded", ended.err
        log = shared_home("log", "--run", ended.json["run"], "--type", "effect.intended", "--jsonl", cwd=repo).out
        (words / "fixer.md").write_text("Do {{ what }}.\n")
        wrong = shared_home.job(repo, ISSUE)
    calls = [data for line in log.splitlines() if (data := json.loads(line)["data"])["kind"] == "model"]
    digest = hashlib.sha256(b"OWN WORDS ONLY\n").hexdigest()
    assert {"name": "fixer", "hash": digest} in calls[0]["parameters"]["prompts"]
    assert wrong.json["outcome"] == "failed"
    assert wrong.json["reason"].startswith("prompt_invalid"), wrong.json


def test_a_models_question_is_answered_from_the_command_line(shared_home: JobHome, tmp_path: Path) -> None:
    """The run rests with the model's question in the inbox, and goes on with the answer to its end."""
    repo = calculator(tmp_path)
    question = call("ask_human", question="Multiply or shift?")
    script = tmp_path / "script.json"
    lines = [
        {**question, "when": "nothing was asked so far"},
        *({**line, "when": "Answered: multiply"} for line in FIX),
    ]
    script.write_text(json.dumps([*lines, REVIEWER]))
    with told(shared_home, {"TWELVEFOLD_MODEL": f"scripted:{script}"}):
        ended = shared_home.job(repo, ISSUE)
        assert (ended.status, ended.json["outcome"], ended.json["reason"]) == (
            7,
            "needs_human",
            "question: Multiply or shift?",
        )
        run = ended.json["run"]
        (asked,) = [one for one in shared_home("inbox", "--json", cwd=repo).json if one["run"] == run]
        assert asked["question"] == "Multiply or shift?"
        assert shared_home("answer", asked["id"], "multiply", cwd=repo).status == 0

        def over() -> Any:
            document = shared_home("status", run, "--json", cwd=repo).json
            return document if document["outcome"] not in (None, "needs_human") else None

        document = eventually(over, 120)
    assert document["outcome"] == "succeeded", document


@pytest.mark.long
def test_under_an_up_its_own_model_counts_unless_another_is_named(own_home: JobHome, tmp_path: Path) -> None:
    """What `up` was started with holds for runs that name nothing; a run that names a model is worked on with that."""
    repo = calculator(tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    script = tmp_path / "script.json"
    script.write_text(json.dumps([*FIXER, REVIEWER]))
    (tmp_path / "idle.json").write_text(json.dumps([{**call("give_up", reason="Not today."), "when": ONLY_FIXER}]))
    assert own_home("init", ".", cwd=project).status == 0
    with told(own_home, {"TWELVEFOLD_MODEL": f"scripted:{tmp_path / 'idle.json'}"}):
        started = own_home("up", "-d", "--wait", cwd=project)
        assert started.status == 0, started.err
    assert own_home.job(repo, ISSUE).json["reason"].startswith("model_gave_up")
    with told(own_home, {"TWELVEFOLD_MODEL": f"scripted:{script}"}):
        ended = own_home.job(repo, ISSUE)
    assert ended.json["outcome"] == "succeeded", ended.err
