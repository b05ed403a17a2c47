"""The engine `command`: what a program does well is committed; whatever else it does is contained and told."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.context import TaskContext
from twelvefold.agents.engines import engine
from twelvefold.agents.engines.engine import FixResult
from twelvefold.agents.engines.model import ModelEngine
from twelvefold.agents.errors import TaskWithdrawn
from twelvefold.agents.fixer import IssueFixerAgent
from twelvefold.agents.sandbox.confine import available
from twelvefold.agents.turn import TaskOutcome

from .conftest import Job, UserRepo

SOURCE = "def add(a, b):\n    return a - b\n"
FIXED = SOURCE.replace("-", "+")
PLAIN = "# Sums are wrong\n\n`add(2, 1)` gives 1, and should give 3.\n"
EDIT = "from pathlib import Path\nPath('calc.py').write_text(Path('calc.py').read_text().replace('-', '+'))\n"

contained = pytest.mark.skipif(not available().contained, reason="this kernel has no file rules")
Fix = Callable[..., TaskOutcome]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Programs outside of the repository, as command lines."""

    def write(source: str) -> str:
        path = tmp_path / f"program-{len(list(tmp_path.glob('program-*')))}.py"
        path.write_text(textwrap.dedent(source))
        return f"{sys.executable} {path}"

    return write


@pytest.fixture
def run(user: UserRepo, job: Job, program: Callable[[str], str]) -> Fix:
    """Have a program's source fix an issue in a small repository."""
    user.commit({"calc.py": SOURCE, "data.json": '{"a": 1}\n'})

    def fix(source: str, issue: str = PLAIN, settings: dict[str, Any] | None = None, **more: Any) -> TaskOutcome:
        values = {"fixer_timeout_s": 30.0, **(settings or {})}
        job.trial.settings = AgentSettings(fixer_command=program(source), **values)
        return job.fix(issue, **{"engine": "command", **more})

    return fix


def notes(outcome: TaskOutcome) -> str:
    return " | ".join(outcome.value.get("notes", []))


def test_the_right_edit_is_committed(run: Fix, job: Job, user: UserRepo) -> None:
    """A program that changes a file gives a commit of that file alone, with its words kept in the effect's record."""
    outcome = run(f"{EDIT}print('fixed it')\n")
    assert outcome.outcome == "succeeded", outcome
    value = outcome.value
    assert value["engine"] == "command"
    assert value["files_changed"] == ["calc.py"]
    assert job.text(value["commit"], "calc.py") == FIXED.encode()
    assert value["transcript"]["end"] == "fixed it\n"
    (completed,) = [event for event in job.trial.events("effect.completed") if event.data["kind"] == "process"]
    assert completed.id.hex() == value["transcript"]["effect"]
    assert completed.data["result"]["transcript"] == "fixed it\n"
    assert completed.data["commit"] == value["commit"]
    store = job.stores.find_run(job.run)
    assert store is not None
    log = job.stores.git.run("log", "-2", "--format=%P %B", value["commit"], git_dir=store.git_dir).text
    assert log.startswith(f"{user.git('rev-parse', 'HEAD')} Sums are wrong\n")
    assert "Made by the command `python" in log


@pytest.mark.parametrize("way", ["stdin", "argument", "variable"])
def test_the_issue_reaches_the_program(run: Fix, job: Job, program: Callable[[str], str], way: str) -> None:
    """The issue is on standard input and in a file outside of the tree, which is named by an argument or a variable."""
    read = {
        "stdin": "sys.stdin.read()",
        "argument": "Path(sys.argv[1]).read_text()",
        "variable": "Path(os.environ['TWELVEFOLD_ISSUE_FILE']).read_text()",
    }[way]
    source = f"""
        import os, sys
        from pathlib import Path
        text = {read}
        assert Path(sys.argv[2]).samefile('.'), sys.argv
        assert not Path(sys.argv[1]).is_relative_to(Path.cwd())
        Path('got.txt').write_text(text)
    """
    outcome = run("", command=program(source) + " {issue_file} {repo}")
    assert outcome.outcome == "succeeded", outcome
    assert job.text(outcome.value["commit"], "got.txt") == PLAIN.encode()


