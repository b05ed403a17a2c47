"""Running programs in a workspace: which, with what, and within which bounds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.agents.tools.conftest import FILES, Desk
from tests.agents.work.conftest import UserRepo
from tests.conftest import eventually
from twelvefold.agents.agent_settings import AgentSettings
from twelvefold.agents.errors import TaskWithdrawn
from twelvefold.agents.repository_errors import RepositoryForbidden
from twelvefold.agents.sandbox.confine import available
from twelvefold.agents.tools import CommandRules

contained_only = pytest.mark.skipif(not available().contained, reason="this kernel keeps no file rules")


def python(desk: Desk, code: str, **more: object) -> dict[str, object]:
    """Run a Python text and return all that is known of it, however it ended."""
    data = desk.call("run_command", command=["python3", "-c", code], **more).data
    assert isinstance(data, dict)
    return data


def test_a_command_runs_in_the_repository(desk: Desk) -> None:
    """With its exit code, its output, its input, its folder; what it changes is committed, caches are not."""
    ran = desk.did("run_command", command=["python3", "-c", "import shop.prices as p; print(p.price(4), p.__file__)"])
    assert ran["output"] == f"8 {desk.folder}/src/shop/prices.py\n" and ran["exit_code"] == 0
    assert desk.did("run_command", command=["cat"], stdin="as it is\n")["output"] == "as it is\n"
    assert desk.did("run_command", command=["ls"], folder="src")["output"] == "shop\n"
    desk.did("run_command", command=["python3", "-m", "pytest", "-q", "tests"])
    desk.did("run_command", command=["mkdir", "-p", "build", "src/shop/__pycache__", ".pytest_cache"])
    desk.did("run_command", command=["touch", "build/x", "src/shop/__pycache__/x", ".pytest_cache/x", "made.txt"])
    assert desk.changed() == ["made.txt"]


def test_no_shell_reads_the_words(desk: Desk) -> None:
    """What would be a second command, a pipe or a variable is a word like any other."""
    words = ["; touch owned", "$(touch owned)", "`touch owned`", "| tee owned", "$HOME", "*", "> owned"]
    assert desk.did("run_command", command=["echo", *words])["output"].split("\n")[0] == " ".join(words)
    assert desk.changed() == []


def test_a_failing_command_is_told_as_such(desk: Desk) -> None:
    """Exit codes, signals and programs that aren't there are failures with what is known of them."""
    response = desk.call("run_command", command=["python3", "-c", "print('said'); raise SystemExit(3)"])
    assert (response.success, response.reason) == (False, "exit_code")
    assert (response.data["exit_code"], response.data["output"]) == (3, "said\n")
    killed = desk.call("run_command", command=["python3", "-c", "import os; os.kill(os.getpid(), 9)"])
    assert killed.data["exit_code"] == -9 and "signal 9" in str(killed.error)


@pytest.mark.parametrize(
    "command",
    [["curl", "http://localhost"], ["sh", "-c", "id"], ["/bin/ls"], ["../ls"], ["/usr/bin/env", "id"], ["git", "push"],
     [""], [".git/hooks/x"], ["./README.md"], ["src"], ["no-such-program"], ["ls\0"]],
)  # fmt: skip
def test_other_programs_are_refused(desk: Desk, command: list[str]) -> None:
    """Only named programs, and executables of the repository by their path."""
    assert desk.refused("run_command", command=command) in ("command_refused", "path_refused")


def test_rules_say_which_programs_and_how(desk_on: Callable[..., Desk]) -> None:
    """Own programs, other programs, a shell: each only where the rules allow it."""
    files = {"run.sh": "#!/bin/sh\necho ran $1\n"}
    closed = desk_on(files, commands=CommandRules(programs=("echo",), own_programs=False))
    (closed.folder / "run.sh").chmod(0o755)
    assert closed.refused("run_command", command=["./run.sh"]) == "command_refused"
    assert closed.refused("run_command", command=["cat", "run.sh"]) == "command_refused"
    assert closed.did("run_command", command=["echo", "a"])["output"] == "a\n"
    opened = desk_on(commands=CommandRules(programs=None, shell=True, effect="once"))
    (opened.folder / "run.sh").chmod(0o755)
    assert opened.did("run_command", command=["./run.sh", "it"])["output"] == "ran it\n"
    assert opened.did("run_command", command="echo a | tr a b && echo $0")["output"] == "b\n/bin/sh\n"
    assert opened.tools["run_command"].effect == "once"


def test_a_command_sees_a_chosen_environment(desk_on: Callable[..., Desk], tmp_path: Path) -> None:
    """Its own HOME and TMPDIR, what the rules let through, and no secret of the process."""
    environ = {**os.environ, "AWS_SECRET_ACCESS_KEY": "hush", "TWELVEFOLD_MODEL_KEY": "hush", "HOME": str(tmp_path)}
    rules = CommandRules(environment={"CHOSEN": "1"}, variables=("PATH", "TZ"))
    desk = desk_on(settings=AgentSettings(environ={**environ, "TZ": "UTC"}), commands=rules)
    said = str(python(desk, "import os; print(dict(os.environ))")["output"])
    assert "hush" not in said and "'CHOSEN': '1'" in said and "'TZ': 'UTC'" in said
    assert f"'HOME': '{tmp_path}'" not in said and "TWELVEFOLD" not in said
    places = str(python(desk, "import os; print(os.environ['HOME'], os.environ['TMPDIR'])")["output"]).split()
    assert not any(Path(place).exists() for place in places)


