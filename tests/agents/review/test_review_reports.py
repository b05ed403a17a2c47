"""Reviews for other programs: SARIF that fits the schema, and a model's view that is believed as far as it points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.agents.review.conftest import Reviewed, findings
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.review.finding import Review
from twelvefold.agents.review.sarif import sarif

SCHEMA = json.loads((Path(__file__).parent / "sarif-2.1.0-rtm.5.json").read_text())


def log_of(outcome: Any) -> dict[str, Any]:
    """The SARIF log of a review, as other programs read it, checked against the schema."""
    made = sarif(msgspec.convert(outcome.value, Review), version="1.2.3", information={"base": outcome.value["base"]})
    log: dict[str, Any] = json.loads(msgspec.json.encode(made))
    jsonschema.Draft4Validator(SCHEMA).validate(log)
    return log


def test_findings_as_sarif(reviewed: Reviewed) -> None:
    """Each has its place, level, rule and harm; names are escaped as addresses; tools have runs of their own."""
    reviewed.tool("ruff", 'echo "[]"')
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a b#%.py": "breakpoint()\n", "a.py": "x = 1  # noqa\n"})
    log = log_of(outcome)
    own, ruff = log["runs"]
    assert (own["tool"]["driver"]["name"], own["tool"]["driver"]["version"]) == ("twelvefold", "1.2.3")
    assert own["properties"]["verdict"] == "changes_requested"
    assert ruff["results"] == []
    result = own["results"][0]
    assert (result["ruleId"], result["level"]) == ("debug-leftover", "error")
    assert own["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "debug-leftover"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b%23%25.py"
    assert place["region"]["startLine"] == 1
    assert result["properties"]["confidence"] == "high"
    assert [one["level"] for one in own["results"]] == ["error", "note"]


def test_a_failed_tool_as_sarif(reviewed: Reviewed) -> None:
    """Its run and the review's own say that they did not succeed, so that no viewer takes them for clean."""
    reviewed.tool("ruff", "echo nonsense")
    log = log_of(reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"}))
    assert [run["invocations"][0]["executionSuccessful"] for run in log["runs"]] == [False, False]
    assert "can't be read" in log["runs"][1]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_the_schema_would_refuse_what_is_wrong() -> None:
    """The check itself: a log without its runs, and a line 0, don't fit."""
    good = sarif(Review(verdict="approved", reason="x"), version="1")
    for wrong in ({**good, "runs": None}, {"version": "2.1.0"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft4Validator(SCHEMA).validate(wrong)


def scripted(tmp_path: Path, *answers: str) -> AgentSettings:
    """Settings that name a model which answers from a script."""
    file = tmp_path / "script.jsonl"
    file.write_text("".join(json.dumps({"text": answer}) + "\n" for answer in answers))
    return AgentSettings(model=f"scripted:{file}")


def test_a_models_view_is_marked_and_points_at_lines(make_reviewed: Callable[..., Reviewed], tmp_path: Path) -> None:
    """What it says of a line of the change is told, weakly; what it says of anything else is dropped, and counted."""
    said = {
        "findings": [
            {"file": "a.py", "line": 2, "severity": "error", "message": "divides by zero", "harm": "it crashes"},
            {"file": "a.py", "line": 1, "severity": "error", "message": "old", "harm": "x"},
            {"file": "etc/passwd", "line": 1, "severity": "error", "message": "elsewhere", "harm": "x"},
        ]
    }
    reviewed = make_reviewed(scripted(tmp_path, json.dumps(said)))
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 1\ny = x / 0\n"})
    found = [one for one in findings(outcome) if one["rule"] == "model"]
    assert [(one["line"], one["severity"], one["confidence"], one["message"]) for one in found] == [
        (2, "error", "low", "divides by zero")
    ]
    assert found[0]["tool"].startswith("model:")
    assert outcome.value["verdict"] == "approved", "a model's word alone refuses nothing"
    (tool,) = [one for one in outcome.value["tools"] if one["advisory"]]
    assert "2 of what it said" in tool["reason"]


def test_a_model_that_fails_takes_nothing_away(make_reviewed: Callable[..., Reviewed], tmp_path: Path) -> None:
    """Its answers can't be read: that is told, and the rest of the review stands."""
    reviewed = make_reviewed(scripted(tmp_path, "I think it is fine!", "Really."))
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    (tool,) = outcome.value["tools"]
    assert (tool["status"], tool["advisory"]) == ("failed", True)
    assert outcome.value["verdict"] == "approved"


def test_a_model_is_shown_no_secret(make_reviewed: Callable[..., Reviewed], tmp_path: Path) -> None:
    """A secret that was found is not sent to anybody."""
    secret = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5k"
    reviewed = make_reviewed(scripted(tmp_path, '{"findings": []}'))
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": f"x = 1\nKEY = '{secret}'\n"})
    assert outcome.value["verdict"] == "changes_requested"
    asked = [event for event in reviewed.trial.events("effect.*") if '"model"' in event.payload]
    assert asked
    assert all(secret not in event.payload for event in reviewed.trial.events())
