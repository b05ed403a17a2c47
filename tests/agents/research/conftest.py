"""Two small projects with things to find, and research on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from tests.e2e.conftest import git, make_repo
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.research_agent import ResearchAgent
from twelvefold.agents.turn import TaskOutcome

MAIL = {
    "README.md": (
        "# Mail\n\nSends letters.\n\n## Installation\n\nRun `pip install mail-sender`.\n\n"
        "## Limits\n\nA letter may have at most ten attachments, and none above 5 MB.\n"
    ),
    "mail/__init__.py": "",
    "mail/outbox.py": (
        '"""The outbox."""\n\nATTEMPTS_MAX = 7\n\n\nclass Outbox:\n    """Letters that wait to be sent."""\n\n'
        "    def __init__(self, folder):\n        self.folder = folder\n\n"
        '    def enqueue(self, letter):\n        """Put a letter behind all others."""\n        self._write(letter)\n\n'
        "    def retry_delay(self, attempt):\n"
        '        """How long to wait before the next attempt: doubles each time."""\n'
        "        return min(2**attempt, 300)\n"
    ),
    "mail/address.py": (
        '"""Addresses."""\n\nimport re\n\n\ndef is_valid_address(text):\n    """Tell whether a text is an address."""\n'
        '    return re.fullmatch(r"[^@]+@[^@]+", text) is not None\n'
    ),
    "tests/test_outbox.py": (
        "from mail.outbox import Outbox\n\n\ndef test_retry_delay_doubles():\n"
        "    assert Outbox('x').retry_delay(3) == 8\n"
    ),
    "logo.png": "\x00PNG",
}
SITE = {
    "src/session.js": (
        "// Sessions of visitors.\nconst SESSION_MINUTES = 30;\n\nfunction isExpired(session, now) {\n"
        "  return now - session.seen > SESSION_MINUTES * 60 * 1000;\n}\n\nmodule.exports = { isExpired };\n"
    ),
    "src/cart.go": (
        "package shop\n\n// Total adds up the prices of a cart, with the discount for members.\n"
        "func (c *Cart) Total(member bool) int {\n"
        "\tsum := 0\n\tfor _, item := range c.Items {\n\t\tsum += item.Price\n\t}\n"
        "\tif member {\n\t\treturn sum * 9 / 10\n\t}\n\treturn sum\n}\n"
    ),
    "docs/privacy.rst": "Privacy\n=======\n\nCookies\n-------\n\nNo cookie is kept longer than a month.\n",
    "LICENSE": "MIT License\n\nPermission is hereby granted, free of charge.\n",
}


@pytest.fixture
def projects(tmp_path: Path) -> dict[str, Path]:
    """The two, each with a history of two commits."""
    made = {"mail": make_repo(tmp_path / "side" / "mail", MAIL), "site": make_repo(tmp_path / "side" / "site", SITE)}
    outbox = made["mail"] / "mail/outbox.py"
    outbox.write_text(outbox.read_text().replace("2**attempt, 300", "2**attempt, 600"))
    git(made["mail"], "commit", "--quiet", "-am", "Wait longer between attempts\n\nThe relay of the town is slow.")
    return made


Ask = Callable[..., TaskOutcome]


@pytest.fixture
def ask(projects: dict[str, Path], tmp_path: Path) -> Ask:
    """Ask a question about both, as a task; `model` is what a scripted model says, `repos` other ones."""

    def doing(question: str, *, model: Any = None, trial: tf.Trial | None = None, **more: Any) -> TaskOutcome:
        settings = AgentSettings()
        if model is not None:
            script = tmp_path / "script.json"
            script.write_text(json.dumps(model))
            settings = AgentSettings(model=f"scripted:{script}")
        task = {"question": question, "repos": [str(path) for path in projects.values()], **more}
        return tf.run_task(ResearchAgent(), task, trial=trial or tf.Trial(tmp_path / "home", settings))

    return doing
