"""A real model, small and slow, behind an OpenAI-style endpoint: it proves the plumbing, not wisdom.

Run by `scripts/test --model`, which installs the model and what runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

import twelvefold as tf
from twelvefold.agents.models.openai_style import OpenAIStyleModel

from ..conftest import eventually

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

PROGRAM = Path(__file__).with_name("small_service.py")
#: Where `scripts/test --model` puts the model and what runs it.
INSTALLED = Path(sys.prefix) / "model"


class Size(msgspec.Struct):
    """What the model is asked for."""

    animal: Annotated[str, msgspec.Meta(max_length=12)]
    legs: Annotated[int, msgspec.Meta(ge=0, le=99)]


class Served:
    """The service: where it is, what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.requests = folder / "requests.jsonl"
        place, said = folder / "url", folder / "said.txt"
        with said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.requests), str(place)],
                env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(INSTALLED)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: place.exists() or self.process.poll() is not None, 600)
        assert place.exists(), said.read_text()
        self.url = place.read_text()

    @property
    def asked(self) -> list[dict[str, Any]]:
        lines = self.requests.read_text().splitlines() if self.requests.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def settings(self) -> tf.AgentSettings:
        return tf.AgentSettings(model="smollm2", model_url=self.url, model_timeout_s=900, price_in=1.0, price_out=2.0)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service with the model loaded."""
    made = Served(tmp_path_factory.mktemp("model"))
    yield made
    made.close()


class Zoologist(tf.BaseAgent):
    """Asks for a size, as a structure, and for a word, as a text."""

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        model = tf.model_from(context.settings)
        assert model is not None
        question = f"How many legs has a {task}? Answer as JSON with animal and legs."
        size = tf.ask_model(context, model, [tf.Message("user", question)], result=Size)
        word = tf.ask_model(context, model, [tf.Message("user", f"Say one word about a {task}.")])
        return tf.ToolResponse.succeeded({"size": size.value, "word": word.text, "calls": size.calls})


def test_a_schema_holds_what_the_model_answers(served: Served) -> None:
    """The answer is of the type that was asked for, by the service's own schema; usage and price are in the events."""
    trial = tf.Trial(settings=served.settings)
    outcome = tf.run_task(Zoologist(), "dog", trial=trial)
    assert outcome.outcome == "succeeded", outcome
    size = msgspec.convert(outcome.value["size"], Size)
    assert 0 <= size.legs <= 99
    assert outcome.value["word"].strip()
    calls = [event.data for event in trial.events("effect.completed") if event.data["kind"] == "model"]
    assert len(calls) == outcome.value["calls"] + 1
    for one in calls:
        used = one["usage"]
        assert used["tokens_in"] > 5
        assert used["tokens_out"] > 0
        assert used["usd"] == pytest.approx((used["tokens_in"] + 2 * used["tokens_out"]) / 1e6)
    assert served.asked[-2]["response_format"]["type"] == "json_schema"


def test_a_stream_says_what_the_whole_says(served: Served) -> None:
    """The same question, streamed and not, has the same answer and usage: the model draws no lots."""
    streaming = OpenAIStyleModel(served.url, "smollm2", timeout_s=900)
    whole = OpenAIStyleModel(served.url, "smollm2", timeout_s=900)
    whole._without.add("stream")
    asked = [tf.Message("user", "Name a colour.")]
    one, other = streaming.complete(asked), whole.complete(asked)
    assert [entry["stream"] for entry in served.asked[-2:]] == [True, False]
    assert one.text == other.text
    assert one.text.strip()
    assert one.usage.tokens_out == other.usage.tokens_out


def test_a_run_is_replayed_without_the_model(served: Served, tmp_path: Path) -> None:
    """From the record the same task comes to the same end, and the service hears nothing."""
    trial = tf.Trial(settings=served.settings)
    first = tf.run_task(Zoologist(), "cat", trial=trial)
    record = tmp_path / "events.jsonl"
    lines = [{"type": one.type, "run": one.run, "data": one.data} for one in trial.events("effect.*")]
    record.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    assert first.outcome == "succeeded", first
    before = len(served.asked)
    again = tf.run_task(Zoologist(), "cat", settings=tf.AgentSettings(model=f"recorded:{record}"))
    assert again.value == first.value
    missed = tf.run_task(Zoologist(), "bird", settings=tf.AgentSettings(model=f"recorded:{record}"))
    assert missed.reason == "no_such_reply"
    assert len(served.asked) == before


def test_a_budget_ends_what_the_model_spends(served: Served, own_home: Any, tmp_path: Path) -> None:
    """Real tokens of a real model end a run over real processes as failed, reason budget."""
    (tmp_path / "zoo.py").write_text(
        "import twelvefold as tf\n\n\n"
        "class Talker(tf.BaseAgent):\n"
        "    def execute_task(self, task: int, context: tf.TaskContext) -> tf.ToolResponse:\n"
        "        model = tf.model_from(context.settings)\n"
        "        for n in range(task):\n"
        "            tf.ask_model(context, model, [tf.Message('user', f'Count to {n}.')])\n"
        "        return tf.ToolResponse.succeeded('said all')\n"
    )
    (tmp_path / "Procfile").write_text("talker: twelvefold agent zoo:Talker\n")
    (tmp_path / ".env").write_text(
        f"TWELVEFOLD_MODEL_URL={served.url}\nTWELVEFOLD_MODEL=smollm2\nTWELVEFOLD_MODEL_TIMEOUT_S=900\n"
    )
    (tmp_path / "plan.json").write_text(json.dumps({"pattern": "task", "agent": "talker", "input": 20}))
    assert own_home("up", "-d", "--wait", cwd=tmp_path).status == 0
    before = len(served.asked)
    process = own_home.start("run", "plan.json", "--json", "--budget", "tokens=60", cwd=tmp_path)
    out, err = process.communicate(timeout=1500)
    document = json.loads(out)
    assert (process.returncode, document["outcome"], document["reason"]) == (1, "failed", "budget"), err
    assert document["cost"]["tokens_in"] + document["cost"]["tokens_out"] > 60
    assert 1 <= len(served.asked) - before < 20