FAILURES: dict[str, tuple[str, str, str]] = {
    "non-zero": (f"{EDIT}raise SystemExit(3)\n", "command_failed", "exit code 3"),
    "signal": (f"{EDIT}import os; os.kill(os.getpid(), 9)\n", "command_failed", "signal 9"),
    "says it did": ("print('All done! Tests pass. SUCCESS')\n", "no_change", "left every file as it was"),
    "says nothing": ("", "no_change", "it said nothing"),
    "touches only": ("import os; os.utime('calc.py')\n", "no_change", "left every file as it was"),
    "link out": ("import os; os.symlink('/etc/passwd', 'link')\n", "unsafe_change", "out of the repository"),
    "link up": ("import os; os.symlink('../../x', 'link')\n", "unsafe_change", "out of the repository"),
    "link to git": ("import os; os.symlink('.git/config', 'link')\n", "unsafe_change", "out of the repository"),
    "large": ("open('big.bin', 'wb').write(b'x' * (21 << 20))\n", "file_too_large", "big"),
    "broken python": ("open('calc.py', 'w').write('def (')\n", "syntax_broken", "no longer be Python"),
    "broken json": ("open('data.json', 'w').write('{')\n", "syntax_broken", "no longer be JSON"),
    "many": ("for n in range(2100): open(f'f{n}', 'w').write('x')\n", "too_many_files", "2100 files"),
    "not there": ("", "command_not_started", "no-such-program"),
    "quotes": ("", "invalid_command", "quotation"),
}


@pytest.mark.parametrize(("name", "source", "reason", "part"), [(n, *f) for n, f in FAILURES.items()], ids=FAILURES)
def test_what_is_no_fix_is_a_failure(run: Fix, name: str, source: str, reason: str, part: str) -> None:
    """Each way in which a program can end without a change that counts has its word, and nothing is kept."""
    command = {"not there": "/no-such-program", "quotes": "sh -c 'x"}.get(name)
    outcome = run(source, **({"command": command} if command else {}))
    assert (outcome.outcome, outcome.reason) == ("failed", reason), outcome
    assert part in str(outcome.message)
    assert outcome.value["commit"] is None


def test_a_program_that_hangs_is_killed(run: Fix) -> None:
    """When its time is up it is ended with all that it started, which is told, and its changes don't count."""
    source = f"""
        import os, subprocess, sys, time
        from pathlib import Path
        {EDIT.splitlines()[1]}
        child = subprocess.Popen(['sleep', '1000'], start_new_session=True)
        print(child.pid, os.getpid(), flush=True)
        time.sleep(1000)
    """
    begun = time.monotonic()
    outcome = run(source, settings={"fixer_timeout_s": 3.0})
    assert time.monotonic() - begun < 60
    assert (outcome.outcome, outcome.reason) == ("failed", "command_timeout"), outcome
    assert "had not ended after 3 s" in str(outcome.message)
    for number in outcome.value["transcript"]["end"].split():
        assert not Path(f"/proc/{number}").exists()


@contained
def test_writing_elsewhere_is_denied(run: Fix, user: UserRepo, tmp_path: Path) -> None:
    """The user's checkout, its `.git`, other folders and the stores can't be written, and the denial is told."""
    places = [
        user.folder / "calc.py",
        user.folder / ".git/hooks/post-commit",
        tmp_path / "stray",
        Path.home() / ".stray",
    ]
    source = f"""
        from pathlib import Path
        for place in {[str(place) for place in places]!r}:
            try:
                Path(place).write_text('owned')
            except OSError as error:
                print(error)
        for place in ('../stray', '../../../stores/x', '/etc/stray'):
            try:
                Path(place).write_text('owned')
            except OSError as error:
                print(error)
        {EDIT.splitlines()[1]}
    """
    outcome = run(source)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py"]
    assert "denied" in notes(outcome)
    assert not any(place.exists() for place in places[1:])
    assert not list(tmp_path.rglob("stray"))


