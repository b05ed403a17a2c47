"""Analyzers in a review: only what the change brings counts, and one that fails is not taken for one that agrees."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents.review.conftest import Reviewed, findings, picture
from twelvefold.agents.sandbox.confine import available

BIN = Path(sys.executable).parent
OLD = "import os\n\n\ndef area(w, h):\n    return w * hh\n"


def real(reviewed: Reviewed, *names: str) -> None:
    for name in names:
        (reviewed.tools / name).symlink_to(BIN / name)


def status(outcome: Any) -> dict[str, tuple[str, str | None]]:
    return {tool["name"]: (tool["status"], tool["reason"]) for tool in outcome.value["tools"]}


def test_ruff_says_only_what_the_change_brings(reviewed: Reviewed) -> None:
    """Old findings are left out although they moved; a new undefined name refuses the change; its version is told."""
    real(reviewed, "ruff")
    outcome = reviewed.review(
        {"a.py": OLD}, {"a.py": '"""Areas."""\n\n' + OLD + "\n\ndef half(a):\n    return aa / 2\n"}
    )
    found = [one for one in findings(outcome) if one["tool"] == "ruff"]
    assert [(one["rule"], one["line"], one["severity"], one["confidence"]) for one in found] == [
        ("F821", 11, "error", "high")
    ]
    assert (outcome.outcome, outcome.reason) == ("failed", "changes_requested")
    (tool,) = outcome.value["tools"]
    assert (tool["name"], tool["status"]) == ("ruff", "ok")
    assert tool["version"][0].isdigit()
    assert tool["contained"] is available().contained


def test_what_a_change_breaks_elsewhere_counts_too(reviewed: Reviewed) -> None:
    """A name that is no longer imported is undefined on lines that didn't change."""
    real(reviewed, "ruff")
    before = "import os\n\n\ndef here():\n    return os.getcwd()\n"
    outcome = reviewed.review(
        {"a.py": before}, {"a.py": before.replace("import os\n", "import sys\n\nprint(sys.path)\n")}
    )
    (found,) = [one for one in findings(outcome) if one["rule"] == "F821"]
    assert "didn't change" in found["message"]
    assert outcome.value["verdict"] == "changes_requested"


def test_a_renamed_file_brings_nothing_new(reviewed: Reviewed) -> None:
    """Findings move with their file."""
    real(reviewed, "ruff")
    base = reviewed.commit({"a.py": OLD})
    reviewed.git("mv", "a.py", "b.py")
    outcome = reviewed.task(base=base, commit=reviewed.commit({}))
    assert findings(outcome) == []
    assert outcome.value["verdict"] == "approved"


def test_the_projects_own_rules_are_honoured(reviewed: Reviewed) -> None:
    """With a configuration, ruff judges by that; a matter of style refuses nothing."""
    real(reviewed, "ruff")
    config = '[tool.ruff.lint]\nselect = ["T20"]\n'
    outcome = reviewed.review({"a.py": "x = 1\n", "pyproject.toml": config}, {"a.py": "x = y\nprint(x)\n"})
    assert [one["rule"] for one in findings(outcome) if one["tool"] == "ruff"] == ["T201"]
    assert outcome.value["verdict"] == "approved"


def test_mypy_runs_where_the_project_has_settings_for_it(reviewed: Reviewed) -> None:
    """Without settings it is skipped; with them a new contradiction is told, and an old one isn't."""
    real(reviewed, "mypy")
    before = "def size(text: str) -> int:\n    return text\n"
    after = before + "\n\nwrong: int = size(3)\n"
    assert status(reviewed.review({"a.py": before}, {"a.py": after}))["mypy"][0] == "skipped"
    reviewed.commit({"a.py": before})
    outcome = reviewed.review({"mypy.ini": "[mypy]\n", "a.py": before}, {"a.py": after})
    assert [(one["rule"], one["line"]) for one in findings(outcome) if one["tool"] == "mypy"] == [("arg-type", 5)]
    assert outcome.value["verdict"] == "approved", "another environment's mypy isn't sure enough"


