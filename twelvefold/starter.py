"""The first project that `init` writes: a Procfile, one agent with its test, and what belongs around them.

Owns the texts and the rule that nothing is overwritten: a file that exists is kept, `.gitignore` only grows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from .errors import FolderUnusable
from .home import FOLDER_NAME, make_home
from .settings import SETTINGS

Action = Literal["created", "kept", "extended"]

PROCFILE = """\
# Each line is a process: `name: command`. `twelvefold up` starts all of them, and the bus and the orchestrator too.
echo: twelvefold agent my_agents:Echo

# The agents that `twelvefold run ISSUE.md` needs: one plans the work, the others fix, test, review and publish.
smart_issue: twelvefold agent twelvefold.agents.smart_issue:SmartIssueAgent
fixer: twelvefold agent twelvefold.agents.fixer:IssueFixerAgent
testing: twelvefold agent twelvefold.agents.testing:TestingAgent
review: twelvefold agent twelvefold.agents.pr_review:PRReviewAgent
publisher: twelvefold agent twelvefold.agents.publisher:PublisherAgent
# Two more that come with it: `twelvefold run --agent intelligent_issue ISSUE.md`, `twelvefold research QUESTION`.
# intelligent_issue: twelvefold agent twelvefold.agents.intelligent_issue:IntelligentIssueAgent
# research: twelvefold agent twelvefold.agents.research_agent:ResearchAgent
"""

PROCFILE_OPTIONS = """\
# How the processes of the Procfile are run; a line without a table here has the defaults. Check it: twelvefold check
[echo]
quantity = 1            # instances; `twelvefold up -c echo=5` or `twelvefold scale echo=5` overrides it
restart = "always"      # or "on-failure", "never"
stop_timeout_s = 5      # from TERM to KILL
memory = "1GB"          # of it and all that it starts: over it they end, and `process.exited` says why; also
                        # processes, cpu_seconds, open_files, cpus, nice (see `twelvefold explain E302`)
"""

AGENT = '''\
"""The agents of this project: each is a class, and a line of the Procfile runs it."""

import twelvefold as tf


class Echo(tf.BaseAgent):
    """Answers with what it was asked."""

    def execute_task(self, task: str) -> tf.ToolResponse:
        """Do one task; what is raised here makes the task failed, it is never swallowed."""
        return tf.ToolResponse(success=True, data=task)
'''

AGENT_TEST = '''\
"""The test of the first agent: one task, done in this process, without a bus.

Run it: python -m pip install pytest && python -m pytest
"""

from pathlib import Path

import twelvefold as tf
from my_agents import Echo


def test_echo_answers_with_what_it_was_asked(tmp_path: Path) -> None:
    """A task's value is what was asked, and something proves it."""
    outcome = tf.run_task(Echo(), "hello", trial=tf.Trial(tmp_path))
    assert outcome.outcome == "succeeded"
    assert outcome.value == "hello"
    assert outcome.evidence
'''

PROMPTS = """\
# Prompts

One Markdown file for each prompt, kept in git beside the agents that use it, so that a change of words is a commit
like any other. Its front matter declares its variables. A file here stands in the place of the packaged prompt of the
same name, such as `fixer.md`, `review.md` or `repair.md`.
"""

IGNORED = (".env", f"{FOLDER_NAME}/")


class Written(msgspec.Struct, frozen=True):
    """One file of the project, and what became of it."""

    path: str
    action: Action


def env_example() -> str:
    """Return the text of `.env.example`: every setting with its default, commented out."""
    lines = [
        "# Copy this to `.env` (which git ignores) and take away the `#` of what you change. Processes get all of it."
    ]
    for setting in SETTINGS:
        lines += ["", f"# {setting.doc[:1].upper()}{setting.doc[1:]}.", f"#{setting.variable}={setting.default}"]
    return "\n".join(lines) + "\n"


def write_starter(folder: Path) -> list[Written]:
    """Write the first project and its home into a folder, made where there is none; raises FolderUnusable."""
    texts = {
        "Procfile": PROCFILE,
        "Procfile.options": PROCFILE_OPTIONS,
        ".env.example": env_example(),
        "my_agents.py": AGENT,
        "test_my_agents.py": AGENT_TEST,
        "prompts/README.md": PROMPTS,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [_write_new(folder, name, text) for name, text in texts.items()]
        written.append(_extend_ignored(folder))
    except OSError as error:
        raise FolderUnusable(str(folder), error.strerror or str(error)) from error
    existed = (folder / FOLDER_NAME).is_dir()
    make_home(folder / FOLDER_NAME)
    written.append(Written(f"{FOLDER_NAME}/", "kept" if existed else "created"))
    return written


def _write_new(folder: Path, name: str, text: str) -> Written:
    """Write a file unless it exists; two `init` at once cannot overwrite each other's either."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return Written(name, "kept")
    return Written(name, "created")


def _extend_ignored(folder: Path) -> Written:
    """Add the lines to `.gitignore` that it lacks."""
    path = folder / ".gitignore"
    existed = path.exists()
    text = path.read_text(encoding="utf-8") if existed else ""
    missing = [line for line in IGNORED if line not in text.splitlines()]
    if not missing:
        return Written(".gitignore", "kept")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(("\n" if text and not text.endswith("\n") else "") + "\n".join(missing) + "\n")
    return Written(".gitignore", "extended" if existed else "created")