def test_its_own_commits_are_told(run: Fix, job: Job) -> None:
    """A program that commits gives the same one commit as one that doesn't: its files count, its history doesn't."""
    source = f"""
        import subprocess
        from pathlib import Path
        {EDIT.splitlines()[1]}
        for arguments in (['add', '-A'], ['commit', '-qm', 'mine'], ['tag', 'v1'], ['branch', 'other']):
            subprocess.run(['git', *arguments], check=True)
        Path('more.txt').write_text('more\\n')
    """
    outcome = run(source)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py", "more.txt"]
    assert "commits or branches of its own" in notes(outcome)
    store = job.stores.find_run(job.run)
    assert store is not None
    subjects = job.stores.git.run("log", "--format=%s", outcome.value["commit"], git_dir=store.git_dir).text
    assert subjects == "Sums are wrong\nState"


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("import shutil; shutil.rmtree('.git')", "deleted the workspace's .git"),
        ("import shutil; shutil.rmtree('.git'); Path('.git').write_text('gitdir: /nonexistent')", "in place of .git"),
        ("import shutil; shutil.rmtree('.git'); Path('.git').symlink_to('/etc')", "in place of .git"),
        ("Path('.git/hooks').mkdir(exist_ok=True); Path('.git/hooks/pre-commit').write_text('x')", "hooks/pre-commit"),
        ("Path('.git/config').write_text('[core]\\nfsmonitor = touch /tmp/owned\\n')", "altered .git (config)"),
        ("Path('.git/HEAD').write_text('ref: refs/heads/x')", "commits or branches"),
    ],
)
def test_what_it_does_to_git_is_told(run: Fix, deed: str, told: str) -> None:
    """Deleting, replacing or altering `.git` changes nothing of the result, and is said."""
    outcome = run(f"{EDIT}{deed}\n")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py"]
    assert told in notes(outcome)


def test_a_change_that_it_only_committed_is_none(run: Fix) -> None:
    """Commits on a branch that it left again are not the files: nothing was changed, and that is told."""
    source = f"""
        import subprocess
        from pathlib import Path
        subprocess.run(['git', 'checkout', '-qb', 'work'], check=True)
        {EDIT.splitlines()[1]}
        subprocess.run(['git', 'commit', '-qam', 'mine'], check=True)
        subprocess.run(['git', 'checkout', '-q', '--detach', 'HEAD~1'], check=True)
    """
    outcome = run(source)
    assert (outcome.outcome, outcome.reason) == ("failed", "no_change"), outcome
    assert "commits or branches of its own" in notes(outcome)


def test_what_it_leaves_running_is_ended_and_told(run: Fix) -> None:
    """A daemon that the program left is killed before the files are looked at."""
    source = f"""
        import os, subprocess, time
        from pathlib import Path
        subprocess.Popen(['sh', '-c', 'trap "" TERM; sleep 1000 & wait'], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1.0)
                Path('late.txt').write_text('late')
                time.sleep(1000)
            os._exit(0)
        {EDIT.splitlines()[1]}
        print(os.getpid())
    """
    outcome = run(source)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py"]
    assert "left" in notes(outcome) and "behind" in notes(outcome)


def test_endless_output_is_bounded(run: Fix, job: Job) -> None:
    """Output beyond the bound is counted and not kept, and terminal sequences don't reach messages."""
    outcome = run(f"{EDIT}import sys\nfor _ in range(300): sys.stdout.write('\\x1b[31mx' * 10000)\n")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["transcript"]["bytes"] == 300 * 60000
    assert "were not kept" in notes(outcome)
    assert "\x1b" not in str(outcome.value)