def test_the_projects_own_mypy_that_was_content_is_believed(reviewed: Reviewed) -> None:
    """From the project's environment, with nothing said before the change, its error refuses the change."""
    own = reviewed.repo / ".venv" / "bin"
    own.mkdir(parents=True)
    (own.parent / "pyvenv.cfg").write_text("")
    (own / "python").symlink_to(sys.executable)
    (own / "mypy").symlink_to(BIN / "mypy")
    files = {
        ".gitignore": ".venv\n",
        "mypy.ini": "[mypy]\n",
        "a.py": "def size(text: str) -> int:\n    return len(text)\n",
    }
    outcome = reviewed.review(files, {"a.py": files["a.py"] + "\n\nsize(3)\n"})
    assert [(one["rule"], one["confidence"]) for one in findings(outcome) if one["tool"] == "mypy"] == [
        ("arg-type", "high")
    ]
    assert outcome.value["verdict"] == "changes_requested"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'not JSON at all'", "can't be read"),
        ("echo '[{\"filename\": 3}]'", "can't be read"),
        ("exit 0", "answered nothing"),
        ("echo '[]'; exit 1", "named nothing"),
        ("echo 'ruff: cannot parse config' >&2; exit 2", "cannot parse config"),
        ("kill -SEGV $$", "signal 11"),
        ("echo '[]'; kill -KILL $$", "signal 9"),
    ],
)
def test_an_analyzer_that_fails_is_no_approval(reviewed: Reviewed, script: str, told: str) -> None:
    """It crashed, or said what nobody can read: the change counts as unreviewed, and the tool is named."""
    reviewed.tool("ruff", f'[ "$1" = --version ] && echo "ruff 9.9.9" && exit 0\n{script}')
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    state, reason = status(outcome)["ruff"]
    assert state == "failed"
    assert told in (reason or "")
    assert (outcome.outcome, outcome.reason, outcome.value["verdict"]) == ("needs_human", "unreviewed", "unreviewed")
    assert outcome.value["tools"][0]["version"] == "9.9.9"


@pytest.mark.parametrize("own", [False, True])
def test_a_tool_from_elsewhere_may_not_fit_the_projects_settings(reviewed: Reviewed, own: bool) -> None:
    """One of the caller's that lacks the project's plugins is skipped, which is told; the project's own has failed."""
    refusing = reviewed.tool("eslint", "echo 'Cannot find package eslint-plugin-x' >&2; exit 2")
    if own:
        (reviewed.repo / "node_modules/.bin").mkdir(parents=True)
        refusing.rename(reviewed.repo / "node_modules/.bin/eslint")
    settings = {"eslint.config.js": "export default []\n", ".gitignore": "node_modules\n"}
    outcome = reviewed.review({**settings, "a.js": "a()\n"}, {"a.js": "b()\n"})
    state, reason = status(outcome)["eslint"]
    assert "Cannot find package" in (reason or "")
    assert (state, outcome.value["verdict"]) == (("failed", "unreviewed") if own else ("skipped", "approved"))


def test_an_analyzer_that_hangs_is_ended_and_told(reviewed: Reviewed) -> None:
    """It has a bounded time, and what it took is no approval."""
    reviewed.tool("ruff", '[ "$1" = --version ] && exit 0\nsleep 1000')
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"}, timeout_s=1.5)
    assert "had not ended" in (status(outcome)["ruff"][1] or "")
    assert outcome.value["verdict"] == "unreviewed"


def test_a_sure_finding_counts_although_a_tool_failed(reviewed: Reviewed) -> None:
    """What is known to be wrong asks for changes, whatever else could not be looked at."""
    reviewed.tool("ruff", "exit 3")
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "breakpoint()\n"})
    assert outcome.value["verdict"] == "changes_requested"


def test_a_person_may_accept_what_could_not_be_reviewed(reviewed: Reviewed) -> None:
    """With the answer `accept` the task succeeds, and still says that it is unreviewed."""
    reviewed.tool("ruff", "exit 3")
    base, commit = reviewed.commit({"a.py": "x = 1\n"}), reviewed.commit({"a.py": "x = 2\n"})
    asked = reviewed.task(base=base, commit=commit)
    outcome = reviewed.task(base=base, commit=commit, answers=[(asked.message, "accept")])
    assert (outcome.outcome, outcome.value["verdict"]) == ("succeeded", "unreviewed")


@pytest.mark.skipif(not available().contained, reason="this kernel can't contain processes")
def test_an_analyzer_writes_nowhere(reviewed: Reviewed, tmp_path: Path) -> None:
    """Neither the user's repository nor the workspace nor any other folder, and it sees no variable of the caller's."""
    reviewed.tool(
        "ruff",
        f'echo bad > {reviewed.repo}/a.py\necho bad > a.py\ntouch {tmp_path}/escaped\ntouch "$HOME/own"\n'
        'env | grep -i secret && exit 5\necho "[]"',
    )
    outside = picture(tmp_path / "user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_SECRET", "x")
        outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    assert outcome.value["verdict"] == "approved", outcome.value["tools"]
    assert not (tmp_path / "escaped").exists()
    assert outside.keys() <= picture(tmp_path / "user").keys()


