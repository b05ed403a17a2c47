"""The guide to traces: its agent is run, its variables are those that are read, its commands exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import twelvefold as tf
from twelvefold.projections.traceparent import parse_traceparent
from twelvefold.tracing import settings

GUIDE = Path(__file__).parents[3] / "docs" / "traces.md"


def blocks() -> dict[str, str]:
    """The guide's code blocks by the name that stands beside the language."""
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return {name: text for _, name, text in found}


def test_every_block_is_run_somewhere() -> None:
    """Those for a shell are run by tests/e2e/test_trace_export.py, on a home with runs."""
    assert len(re.findall(r"^```\w", GUIDE.read_text(), re.MULTILINE)) == len(blocks())
    assert set(blocks()) == {"look.sh", "export.sh", "live.sh", "ordering.py"}


def test_the_guide_s_agent_hands_on_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called outside of an effect, it is the task's own place."""
    module = ModuleType("ordering")
    monkeypatch.setitem(sys.modules, "ordering", module)
    exec(blocks()["ordering.py"], vars(module))
    outcome = tf.run_task(module.Ordering(), {"n": 1}, trial=tf.Trial(tmp_path))
    assert outcome.outcome == "succeeded"
    assert parse_traceparent(outcome.value["sent"]["traceparent"]) is not None


def test_the_guide_names_each_variable_that_is_read_and_no_other() -> None:
    """Ours stand in our source, the exporter's own in its."""
    from opentelemetry.sdk import environment_variables as known

    named = set(re.findall(r"`(OTEL_[A-Z_]+)[`=]", GUIDE.read_text()))
    ours = set(re.findall(r'"(OTEL_[A-Z_]+)"', Path(settings.__file__).read_text()))
    assert ours <= named
    assert named <= ours | set(vars(known))
