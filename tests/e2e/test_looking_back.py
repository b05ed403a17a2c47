"""Looking back on jobs from the command line: two runs compared, a line explained, a run taken to another home."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import CALC, Ended, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

ISSUE = "# Double adds instead of doubling\n\n`calc.double(3)` should give 6, it gives 5.\n"
TESTS = CALC["tests/test_calc.py"].replace("(2), 4", "(3), 6")


def script(new: str, *comments: str) -> list[dict[str, Any]]:
    """What a model says that fixes the calculator, and puts comments above it one by one."""

    def call(name: str, **arguments: Any) -> dict[str, Any]:
        usage = {"tokens_in": 100, "tokens_out": 20}
        return {"when": "You fix one issue", "tool_calls": [{"name": name, "arguments": arguments}], "usage": usage}

    above = [
        call("edit_file", path="calc.py", old_text="def double", new_text=f"# {comment}\ndef double")
        for comment in comments
    ]
    fix = call("edit_file", path="calc.py", old_text="n + 2", new_text=new)
    review = {"text": '{"findings": []}', "when": "You review a change"}
    return [call("read_file", path="calc.py"), fix, *above, call("done", summary="Doubles."), review]


@dataclass
class Past:
    """A home in which three jobs were done on one repository, two of them alike."""

    home: JobHome
    repo: Path
    runs: list[str]
    branches: list[str]

    def __call__(self, *arguments: str, home: Path | None = None) -> Ended:
        """Run a command in the repository, on this home or another one."""
        before = self.home.environment
        if home is not None:
            self.home.environment = before | {"TWELVEFOLD_HOME": str(home)}
        try:
            return self.home(*arguments, cwd=self.repo)
        finally:
            self.home.environment = before


@pytest.fixture(scope="module")
def past(shared_home: JobHome) -> Iterator[Past]:
    """The jobs, done once; the second one's branch is merged."""
    repo = make_repo(shared_home.folder / "calculator", {**CALC, "tests/test_calc.py": TESTS})
    made = Past(shared_home, repo, [], [])
    before = shared_home.environment
    for lines in (script("n * 2"), script("n * 2"), script("2 * n", "Twice.", "The sum of it and itself.")):
        file = shared_home.folder / "script.json"
        file.write_text(json.dumps(lines))
        shared_home.environment = before | {"TWELVEFOLD_MODEL": f"scripted:{file}"}
        ended = shared_home.job(repo, ISSUE)
        assert ended.status == 0, ended.err
        made.runs.append(ended.json["run"])
        made.branches.append(ended.json["branch"])
    shared_home.environment = before
    git(repo, "merge", "--quiet", made.branches[2])
    yield made


def test_runs_that_did_the_same_do_not_differ(past: Past) -> None:
    """Two jobs with the same answers are alike but for time; exit status 0 says so."""
    ended = past("diff", past.runs[0], past.runs[1], "--json")
    assert (ended.status, ended.json["differs"]) == (0, False), ended.out + ended.err
    assert ended.json["events"]["same"] > 30
    assert ended.json["events"]["list"] == ended.json["state"] == ended.json["files"] == []
    assert "no difference" in past("diff", past.runs[0], past.runs[1]).out


def test_the_first_difference_is_the_models_other_answer(past: Past) -> None:
    """What the model said first otherwise is named, and all that follows: files, prompts, state, cost."""
    ended = past("diff", past.runs[1], past.runs[2], "--patch", "--json")
    found = ended.json
    assert (ended.status, found["differs"]) == (1, True), ended.err
    first = found["events"]["first"]
    assert (first["place"], first["kind"]) == ("0.0 effect model (2)", "differs")
    (field,) = first["fields"]
    assert field["field"] == "result.tool_calls[0].arguments.new_text"
    assert (field["a"], field["b"]) == ("n * 2", "2 * n")
    (files,) = found["files"]
    assert files["files"] == [{"path": "calc.py", "kind": "differs"}]
    assert {"-    return n * 2", "+    return 2 * n"} <= set(files["patch"].splitlines())
    prompt = found["prompts"][0]
    assert (prompt["path"], prompt["number"]) == ("0.0", 3)
    assert any("2 * n" in line for line in prompt["lines"])
    assert found["cost"]["b"]["model_calls"] == found["cost"]["a"]["model_calls"] + 2
    shown = past("diff", past.runs[1], past.runs[2], "-p").out
    assert "first  0.0 effect model (2)" in shown
    assert "+    return 2 * n" in shown