@contained_only
def test_a_command_writes_in_the_workspace_only(desk: Desk, outside: Path, user: object) -> None:
    """Not beside it, not in the user's repository, not by a link, not as what it leaves running."""
    code = """
import os, sys
for path in sys.argv[1:]:
    for act, name in ((os.mkdir, "d"), (os.mknod, "n"), (lambda to: os.symlink("x", to), "l")):
        try:
            act(path + "/" + name)
            print("wrote", path)
        except OSError:
            pass
os.symlink(sys.argv[1], "link")
try:
    open("link/owned", "w")
    print("wrote through")
except OSError:
    pass
open("inside", "w").close()
"""
    places = [
        str(outside),
        str(desk.folder.parent),
        str(desk.user.folder),
        str(desk.trial.places.stores),
        "/tmp",
        "/etc",
    ]
    ran = desk.did("run_command", command=["python3", "-c", code, *places])
    assert (ran["output"], ran["contained"]) == ("", True)
    assert (desk.folder / "inside").exists()
    # The link that it made is no way out for the tools either.
    assert desk.refused("write_file", path="link/owned", text="x") == "path_refused"
    assert desk.refused("read_file", path="link/secret.txt") == "path_refused"
    assert desk.refused("run_command", command=["ls"], folder="link") == "path_refused"


def test_a_file_that_a_command_replaced_by_a_link_is_committed_as_a_link(desk: Desk, outside: Path) -> None:
    """What a tool wrote before and a command turned into a link out of the workspace isn't followed by the commit."""
    desk.did("write_file", path="build/a.txt", text="mine\n")
    desk.did("run_command", command=["rm", "-r", "build"])
    code = f"import os; os.symlink({str(outside)!r}, 'build')"
    desk.did("run_command", command=["python3", "-c", code])
    desk.did("write_file", path="README.md", text="x\n")
    assert "the secret" not in str(desk.did("git_diff"))
    assert "README.md" in desk.changed()


def test_time_is_bounded_and_nothing_is_left(desk: Desk) -> None:
    """A command that hangs is ended with all that it started, daemons included, and what it said is kept."""
    code = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
print("begun", flush=True)
time.sleep(600)
"""
    response = desk.call("run_command", command=["python3", "-c", code, "mark-of-this-test"], timeout_s=1.0)
    assert response.reason == "timeout" and response.data["output"] == "begun\n"
    left = desk.did("run_command", command=["python3", "-c", code.replace("600", "0"), "mark-of-this-test"])
    assert left["left_behind"]
    alive = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not [words for words in alive if "mark-of-this-test" in words]


def test_output_and_memory_are_bounded(desk_on: Callable[..., Desk]) -> None:
    """Of too much output its beginning and its end are shown; a process that takes too much memory fails."""
    desk = desk_on(commands=CommandRules(memory_bytes_max=256 << 20, output_length_max=4000))
    ran = python(desk, "print('first'); print('x' * 5_000_000); print('last')")
    said = str(ran["output"])
    assert said.startswith("first\n") and said.endswith("last\n") and len(said) < 4200 and "left out" in said
    assert ran["truncated"] and ran["output_bytes"] == 5_000_012
    assert "MemoryError" in str(python(desk, "x = bytearray(1 << 30)")["output"])


def test_a_withdrawn_task_s_command_is_ended(desk: Desk) -> None:
    """The call ends soon, with the error that ends the task."""
    withdraw = threading.Thread(
        target=lambda: (eventually((desk.folder / "begun").exists), desk.context.ledger.withdrawn.set())
    )
    withdraw.start()
    with pytest.raises(TaskWithdrawn):
        desk.call("run_command", command=["python3", "-c", "import time; open('begun', 'w'); time.sleep(600)"])
    withdraw.join()


def test_a_command_that_deletes_everything_harms_nobody(desk: Desk) -> None:
    """Also `.git`: the tools go on, and the commit says that the files are gone."""
    desk.did("run_command", command=["find", ".", "-mindepth", "1", "-delete"])
    assert desk.did("list_files")["total"] == 0
    desk.did("write_file", path="new.txt", text="x\n")
    assert desk.did("git_commit", message="Start anew")["files_changed"] == sorted([*FILES, "new.txt"])


def test_what_repos_toml_forbids_is_not_run(desk_on: Callable[..., Desk], tmp_path: Path, user: UserRepo) -> None:
    """Commands and tests only where they are permitted, and a workspace only where reading is."""
    (tmp_path / "home").mkdir()
    rules = tmp_path / "home" / "repos.toml"
    rules.write_text(f'[repos.repo]\npath = "{user.folder}"\ncommands = ["ls", "pytest"]\n')
    desk = desk_on()
    desk.did("run_command", command=["ls", "src"])
    assert desk.refused("run_command", command=["cat", "README.md"]) == "not_permitted"
    rules.write_text(f'[repos.repo]\npath = "{user.folder}"\ncommands = false\n')
    assert desk.refused("run_command", command=["ls", "tests"]) == "not_permitted"
    assert desk.refused("run_tests") == "not_permitted"
    rules.write_text(f'[repos.repo]\npath = "{user.folder}"\nread = false\n')
    with pytest.raises(RepositoryForbidden):
        desk_on()


def test_a_file_that_grows_without_end_is_stopped(desk_on: Callable[..., Desk]) -> None:
    """A disk is not filled by one file."""
    desk = desk_on(commands=CommandRules(file_bytes_max=1 << 20))
    ran = desk.call("run_command", command=["python3", "-c", "open('big', 'wb').write(b'x' * (1 << 22))"])
    assert not ran.success and (desk.folder / "big").stat().st_size <= 1 << 20
