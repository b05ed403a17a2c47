"""Which agents a Procfile has, and where each is imported from, as a replay has to find them."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelvefold.todays_agents import todays_agents


@pytest.mark.parametrize(
    ("command", "folder", "queue"),
    [
        ("twelvefold agent inner:InnerAgent", ".", "inner"),
        ("twelvefold agent inner:Inner --folder sub --name queue", "sub", "queue"),
        ("cd sub && twelvefold agent inner:Inner", "sub", "inner"),
        ("cd 'sub' && cd deep; exec ../.venv/bin/twelvefold agent inner:Inner --folder=x", "sub/deep/x", "inner"),
        ("echo cd sub && WORD=1 twelvefold agent inner:Inner && cd sub", ".", "inner"),
    ],
)
def test_an_agent_is_imported_from_where_its_line_goes(tmp_path: Path, command: str, folder: str, queue: str) -> None:
    """The Procfile's own folder, and what the line says before and behind."""
    (tmp_path / "Procfile").write_text(f"line: {command}\n")
    (line,) = todays_agents(tmp_path).lines
    assert (line.target.rpartition(":")[0], line.folder, line.queue) == ("inner", tmp_path / folder, queue)