def test_each_line_leads_to_the_step_that_brought_it(past: Past) -> None:
    """Of one commit, each line has the effect, the model call and the action that it comes from, up to the issue."""
    lines = (past.repo / "calc.py").read_text().splitlines()
    actions = {}
    for number in (1, 2, 4):
        ended = past("why", f"calc.py:{number}", "--json")
        assert ended.status == 0, ended.err
        found = ended.json
        assert (found["text"], found["run"], found["by"]) == (lines[number - 1], past.runs[2], "commit")
        assert (found["effect"]["kind"], found["effect"]["name"]) == ("tool", "edit_file")
        assert found["effect"]["parameters"] == found["action"]["arguments"]
        assert found["model"]["reply"]["tool_calls"][0]["arguments"] == found["action"]["arguments"]
        assert found["model"]["messages"][0]["role"] == "system"
        assert [one["name"] for one in found["model"]["prompts"]] == ["fixer", "fixer_task"]
        kinds = [cause["type"] for cause in found["causes"]]
        assert kinds == ["task.requested", "task.planned", "task.requested", "run.requested"]
        assert found["request"]["input"]["issue"]["text"] == ISSUE
        actions[number] = found["action"]["arguments"]["new_text"]
    assert actions == {
        1: "# Twice.\ndef double",
        2: "# The sum of it and itself.\ndef double",
        4: "2 * n",
    }
    shown = past("why", "calc.py:4").out
    assert "edit_file" in shown
    assert "issue.md" in shown
    assert past("why", "calc.py:4:12", "--json").json == past("why", "calc.py:4", "--json").json


def test_a_line_is_found_after_its_commit_was_made_anew(past: Past) -> None:
    """Moved down in the working tree, or squashed onto another branch, the line is still its run's."""
    file = past.repo / "calc.py"
    before = file.read_text()
    try:
        file.write_text("# By hand.\n\n" + before)
        moved = past("why", "calc.py:6", "--json").json
        assert (moved["line"], moved["run"]) == (4, past.runs[2])
        fresh = past("why", "calc.py:1")
        assert (fresh.status, "error[E547]" in fresh.err) == (3, True)
    finally:
        file.write_text(before)
    git(past.repo, "switch", "--quiet", "--create", "squashed", "main~1")
    try:
        git(past.repo, "cherry-pick", past.branches[2])
        git(past.repo, "commit", "--quiet", "--amend", "--reset-author", "--no-edit")
        found = past("why", "calc.py:4", "--json").json
        assert (found["run"], found["by"]) == (past.runs[2], "text")
        assert found["effect"]["parameters"]["new_text"] == "2 * n"
        git(past.repo, "switch", "--quiet", "--create", "as-one", "main~1")
        git(past.repo, "merge", "--quiet", "--squash", past.branches[2])
        git(past.repo, "commit", "--quiet", "--no-edit")
        found = past("why", "calc.py:4", "--json").json
        assert (found["run"], found["by"]) == (past.runs[2], "text")
    finally:
        git(past.repo, "switch", "--quiet", "main")


def test_a_line_that_a_run_has_left_alone_is_not_its_work(past: Past) -> None:
    """Though the run began from the commit that has it, and has recorded that: it is its author's."""
    ended = past("why", "calc.py:8", "--run", past.runs[2])
    assert (ended.status, "error[E548]" in ended.err) == (3, True), ended.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["calc.py"], "E006"),
        (["calc.py:999"], "E547"),
        (["nowhere/calc.py:1"], "E547"),
        (["calc.py:1", "--rev=--output=x"], "E547"),
        (["calc.py:6"], "E548"),
        (["/etc/hostname:1"], "E547"),
        ([".git/HEAD:1"], "E547"),
    ],
)
def test_what_has_no_answer_is_told_with_its_reason(past: Past, arguments: list[str], code: str) -> None:
    """Lines that aren't there, that nobody committed, or that no run has made."""
    ended = past("why", *arguments)
    assert ended.status != 0
    assert f"error[{code}]" in ended.err or (code == "E006" and "error[" in ended.err), ended.err
    assert "Traceback" not in ended.err
    assert "init" not in ended.err
    assert not (past.repo / "x").exists()


