"""The guides to models and prompts: every named block of them is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twelvefold.agents.models.scripted import ScriptedModel
from twelvefold.agents.prompt import PACKAGED
from twelvefold.setting import AGENT_SETTINGS

DOCS = Path(__file__).parents[2] / "docs"


def blocks(guide: str) -> dict[str, str]:
    """Return a guide's code blocks by the name that stands beside the language."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", (DOCS / guide).read_text(), re.MULTILINE | re.DOTALL)
    return dict(found)


def saved(guide: str, folder: Path) -> list[str]:
    """Save a guide's blocks under their names, which are returned."""
    found = blocks(guide)
    for name, text in found.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return list(found)


@pytest.mark.parametrize("guide", ["models.md", "prompts.md"])
def test_the_programs_run(guide: str, tmp_path: Path) -> None:
    """Each program does what the guide says, its asserts included; tests are run as tests."""
    names = [name for name in saved(guide, tmp_path) if name.endswith(".py")]
    assert len(names) >= 1
    for name in names:
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if name.startswith("test_") else []
        done = subprocess.run(
            [sys.executable, *command, name],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_is_one() -> None:
    """The guide's script can be read as it stands."""
    assert len(ScriptedModel(json.loads(blocks("models.md")["script.json"])).lines) == 4


def test_no_block_without_a_name_escapes() -> None:
    """Blocks without a name are a few shell lines and the entry point; all else is run."""
    for guide, unnamed in (("models.md", ["sh", "toml"]), ("prompts.md", [])):
        assert re.findall(r"^```(\w+)$", (DOCS / guide).read_text(), re.MULTILINE) == unnamed


def test_settings_and_prompts_are_all_told_of() -> None:
    """Every setting of models and every packaged prompt stands in its guide."""
    models, prompts = (DOCS / "models.md").read_text(), (DOCS / "prompts.md").read_text()
    for setting in AGENT_SETTINGS:
        if setting.field.startswith("model"):
            assert f"`{setting.variable}`" in models
    for file in PACKAGED.glob("*.md"):
        assert f"`{file.stem}`" in prompts
