"""Models that are no service: scripts, records, the `llm` package, and backends of other distributions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm
import msgspec
import pytest

import twelvefold as tf
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.journal import LogJournal
from twelvefold.agents.models.calls import ask
from twelvefold.agents.models.choose import model_from
from twelvefold.agents.models.errors import ModelNotUsable, ModelRefused, NoSuchReply
from twelvefold.agents.models.llm_package import LlmPackageModel
from twelvefold.agents.models.model import Message, ToolCall, ToolSpec, Usage
from twelvefold.agents.models.openai_style import OpenAIStyleModel
from twelvefold.agents.models.recorded import RecordedModel, recorded_replies
from twelvefold.agents.models.scripted import ScriptedModel
from twelvefold.eventstore.blob_files import BlobFiles
from twelvefold.eventstore.blobs import BlobStore
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog

ASKED = [Message("user", "one")]
TOOL = ToolSpec("read_file", "Read a file.", {"type": "object", "properties": {"path": {"type": "string"}}})


class Asker(tf.BaseAgent):
    """Asks as many questions as its task says."""

    def execute_task(self, task: list[str], context: tf.TaskContext) -> tf.ToolResponse:
        model = model_from(context.settings)
        assert model is not None
        return tf.ToolResponse.succeeded([ask(context, model, [Message("user", one)]).text for one in task])


def test_a_script_answers_in_its_order() -> None:
    """Line after line, as texts or with all that a reply may have; at its end it says so."""
    line = {
        "text": "b",
        "tool_calls": [{"name": "x", "arguments": {"a": 1}}],
        "usage": {"tokens_in": 1, "tokens_out": 2},
    }
    model = ScriptedModel(["a", line])
    assert model.complete(ASKED).text == "a"
    reply = model.complete(ASKED)
    assert (reply.text, reply.tool_calls[0].arguments, reply.usage.tokens_out) == ("b", {"a": 1}, 2)
    with pytest.raises(NoSuchReply):
        model.complete(ASKED)


def test_a_scripts_lines_may_wait_for_words() -> None:
    """A line with `when` counts only where that is found, so that one script serves several agents."""
    lines = [{"text": "for two", "when": "tw."}, {"text": "for one", "when": "^one$"}]
    assert ScriptedModel(lines).complete(ASKED).text == "for one"


def test_a_script_goes_on_where_a_task_was(tmp_path: Path) -> None:
    """The line that answers is that of the call's number in its task, also in a new process; each task begins anew."""
    script = tmp_path / "script.jsonl"
    script.write_text('"a"\n{"text": "b"}\n"c"\n')
    trial = tf.Trial(settings=AgentSettings(model=f"scripted:{script}"))
    agent = Asker()
    request = trial.request(agent, ["1", "2", "3"])

    class Dying(Asker):
        def execute_task(self, task: list[str], context: tf.TaskContext) -> tf.ToolResponse:
            super().execute_task(task[:2], context)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial.deliver(Dying(), request)
    assert trial.deliver(agent, request, delivery=2).value == ["a", "b", "c"]
    assert tf.run_task(agent, ["4"], trial=trial).value == ["a"]


@pytest.mark.parametrize("content", ["{", "[1]", '[{"txt": "a"}]', '[{"text": "a", "when": "("}]'])
def test_a_wrong_script_is_told(tmp_path: Path, content: str) -> None:
    """A script that can't be read is an error that names the file."""
    script = tmp_path / "script.json"
    script.write_text(content)
    with pytest.raises(ModelNotUsable) as caught:
        model_from(AgentSettings(model=f"scripted:{script}"))
    assert "script.json" in caught.value.message()
    with pytest.raises(ModelNotUsable):
        model_from(AgentSettings(model=f"scripted:{tmp_path}/none.json"))


def recorded(trial: tf.Trial, path: Path) -> AgentSettings:
    """Write a trial's effects as `twelvefold log --jsonl` does, and name them as the model."""
    lines = [{"type": one.type, "run": one.run, "data": one.data} for one in trial.events("effect.*")]
    path.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    return AgentSettings(model=f"recorded:{path}")


def test_a_record_answers_as_it_was_answered(tmp_path: Path) -> None:
    """The same questions have the same replies, equal ones in their order, in a run that pays for nothing."""
    script = tmp_path / "script.json"
    script.write_text('["a", "b", "c"]')
    trial = tf.Trial(settings=AgentSettings(model=f"scripted:{script}"))
    assert tf.run_task(Asker(), ["same", "other", "same"], trial=trial).value == ["a", "b", "c"]
    again = tf.Trial(settings=recorded(trial, tmp_path / "events.jsonl"))
    assert tf.run_task(Asker(), ["other", "same", "same"], trial=again).value == ["b", "a", "c"]
    used = [event.data["usage"] for event in again.events("effect.completed")]
    assert used == [{"tokens_in": 0, "tokens_out": 0, "usd": 0.0}] * 3