def test_its_surroundings(run: Fix, job: Job) -> None:
    """It sees no variable but those let through; HOME and TMPDIR are its own; a handed-through key isn't kept."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/home/me",
        "SECRET_TOKEN": "hunter2-hunter2",
        "API_KEY": "sk-123456",
    }
    source = f"""
        import os
        from pathlib import Path
        for place in ('HOME', 'TMPDIR'):
            Path(os.environ[place], 'x').write_text('x')
        print('KEY', os.environ['API_KEY'])
        print('NAMES', sorted(os.environ))
        print('HOME', os.environ['HOME'])
        {EDIT.splitlines()[1]}
    """
    outcome = run(source, settings={"environ": environ, "fixer_env": ("API_KEY", "NOT_SET")})
    assert outcome.outcome == "succeeded", outcome
    said = outcome.value["transcript"]["end"]
    assert "KEY <API_KEY>\n" in said
    assert "SECRET_TOKEN" not in said
    assert "/home/me" not in said
    assert "TWELVEFOLD_FIXER_ENV names NOT_SET, which is not set" in notes(outcome)
    assert not any("sk-123456" in str(event.data) for event in job.trial.events())


def test_the_users_home_can_be_handed_through(run: Fix) -> None:
    """With HOME in the list the program finds its own settings, though the agent's HOME is another one."""
    environ = {"PATH": os.environ["PATH"], "HOME": "/agents/own", "TWELVEFOLD_USER_HOME": "/home/me"}
    source = f"import os\nprint(os.environ['HOME'], 'XDG_CONFIG_HOME' in os.environ)\n{EDIT}"
    outcome = run(source, settings={"environ": environ, "fixer_env": ("HOME",)})
    assert outcome.value["transcript"]["end"] == "/home/me False\n"


def test_traces_of_programs_are_no_change(run: Fix) -> None:
    """Caches and logs that programs leave in the tree are not committed."""
    source = f"""
        from pathlib import Path
        {EDIT.splitlines()[1]}
        for name in ('__pycache__/a.pyc', '.pytest_cache/x', '.aider.chat.history.md', 'sub/__pycache__/b.pyc'):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text('x')
    """
    assert run(source).value["files_changed"] == ["calc.py"]


def test_the_scope_is_kept(run: Fix) -> None:
    """Where a task names its files, a change of another one is a failure; the bounds are part of what it is told."""
    source = f"{EDIT}import sys\nprint(sys.stdin.read())\nopen('data.json', 'w').write('{{}}\\n')\n"
    outcome = run(source, files=["calc.py"], requirement="Only the sum")
    assert (outcome.outcome, outcome.reason) == ("failed", "out_of_scope"), outcome
    assert "Only the sum" in outcome.value["transcript"]["end"]
    assert "Only these files may be changed: calc.py" in outcome.value["transcript"]["end"]


def test_work_goes_on_from_an_earlier_task(run: Fix, job: Job, user: UserRepo) -> None:
    """With `start` the files are those of the earlier commit, and only what is new counts as changed."""
    first = run(EDIT).value["commit"]
    base = user.git("rev-parse", "HEAD")
    outcome = run("open('data.json', 'w').write('{}\\n')\n", base=base, start=first)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["data.json"]
    assert job.text(outcome.value["commit"], "calc.py") == FIXED.encode()


def test_a_killed_attempt_is_run_again_in_clean_files(user: UserRepo, job: Job, program: Callable[[str], str]) -> None:
    """After a kill in the middle the program is run again in files as they were, and its result is the same commit."""
    base = user.commit({"calc.py": SOURCE})
    source = f"""
        from pathlib import Path
        assert Path('calc.py').read_text() == {SOURCE!r}, 'the files are not as they were'
        {EDIT.splitlines()[1]}
    """
    job.trial.settings = AgentSettings(fixer_command=program(source))
    given = {"issue": {"name": "x.md", "text": PLAIN}, "repo": str(user.folder), "base": base, "engine": "command"}
    request = job.trial.request(IssueFixerAgent(), given, run=job.run, path="0.0")
    append = job.trial.journal.append

    def killed(events: Any) -> Any:
        if any(event.type == "effect.completed" and '"process"' in event.payload for event in events):
            raise KeyboardInterrupt  # stands for SIGKILL before the result is recorded
        return append(events)

    job.trial.journal.append = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        job.trial.deliver(IssueFixerAgent(), request)
    job.trial.journal.append = append  # type: ignore[method-assign]
    first = [event.data["commit"] for event in job.trial.events("workspace.committed")]
    outcome = job.trial.deliver(IssueFixerAgent(), request, delivery=2)
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["commit"] == first[-1]
    again = job.trial.deliver(IssueFixerAgent(), request, delivery=3)
    assert again.value == outcome.value
    assert not list(job.trial.places.workspaces.glob("*"))