def test_a_run_lives_on_in_another_home(past: Past, tmp_path: Path) -> None:
    """Imported, it can be looked at in every way, is verified, and can't be changed."""
    run, home = past.runs[2], tmp_path / "elsewhere"
    file = tmp_path / "a.run"
    told = past("export", run[:20], str(file), "--json").json
    assert (told["run"], told["complete"], told["missing_commits"]) == (run, True, [])
    imported = past("import", str(file), "--json", home=home)
    assert imported.status == 0, imported.err
    assert imported.json["hash"] == told["hash"]
    ours, theirs = past("status", run, "--json"), past("status", run, "--json", home=home)
    assert (theirs.status, theirs.json) == (ours.status, ours.json)
    assert past("log", "--run", run, "--jsonl", home=home).out == past("log", "--run", run, "--jsonl").out
    assert past("replay", run, home=home).out == past("replay", run).out
    checked = past("replay", run, "--check", home=home)
    assert checked.status == 0, checked.out + checked.err
    assert past("why", "calc.py:4", home=home).out == past("why", "calc.py:4").out
    assert past("verify", "--json", home=home).json["imports"] == [run]
    assert [one["run"] for one in past("runs", "--imported", "--json", home=home).json] == [run]
    cancelled = past("cancel", run, home=home)
    assert (cancelled.status, "error[E545]" in cancelled.err) == (4, True), cancelled.err
    again = tmp_path / "b.run"
    past("export", run, str(again), home=home)
    assert again.read_bytes() == file.read_bytes()
    refused = past("import", str(file))
    assert (refused.status, "error[E542]" in refused.err) == (4, True)
    shutil.rmtree(home)


def test_the_commands_of_the_guide(past: Past, tmp_path: Path) -> None:
    """Each block of the guide runs as printed, and ends as the guide says."""
    guide = (Path(__file__).parents[2] / "docs" / "diff.md").read_text()
    blocks = dict(re.findall(r"^```bash (\S+)\n(.*?)^```$", guide, re.M | re.S))
    ends = {"diff": 1, "why": 0, "export": 0}
    assert blocks.keys() == ends.keys()
    work = tmp_path / "calculator"
    git(tmp_path, "clone", "--quiet", str(past.repo), str(work))
    environ = past.home.environment | {"ONE": past.runs[1][:20], "TWO": past.runs[2][:20]}
    shown = {}
    for name, block in blocks.items():
        done = subprocess.run(["bash", "-c", block], cwd=work, env=environ, capture_output=True, text=True, timeout=240)
        assert done.returncode == ends[name], done.stderr
        shown[name] = done.stdout
    assert json.loads((work / "difference.json").read_text())["differs"]
    assert json.loads((work / "reason.json").read_text())["run"] == past.runs[2]
    assert shown["why"].count("You fix one issue") == 1
    assert "1 imported run" in shown["export"]


@pytest.mark.long
def test_a_fork_that_does_the_same_is_no_other_run(past: Past, tmp_path: Path) -> None:
    """Answered from the record, a fork does not differ from its parent, and lives on in another home with its past."""
    parent = past.runs[0]
    events = [json.loads(line) for line in past("log", "--run", parent, "--jsonl").out.splitlines()]
    cut = next(event["position"] for event in events if (event["data"] or {}).get("name") == "read_file")
    forked = past("fork", parent, "--at", str(cut), "--follow")
    assert forked.status == 0, forked.out + forked.err
    fork = forked.out.splitlines()[0]
    found = past("diff", parent, fork, "--json").json
    assert (found["shared"]["until"], found["differs"]) == (cut, False), [
        found[name] for name in ("events", "state", "files")
    ]
    begun = events[[event["type"] for event in events].index("task.requested")]["position"]
    whole = past("fork", parent, "--at", str(begun), "--follow")
    assert whole.status == 0, whole.out + whole.err
    served = past("why", "calc.py:2", "--run", whole.out.splitlines()[0])
    assert f"twelvefold why --run {parent} calc.py:2" in served.err
    file, home = tmp_path / "fork.run", tmp_path / "elsewhere"
    assert past("export", fork, str(file)).status == 0
    assert past("import", str(file), "--json", home=home).json["lineage"][0] == {"run": parent, "until": cut}
    assert past("tree", fork, "--json", home=home).json == past("tree", fork, "--json").json
    assert past("verify", home=home).status == 0
    assert past("why", "calc.py:2", "--run", fork, "--json", home=home).json["effect"]["name"] == "edit_file"