def test_a_tool_of_the_change_itself_is_never_run(reviewed: Reviewed, tmp_path: Path) -> None:
    """A program that the change brings under a tool's name is not taken for the tool."""
    marker = tmp_path / "ran"
    script = f"#!/bin/sh\ntouch {marker}\necho '[]'\n"
    base = reviewed.commit({"a.py": "x = 1\n"})
    for name in ("ruff", "bin/ruff", ".venv/bin/ruff", "node_modules/.bin/ruff"):
        file = reviewed.repo / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script)
        file.chmod(0o755)
    reviewed.git("add", "-A", "-f")
    commit = reviewed.commit({"a.py": "x = 2\n"})
    reviewed.git("checkout", "-q", base)
    outcome = reviewed.task(base=base, commit=commit, path=f".:bin:{reviewed.path()}")
    assert outcome.value["tools"] == []
    assert not marker.exists()


BANDIT = {
    "errors": [],
    "results": [
        {
            "filename": "./a.py",
            "line_number": 2,
            "line_range": [2],
            "issue_severity": "HIGH",
            "issue_confidence": "HIGH",
            "issue_text": "subprocess call with shell=True identified, security issue.",
            "test_id": "B602",
            "code": "x",
        },
        {
            "filename": "./a.py",
            "line_number": 1,
            "line_range": [1],
            "issue_severity": "LOW",
            "issue_confidence": "MEDIUM",
            "issue_text": "Possible hardcoded password: 'hunter2hunter2'",
            "test_id": "B105",
            "code": "x",
        },
    ],
}
ESLINT = [
    {
        "filePath": "{root}/a.js",
        "messages": [
            {
                "ruleId": "no-undef",
                "severity": 2,
                "message": "'b' is not defined.",
                "line": 2,
                "column": 1,
                "endLine": 2,
            },
            {"ruleId": None, "severity": 1, "message": "File ignored because of a matching ignore pattern."},
        ],
        "errorCount": 1,
    }
]
SHELLCHECK = {
    "comments": [
        {
            "file": "a.sh",
            "line": 2,
            "endLine": 2,
            "column": 1,
            "level": "warning",
            "code": 2164,
            "message": "Use cd ... || exit",
        }
    ]
}
SEMGREP = {
    "errors": [],
    "results": [
        {
            "check_id": "no-eval",
            "path": "a.py",
            "start": {"line": 2, "col": 1},
            "end": {"line": 2, "col": 9},
            "extra": {"message": "eval is not allowed", "severity": "ERROR"},
        }
    ],
}


@pytest.mark.parametrize(
    ("tool", "answer", "file", "settings", "expected"),
    [
        ("bandit", BANDIT, "a.py", {}, [("B602", 2, "error", "medium"), ("B105", 1, "note", "low")]),
        ("eslint", ESLINT, "a.js", {"eslint.config.js": "export default []\n"}, [("no-undef", 2, "error", "medium")]),
        ("shellcheck", SHELLCHECK, "a.sh", {}, [("SC2164", 2, "warning", "medium")]),
        ("semgrep", SEMGREP, "a.py", {".semgrep.yml": "rules: []\n"}, [("no-eval", 2, "error", "high")]),
    ],
)
def test_recorded_answers_of_other_analyzers_are_read(
    reviewed: Reviewed, tool: str, answer: Any, file: str, settings: dict[str, str], expected: list[tuple[Any, ...]]
) -> None:
    """Each form is read into findings with file, line, rule and severity; what was said before too is left out."""
    said = json.dumps(answer)
    (reviewed.tools / "answer.json").write_text(said)
    reviewed.tool(tool, f'sed "s|{{root}}|$PWD|" {reviewed.tools}/answer.json; grep -q new {file} || exit 1; exit 1')
    outcome = reviewed.review({"other": "x\n", **settings}, {file: "first\nnew\n"})
    found = [one for one in findings(outcome) if one["tool"] == tool]
    assert [(one["rule"], one["line"], one["severity"], one["confidence"]) for one in found] == expected
    assert all("hunter2" not in event.payload for event in reviewed.trial.events())
    same = reviewed.review({file: "first\nnew\n"}, {file: "first\nnew\nmore\n"})
    assert [one for one in findings(same) if one["tool"] == tool] == []


def test_a_redelivered_review_repeats_nothing(reviewed: Reviewed) -> None:
    """What was analyzed and recorded isn't run again when the task is delivered anew."""
    count = reviewed.tools.parent / "count"
    reviewed.tool("ruff", "echo '[]'")
    outcome = reviewed.review({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
    reviewed.tool("ruff", f"touch {count}; exit 3")
    assert reviewed.request is not None
    from twelvefold.agents.pr_review import PRReviewAgent

    again = reviewed.trial.deliver(PRReviewAgent(), reviewed.request, delivery=2)
    assert (again.outcome, again.value) == (outcome.outcome, outcome.value)
    assert not count.exists()