STATED = "# T\n\n### `calc.py`\nCurrent:\n```\n    return a - b\n```\nShould be:\n```\n    return a + b\n```\n"


def test_auto_takes_the_first_that_can(run: Fix) -> None:
    """What an issue states is `patch`'s; a wish goes to the command, and the answer says why the others did not."""
    stated = run("raise SystemExit(1)\n", issue=STATED, engine="auto")
    assert (stated.outcome, stated.value["engine"], stated.value["tried"]) == ("succeeded", "patch", [])
    wished = run(EDIT, engine="auto")
    assert (wished.outcome, wished.value["engine"]) == ("succeeded", "command"), wished
    assert [(one["engine"], one["reason"]) for one in wished.value["tried"]] == [
        ("patch", "no_explicit_edits"),
        ("model", "no_model"),
    ]


def test_auto_does_not_guess_at_what_is_stated(run: Fix, job: Job) -> None:
    """Where stated edits can't be made, no program is let loose on them."""
    outcome = run(EDIT, issue=STATED.replace("a - b", "a * b"), engine="auto")
    assert (outcome.outcome, outcome.reason, outcome.value["engine"]) == ("failed", "old_text_missing", "patch")
    assert not [event for event in job.trial.events("effect.intended") if event.data["kind"] == "process"]


def test_auto_with_nothing_to_try_asks(user: UserRepo, job: Job) -> None:
    """Without a model and a command a wish waits for a human, with what could be done about it."""
    user.commit({"calc.py": SOURCE})
    outcome = job.fix(PLAIN, engine="auto")
    assert (outcome.outcome, outcome.reason) == ("needs_human", "no_explicit_edits"), outcome
    assert "TWELVEFOLD_FIXER_COMMAND" in str(outcome.message)
    assert [one["engine"] for one in outcome.value["tried"]] == ["patch", "model", "command"]