def test_a_record_guesses_nothing(tmp_path: Path) -> None:
    """What was not asked word for word, or not so often, is a miss."""
    script = tmp_path / "script.json"
    script.write_text('["a"]')
    trial = tf.Trial(settings=AgentSettings(model=f"scripted:{script}"))
    tf.run_task(Asker(), ["same"], trial=trial)
    settings = recorded(trial, tmp_path / "events.jsonl")
    assert tf.run_task(Asker(), ["same "], settings=settings).reason == "no_such_reply"
    assert tf.run_task(Asker(), ["same", "same"], settings=settings).reason == "no_such_reply"


def test_a_recorded_failure_fails_again(tmp_path: Path) -> None:
    """A call that failed for good in the recorded run fails so in the next."""
    script = tmp_path / "script.json"
    script.write_text('[{"error": {"status": 401, "said": "no key"}}]')
    trial = tf.Trial(settings=AgentSettings(model=f"scripted:{script}"))
    assert tf.run_task(Asker(), ["same"], trial=trial).reason == "model_refused"
    outcome = tf.run_task(Asker(), ["same"], settings=recorded(trial, tmp_path / "events.jsonl"))
    assert (outcome.reason, "no key" in (outcome.message or "")) == ("model_refused", True)


def test_a_record_is_read_from_a_log(tmp_path: Path) -> None:
    """A home's log serves as the record, of all runs in it or of one; replies held as blobs are found."""

    class Long(Asker):
        def execute_task(self, task: list[str], context: tf.TaskContext) -> tf.ToolResponse:
            model = ScriptedModel(["x" * 3_000_000])
            return tf.ToolResponse.succeeded(len(ask(context, model, [Message("user", task[0])]).text))

    folder = tmp_path / "home"
    folder.mkdir()
    log = SqliteLog(folder / "log.db")
    trial = tf.Trial(tmp_path)
    trial.journal = LogJournal(log, source="trial")
    trial.journal.put_blob = BlobFiles(folder / "blobs", "writer").put  # type: ignore[method-assign]
    assert tf.run_task(Long(), ["long"], trial=trial).value == 3_000_000
    for event in log.read():
        BlobStore(folder / "blobs").admit("writer", event.payload)
    log.close()
    run = next(event.run for event in _all(folder / "log.db"))
    for name in (f"{folder / 'log.db'}", f"{folder / 'log.db'}#{run[:12]}"):
        outcome = tf.run_task(Asker(), ["long"], settings=AgentSettings(model=f"recorded:{name}"))
        assert [len(one) for one in outcome.value] == [3_000_000]
    outcome = tf.run_task(Asker(), ["long"], settings=AgentSettings(model=f"recorded:{folder / 'log.db'}#ffffffff"))
    assert outcome.reason == "no_such_reply"


def _all(path: Path) -> list[tf.Event]:
    with LogReader(path) as log:
        return log.read(type="effect.*")


def test_a_record_of_nothing_has_no_reply() -> None:
    """Without any event there is nothing to serve."""
    with pytest.raises(NoSuchReply):
        RecordedModel(recorded_replies([])).complete(ASKED)


class Plugin(llm.Model):
    """A model as a plugin of the `llm` package has it."""

    model_id = "plugged"
    supports_tools = True
    supports_schema = True

    def __init__(self, said: Any) -> None:
        self.said = said
        self.prompts: list[Any] = []

    def execute(self, prompt: Any, stream: bool, response: Any, conversation: Any) -> Iterator[str]:
        self.prompts.append(prompt)
        if isinstance(self.said, Exception):
            raise self.said
        if isinstance(self.said, dict):
            response.add_tool_call(llm.ToolCall("read_file", self.said, tool_call_id="c1"))
            return
        response.set_usage(input=4, output=2)
        yield self.said


