"""What agents are told: by the environment, by a project's files, and by the run that they work for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import twelvefold as tf
from twelvefold.agent_environment import agent_environment, agent_settings_of, pinned
from twelvefold.agents.agent_settings import AgentSettings, agent_settings, pins, settings_of_run
from twelvefold.agents.errors import AgentSettingInvalid
from twelvefold.errors import SettingInvalid
from twelvefold.settings import load_settings

GIVEN = {
    "TWELVEFOLD_MODEL_URL": "http://localhost:1/v1",
    "TWELVEFOLD_MODEL": "tiny",
    "TWELVEFOLD_MODEL_KEY": "THE_KEY",
    "TWELVEFOLD_MODEL_TIMEOUT_S": "5",
    "TWELVEFOLD_MODEL_CONTEXT": "4000",
    "TWELVEFOLD_MODEL_PRICE": "0.5,1.5",
    "TWELVEFOLD_FIXER_COMMAND": "claude -p",
    "TWELVEFOLD_FIXER_TIMEOUT_S": "60",
    "THE_KEY": "sk-secret",
}


def test_the_environment_and_the_settings_say_the_same(tmp_path: Path) -> None:
    """An agent that reads its environment is told what the command line works out."""
    prompts = tmp_path / "prompts"
    environ = {**GIVEN, "TWELVEFOLD_PROMPTS": str(prompts), "TWELVEFOLD_HOME": str(tmp_path)}
    read = agent_settings(environ)
    assert read == agent_settings_of(load_settings(environ, tmp_path), environ)
    assert (read.price_in, read.price_out, read.model_context, read.prompts) == (0.5, 1.5, 4000, (prompts,))
    assert "sk-secret" not in repr(read)


def test_paths_count_from_where_they_are_said(tmp_path: Path) -> None:
    """A relative prompt folder or script is found by agents that start elsewhere; one in `.env` counts from there."""
    (tmp_path / ".twelvefold").mkdir()
    (tmp_path / "deep").mkdir()
    (tmp_path / ".env").write_text("TWELVEFOLD_PROMPTS=words\nTWELVEFOLD_MODEL=scripted:script.json\nTHE_KEY=sk-1\n")
    told = agent_environment(load_settings({}, tmp_path / "deep"), {"OWN": "1"})
    assert told["TWELVEFOLD_PROMPTS"] == str(tmp_path / "words")
    assert told["TWELVEFOLD_MODEL"] == f"scripted:{tmp_path / 'script.json'}"
    assert (told["THE_KEY"], told["OWN"]) == ("sk-1", "1")
    told = agent_environment(load_settings({"TWELVEFOLD_MODEL": "recorded:r.jsonl"}, tmp_path / "deep"), {})
    assert told["TWELVEFOLD_MODEL"] == f"recorded:{tmp_path / 'deep' / 'r.jsonl'}"


def test_the_projects_prompts_are_found(tmp_path: Path) -> None:
    """A project has its own prompts without a setting; a folder that is none has not."""
    assert load_settings({}, tmp_path).prompts == ()
    (tmp_path / "Procfile").write_text("")
    assert load_settings({}, tmp_path).prompts == (tmp_path / "prompts",)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TWELVEFOLD_MODEL_URL", "localhost:11434"),
        ("TWELVEFOLD_MODEL_URL", "ftp://host/v1"),
        ("TWELVEFOLD_MODEL_URL", "http://host:port/v1"),
        ("TWELVEFOLD_MODEL_KEY", "sk-abcdef"),
        ("TWELVEFOLD_MODEL_PRICE", "1"),
        ("TWELVEFOLD_MODEL_PRICE", "1,-1"),
        ("TWELVEFOLD_MODEL_CONTEXT", "100"),
        ("TWELVEFOLD_MODEL_TIMEOUT_S", "0"),
        ("TWELVEFOLD_SANDBOX", "maybe"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, variable: str, text: str) -> None:
    """By the command line and by an agent alike; a key in place of its variable's name isn't shown."""
    with pytest.raises(SettingInvalid) as caught:
        load_settings({variable: text}, tmp_path)
    with pytest.raises(AgentSettingInvalid) as other:
        agent_settings({variable: text})
    for error in (caught.value, other.value):
        assert variable in error.message()
        assert "sk-abcdef" not in error.message()


def test_a_runs_settings_come_before_the_processs(tmp_path: Path) -> None:
    """What the one who asked for a run was told counts in its tasks, and leaves the rest as it was."""
    trial = tf.Trial(settings=AgentSettings(model="old", sandbox="off", environ={"K": "v"}))
    said = pins(AgentSettings(model="new", fixer_command="fix", prompts=(tmp_path,)))
    data = {"caller": {"settings": said}}
    run = "0a" * 16
    trial.journal.append([tf.NewEvent("run.requested", data, stream=f"run.{run}", run=run)])
    found = settings_of_run(trial.settings, trial.journal, run)
    assert (found.model, found.fixer_command, found.prompts) == ("new", "fix", (tmp_path,))
    assert (found.sandbox, found.environ) == ("off", {"K": "v"})
    assert settings_of_run(trial.settings, trial.journal, "0b" * 16) == trial.settings


def test_a_run_records_no_password(tmp_path: Path) -> None:
    """A URL with a password in it isn't written into the log."""
    environ = {**GIVEN, "TWELVEFOLD_MODEL_URL": "http://me:pass@host/v1", "TWELVEFOLD_HOME": str(tmp_path / "home")}
    said = pinned(load_settings(environ, tmp_path))
    assert "pass" not in repr(said)
    assert "sk-secret" not in repr(said)
    assert said["model_key"] == "THE_KEY"


def test_an_agent_carries_nothing_of_models_until_it_needs_one() -> None:
    """Clients, schemas and YAML are imported when a model is called, and not by every agent."""
    program = (
        "import sys\nimport twelvefold.agents.process, twelvefold.agents.fixer\n"
        "heavy = {'httpx', 'httpx_sse', 'tenacity', 'jsonschema', 'yaml', 'llm'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