def test_a_failing_engine_leaves_clean_files_to_the_next(run: Fix, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one engine has left in the workspace is gone when the next begins; the last one that tried decides."""

    class Half(ModelEngine):
        def fix(self, task: Any, issue: Any, workspace: Any, context: Any) -> FixResult:
            (workspace.folder / "stray.txt").write_text("left")
            return FixResult(outcome="failed", reason="gave_up", message="it gave up")

    monkeypatch.setitem(engine._registered, "model", Half)
    outcome = run(EDIT, engine="auto")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == ["calc.py"]
    assert outcome.value["tried"][1]["reason"] == "gave_up"


def test_without_a_command_its_engine_asks(user: UserRepo, job: Job) -> None:
    """Asked for by name without being set, the engine says what to set."""
    user.commit({"calc.py": SOURCE})
    outcome = job.fix(PLAIN, engine="command")
    assert (outcome.outcome, outcome.reason) == ("needs_human", "no_command")


def test_a_program_that_fills_the_disk_is_stopped(run: Fix, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes without end is ended long before its time is up, and nothing of it is committed."""
    monkeypatch.setattr("twelvefold.agents.engines.command.GROWTH_BYTES_MAX", 4 << 20)
    monkeypatch.setattr("twelvefold.agents.engines.command._DISK_INTERVAL_S", 0.2)
    source = """
        import time
        with open('big', 'wb') as file:
            for _ in range(400):
                file.write(b'x' * (1 << 20))
                file.flush()
                time.sleep(0.1)
    """
    outcome = run(source)
    assert (outcome.outcome, outcome.reason) == ("failed", "disk_filled"), outcome


def test_a_withdrawn_task_ends_its_program(run: Fix, job: Job, user: UserRepo, program: Callable[[str], str]) -> None:
    """When the task is withdrawn the program is killed, no result is recorded, and no workspace is left."""
    base = user.git("rev-parse", "HEAD")
    job.trial.settings = AgentSettings(fixer_command=program("import time\ntime.sleep(1000)\n"))
    given = {"issue": {"name": "x.md", "text": PLAIN}, "repo": str(user.folder), "base": base, "engine": "command"}
    agent = IssueFixerAgent()
    context = TaskContext(
        agent, job.trial.request(agent, given, run=job.run), job.trial.journal, job.trial.places, job.trial.settings
    )
    timer = threading.Timer(2.0, context.ledger.withdrawn.set)
    timer.start()
    with pytest.raises(TaskWithdrawn):
        agent.execute_task(given, context)
    timer.join()
    assert not [event for event in job.trial.events("effect.completed") if event.data["kind"] == "process"]
    assert not list(job.trial.places.workspaces.glob("*"))


@pytest.mark.parametrize(
    ("deed", "files"),
    [
        ("os.mkfifo('pipe'); os.mkfifo('sub-pipe')", ["calc.py"]),
        ("import socket; socket.socket(socket.AF_UNIX).bind('sock')", ["calc.py"]),
        ("Path(os.fsdecode(b'odd \\xff\\nx')).write_text('x')", ["calc.py", "odd \\xff\nx"]),
        ("os.mkdir('empty'); os.mkdir('closed', 0)", ["calc.py"]),
        ("[os.mkdir('d' * 100) or os.chdir('d' * 100) for _ in range(60)]", ["calc.py"]),
        ("Path('nested').mkdir(); subprocess.run(['git', 'init', '-q', 'nested'], check=True)", ["calc.py"]),
        ("Path('a').mkdir(); Path('a/.git').write_text('gitdir: /etc')", ["calc.py"]),
        ("Path('.gitattributes').write_text('* filter=evil\\n')", [".gitattributes", "calc.py"]),
        ("Path('-rf').write_text('x'); Path(':(top)x').write_text('x')", ["-rf", ":(top)x", "calc.py"]),
        ("os.link('calc.py', 'twin.py')", ["calc.py", "twin.py"]),
        ("os.symlink('calc.py', 'alias.py')", ["alias.py", "calc.py"]),
    ],
)
def test_odd_things_in_the_tree(run: Fix, deed: str, files: list[str]) -> None:
    """What is no file, or looks like something else, is neither followed nor waited for; odd names are names."""
    outcome = run(f"import os, subprocess\n{EDIT}{deed}\n")
    assert outcome.outcome == "succeeded", outcome
    assert outcome.value["files_changed"] == files


def test_a_workspace_that_was_replaced_is_not_looked_at(run: Fix, user: UserRepo) -> None:
    """Without file rules a program can put a link in the workspace's place: nothing behind it becomes a commit."""
    source = f"""
        import os
        here = os.getcwd()
        os.rename(here, here + '-away')
        os.symlink({str(user.folder)!r}, here)
    """
    outcome = run(source, settings={"sandbox": "off"})
    assert (outcome.outcome, outcome.reason) == ("failed", "workspace_replaced"), outcome
    assert "no file rules held the command" in notes(outcome)


@contained
def test_the_workspace_itself_stays(run: Fix) -> None:
    """Under file rules the folder can be neither moved nor removed, only emptied."""
    source = """
        import os, shutil
        for deed in (lambda: os.rename(os.getcwd(), os.getcwd() + 'x'), lambda: os.rmdir(os.getcwd())):
            try:
                deed()
            except OSError as error:
                print(error)
        shutil.rmtree(os.getcwd(), ignore_errors=True)
    """
    outcome = run(source)
    assert outcome.value["files_changed"] == ["calc.py", "data.json"], outcome