def test_the_llm_package_serves_its_models() -> None:
    """Text, usage with its price, tool calls and a whole conversation go through the package."""
    plugin = Plugin("hello")
    model = LlmPackageModel(plugin, AgentSettings(price_in=1.0, price_out=2.0))
    said = [
        Message("system", "Be brief."),
        Message("user", "Read a."),
        Message("assistant", "", (ToolCall("c1", "read_file", {"path": "a"}),)),
        Message("tool", "text of a", tool_call_id="c1"),
    ]
    reply = model.complete(said, [TOOL])
    assert (reply.text, reply.usage) == ("hello", Usage(4, 2, 8e-6))
    sent = plugin.prompts[0]
    assert [message.role for message in sent.messages] == ["system", "user", "assistant", "tool"]
    assert [tool.name for tool in sent.tools] == ["read_file"]
    called = LlmPackageModel(Plugin({"path": "b"})).complete(said[:2], [TOOL])
    assert called.tool_calls == (ToolCall("c1", "read_file", {"path": "b"}),)


def test_an_llm_model_without_tools_is_told_of_them() -> None:
    """A plugin that knows neither tools nor schemas gets them in words, and its JSON is understood."""
    plugin = Plugin('{"tool": "read_file", "parameters": {"path": "c"}}')
    plugin.supports_tools = plugin.supports_schema = False
    said = [
        *ASKED,
        Message("assistant", "", (ToolCall("c1", "read_file", {}),)),
        Message("tool", "t", tool_call_id="c1"),
    ]
    reply = LlmPackageModel(plugin).complete(said, [TOOL], {"type": "object"})
    assert reply.tool_calls[0].arguments == {"path": "c"}
    sent = plugin.prompts[0]
    assert "read_file" in sent.messages[0].parts[0].text
    assert [message.role for message in sent.messages] == ["system", "user", "assistant", "user"]


def test_what_a_plugin_raises_is_ours() -> None:
    """A plugin may raise anything: it becomes an error with a code."""
    with pytest.raises(ModelRefused) as caught:
        LlmPackageModel(Plugin(ZeroDivisionError("oh"))).complete(ASKED)
    assert "ZeroDivisionError: oh" in caught.value.said


def test_llm_models_are_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`llm:NAME` is the package's own name; one that it doesn't know is an error."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    found = model_from(AgentSettings(model="llm:gpt-4o-mini"))
    assert found is not None
    assert found.name == "llm:gpt-4o-mini"
    with pytest.raises(ModelNotUsable):
        model_from(AgentSettings(model="llm:no-such-model"))


def test_which_model_the_settings_name() -> None:
    """None, one of a service, one of a backend; a colon in a service's model name is part of it."""
    assert model_from(AgentSettings()) is None
    url = "http://localhost:11434/v1"
    for name, expected in (("tiny", "tiny"), ("llama3:8b", "llama3:8b"), ("openai:llama3:8b", "llama3:8b")):
        found = model_from(AgentSettings(model=name, model_url=url, environ={}))
        assert isinstance(found, OpenAIStyleModel)
        assert found.name == expected
    for wrong in (AgentSettings(model="tiny"), AgentSettings(model_url=url), AgentSettings(model="nobody:x")):
        with pytest.raises(ModelNotUsable) as caught:
            model_from(wrong)
        assert "TWELVEFOLD_MODEL" in (caught.value.help() or "")


def test_the_key_comes_from_the_variable_that_is_named(service: Any) -> None:
    """The key is looked up by its variable's name; one that isn't set is told without showing that name."""
    settings = AgentSettings(model="m", model_url=service.url, model_key="MY_KEY", environ={"MY_KEY": " sk-abc \n"})
    model = model_from(settings)
    assert model is not None
    model.complete(ASKED)
    assert service.headers[0]["authorization"] == "Bearer sk-abc"
    assert "sk-abc" not in repr(settings)
    with pytest.raises(ModelNotUsable):
        model_from(AgentSettings(model="m", model_url=service.url, model_key="MY_KEY", environ={}))


def test_another_distribution_offers_a_backend(tmp_path: Path) -> None:
    """An entry point of the group `twelvefold.models` makes `NAME:REST` a model; one that fails is told."""
    (tmp_path / "their_models.py").write_text(
        "from twelvefold import ScriptedModel\n"
        "def make(settings, rest):\n"
        "    return ScriptedModel([rest.upper()], 'theirs')\n"
        "def broken(settings, rest): ...\n"
    )
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[twelvefold.models]\ntheirs = their_models:make\nbad = nowhere:none\n")
    program = (
        "from twelvefold import AgentSettings, Message, model_from\n"
        "print(model_from(AgentSettings(model='theirs:hello')).complete([Message('user', '?')]).text)\n"
        "try:\n    model_from(AgentSettings(model='bad:x'))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    first, second = done.stdout.splitlines()
    assert first == "HELLO"
    assert second.startswith("ModelNotUsable")
    assert "nowhere" in second
