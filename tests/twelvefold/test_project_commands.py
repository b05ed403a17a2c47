"""init, config, doctor, explain and repos: what they print, and that they change nothing they shouldn't."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from twelvefold.cli.commands import BY_NAME
from twelvefold.error_index import all_errors, explanation

from .conftest import CommandLine, git

ROOT = Path(__file__).resolve().parents[2]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder with its content and time."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_init_writes_a_project(twelvefold: CommandLine) -> None:
    """`init` makes Procfile, options, settings example, agent, test, prompts, ignore lines, the home."""
    made = twelvefold("init", "--json").json
    assert set(made) == {"directory", "home", "files"}
    assert {file["path"] for file in made["files"]} == {
        "Procfile",
        "Procfile.options",
        ".env.example",
        "my_agents.py",
        "test_my_agents.py",
        "prompts/README.md",
        ".gitignore",
        ".twelvefold/",
    }
    assert {file["action"] for file in made["files"]} == {"created"}
    home = twelvefold.cwd / ".twelvefold"
    assert made["home"] == str(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {".env", ".twelvefold/"} <= set((twelvefold.cwd / ".gitignore").read_text().splitlines())


def test_init_never_overwrites(twelvefold: CommandLine) -> None:
    """A second `init`, and one among somebody's files, leaves every existing byte; `.gitignore` only grows."""
    (twelvefold.cwd / "Procfile").write_text("web: mine\n")
    (twelvefold.cwd / ".gitignore").write_text("mine")
    actions = {file["path"]: file["action"] for file in twelvefold("init", "--json").json["files"]}
    assert (actions["Procfile"], actions[".gitignore"], actions["my_agents.py"]) == ("kept", "extended", "created")
    assert (twelvefold.cwd / "Procfile").read_text() == "web: mine\n"
    assert (twelvefold.cwd / ".gitignore").read_text().splitlines()[0] == "mine"
    before = snapshot(twelvefold.cwd)
    again = twelvefold("init", "--json").json["files"]
    assert {file["action"] for file in again} == {"kept"}
    assert snapshot(twelvefold.cwd) == before


def test_initial_agent_passes_its_test(twelvefold: CommandLine) -> None:
    """The test that `init` writes passes as it is."""
    twelvefold("init")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=twelvefold.cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_initial_procfile_and_options_are_sound(twelvefold: CommandLine) -> None:
    """What `init` writes passes `check`, and every setting of `.env.example` can be switched on as it stands."""
    twelvefold("init")
    assert twelvefold("check").status == 0
    example = (twelvefold.cwd / ".env.example").read_text()
    (twelvefold.cwd / ".env").write_text(re.sub(r"^#(TWELVEFOLD_\w+=)", r"\1", example, flags=re.MULTILINE))
    rows = twelvefold("config", "--json").json
    assert "env file" in {row["origin"] for row in rows}


def test_init_into_a_file_is_refused(twelvefold: CommandLine) -> None:
    """A file in the folder's place is an error, and the folder that the help names works."""
    (twelvefold.cwd / "taken").write_text("")
    shown = twelvefold("init", "taken")
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[E006]")
    assert twelvefold.shell(shown.help).status == 0


def test_init_names_the_next_step(twelvefold: CommandLine) -> None:
    """People get a list of files on stdout and the next command on stderr."""
    shown = twelvefold("init", "new project")
    assert "created   new project/Procfile" in shown.out
    assert "cd 'new project' && twelvefold up" in shown.err


def test_config_shows_values_and_origins(twelvefold: CommandLine) -> None:
    """`config --json` has a row for each setting, and says which place gave the value."""
    (twelvefold.cwd / ".env").write_text("TWELVEFOLD_PORT=6000\nMY_API_KEY=sk-1\nMODEL=small\n")
    rows = {row["name"]: row for row in twelvefold("config", "--json", TWELVEFOLD_DURABILITY="relaxed").json}
    assert set(rows["TWELVEFOLD_PORT"]) == {"name", "value", "origin", "source", "help"}
    assert (rows["TWELVEFOLD_PORT"]["value"], rows["TWELVEFOLD_PORT"]["origin"]) == (6000, "env file")
    assert rows["TWELVEFOLD_PORT"]["source"] == str(twelvefold.cwd / ".env")
    assert (rows["TWELVEFOLD_DURABILITY"]["value"], rows["TWELVEFOLD_DURABILITY"]["origin"]) == (
        "relaxed",
        "environment",
    )
    assert rows["TWELVEFOLD_LEASE_S"]["origin"] == "default"
    assert rows["MODEL"]["value"] == "small"


def test_config_masks_secrets(twelvefold: CommandLine) -> None:
    """A secret's value appears in no form of the output."""
    (twelvefold.cwd / ".env").write_text("MY_API_KEY=sk-from-file\nDB_PASSWORD=x\n")
    for form in ([], ["--json"], ["--jsonl"]):
        shown = twelvefold("config", *form, MY_API_KEY="sk-from-environment")
        assert shown.status == 0
        assert "sk-from" not in shown.out + shown.err
        assert "MY_API_KEY" in shown.out
    assert {row["name"]: row["value"] for row in twelvefold("config", "--jsonl").jsonl}["DB_PASSWORD"] == "********"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("GITHUB_PAT", "ghp_x", "********"),
        ("PGPASSWORD", "x", "********"),
        ("DATABASE_URL", "postgres://me:s3cret@host/db", "postgres://me:********@host/db"),
        ("MODEL_URL", "http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("PATH_TO_KEYS", "keys", "keys"),
    ],
)
def test_config_masks_what_a_name_or_a_url_tells(twelvefold: CommandLine, name: str, value: str, shown: str) -> None:
    """Secrets are known by many names, and by the password in a URL; what is none is shown."""
    (twelvefold.cwd / ".env").write_text(f"{name}={value}\n")
    assert {row["name"]: row["value"] for row in twelvefold("config", "--jsonl").jsonl}[name] == shown


def test_config_shows_where_sockets_lie_without_being_told(twelvefold: CommandLine) -> None:
    """The folder for sockets has a value even where nobody gave one."""
    rows = {row["name"]: row for row in twelvefold("config", "--json", TWELVEFOLD_RUNTIME_DIR="").json}
    assert rows["TWELVEFOLD_RUNTIME_DIR"]["value"] == f"/tmp/twelvefold-{os.getuid()}"


@pytest.mark.parametrize("line", ["export TWELVEFOLD_PORT=high", "  TWELVEFOLD_PORT = high", "TWELVEFOLD_PORT='high'"])
def test_every_spelling_of_a_bad_setting_is_mended_by_the_help(twelvefold: CommandLine, line: str) -> None:
    """A `.env` may say `export`, put spaces and quotes; the command in the help takes exactly that line away."""
    folder = twelvefold.cwd / "a b"
    folder.mkdir()
    (folder / ".env").write_text(f"A=1\n{line}\nXTWELVEFOLD_PORT=2\n")
    shown = twelvefold("config", cwd=folder)
    assert shown.status == 2
    assert twelvefold.shell(f"{shown.help} && twelvefold config", cwd=folder).status == 0
    assert (folder / ".env").read_text() == "A=1\nXTWELVEFOLD_PORT=2\n"


def test_bad_settings_name_a_working_remedy(twelvefold: CommandLine) -> None:
    """A setting that cannot be is exit 2, and doing what the help says mends it."""
    shown = twelvefold("config", TWELVEFOLD_PORT="high")
    assert (shown.status, shown.help) == (2, "unset TWELVEFOLD_PORT")
    assert twelvefold.shell(f"export TWELVEFOLD_PORT=high; {shown.help}; twelvefold config").status == 0
    (twelvefold.cwd / ".env").write_text("A=1\nTWELVEFOLD_PORT=high\n")
    shown = twelvefold("config")
    assert shown.status == 2
    assert str(twelvefold.cwd / ".env") in shown.err
    assert twelvefold.shell(f"{shown.help} && twelvefold config").status == 0
    assert (twelvefold.cwd / ".env").read_text() == "A=1\n"


@pytest.mark.parametrize("line", [b"this is nothing", b"NOTHING", b'"A=1', b"1A=2", b"A=\xff"])
def test_bad_env_file_is_mended_by_its_help(twelvefold: CommandLine, line: bytes) -> None:
    """A broken line of `.env` is shown with file, line and caret, and the command in the help takes it away."""
    (twelvefold.cwd / ".env").write_bytes(b"A=1\n" + line + b"\nB=2\n")
    shown = twelvefold("config")
    assert shown.status == 2
    assert f"--> {twelvefold.cwd}/.env:2:1" in shown.err
    command = shown.help.split(": ", 1)[1]
    assert twelvefold.shell(f"{command} && twelvefold config").status == 0


def test_doctor_finds_nothing_wrong_here(twelvefold: CommandLine) -> None:
    """On a machine that can run these tests `doctor` has no problem, and each finding has its four keys."""
    shown = twelvefold("doctor", "--json")
    assert [finding for finding in shown.json if finding["status"] == "problem"] == []
    assert shown.status == 0
    assert all(set(finding) == {"check", "status", "message", "fix"} for finding in shown.json)
    wanted = {
        "python",
        "git",
        "sqlite",
        "home",
        "file system",
        "disk",
        "sockets",
        "open files",
        "landlock",
        "ptrace",
        "bus",
    }
    assert wanted <= {finding["check"] for finding in shown.json}


def problems(shown: Any) -> dict[str, dict[str, str]]:
    assert shown.status == 1
    return {finding["check"]: finding for finding in shown.json if finding["status"] == "problem"}


def test_doctor_fixes_an_open_home(twelvefold: CommandLine) -> None:
    """A home that others can enter is a problem, and running the fix ends it."""
    home = twelvefold.cwd / ".twelvefold"
    home.mkdir(mode=0o755)
    found = problems(twelvefold("doctor", "--json"))
    assert "0755" in found["home"]["message"]
    assert twelvefold.shell(f"{found['home']['fix']} && twelvefold doctor").status == 0


def test_doctor_fixes_readable_secrets_and_misspelt_settings(twelvefold: CommandLine) -> None:
    """Secrets in a `.env` that others can read, and a variable that is nearly a setting, are problems with a fix."""
    (twelvefold.cwd / ".env").write_text("API_TOKEN=x\n")
    (twelvefold.cwd / ".env").chmod(0o644)
    found = problems(twelvefold("doctor", "--json"))["environment"]
    assert "API_TOKEN" in found["message"]
    assert twelvefold.shell(f"{found['fix']} && twelvefold doctor").status == 0
    found = problems(twelvefold("doctor", "--json", TWELVEFOLD_DURABILTY="full"))["environment"]
    assert "TWELVEFOLD_DURABILITY" in found["message"]
    assert twelvefold.shell(f"{found['fix']} && twelvefold doctor", TWELVEFOLD_DURABILTY="full").status == 0


def test_doctor_finds_a_misspelt_setting_in_the_env_file(twelvefold: CommandLine) -> None:
    """A variable of `.env` that is nearly a setting is a problem, and its fix takes it out of the file."""
    (twelvefold.cwd / ".env").write_text("export TWELVEFOLD_HOEM=x\nA=1\n")
    found = problems(twelvefold("doctor", "--json"))["environment"]
    assert "TWELVEFOLD_HOME" in found["message"]
    assert twelvefold.shell(f"{found['fix']} && twelvefold doctor").status == 0


def test_doctor_never_closes_a_folder_that_was_there_before(twelvefold: CommandLine) -> None:
    """A home put into a folder that others use is a problem; its fix is another home, not another mode."""
    shared = twelvefold.cwd / "shared"
    shared.mkdir(mode=0o755)
    (shared / "somebody's file").write_text("")
    found = problems(twelvefold("doctor", "--json", TWELVEFOLD_HOME=str(shared)))["home"]
    assert "chmod" not in found["fix"]
    assert twelvefold.shell(f"{found['fix']} && twelvefold doctor", TWELVEFOLD_HOME=str(shared)).status == 0


@pytest.mark.parametrize("home", ["/proc/nowhere/home", "/etc/passwd/home"])
def test_doctor_finds_a_home_that_cannot_be_made(twelvefold: CommandLine, home: str) -> None:
    """A home where no folder can be is found before anything is started, and its fix is a place where one can be."""
    found = problems(twelvefold("doctor", "--json", TWELVEFOLD_HOME=home))
    fix = next(iter(found.values()))["fix"]
    assert twelvefold.shell(f"{fix} && twelvefold doctor", TWELVEFOLD_HOME=home).status == 0


@pytest.mark.skipif(not shutil.which("setpriv"), reason="closes folders to root by util-linux's setpriv")
def test_a_closed_home_is_told_and_opened_by_the_help(twelvefold: CommandLine) -> None:
    """A home that the user closed to themselves: each command says so, and the help of each opens it again."""
    twelvefold("init")
    home = twelvefold.cwd / ".twelvefold"
    powers = "--bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search"
    as_user = f"setpriv {powers} twelvefold" if os.getuid() == 0 else "twelvefold"
    for command, status in (("log", 3), ("verify", 3), ("ps", 5), ("doctor", 0), ("logs", 0)):
        home.chmod(0)
        shown = twelvefold.shell(f"{as_user} {command}")
        assert shown.status == 1, command
        assert "E000" not in shown.err
        if command == "doctor":
            (fix, *_) = re.findall("fix: (.*)", shown.out)
        else:
            fix = shown.help
        assert twelvefold.shell(f"{fix}; {as_user} {command}").status == status, command


def test_doctor_finds_a_runtime_folder_that_is_too_deep(twelvefold: CommandLine) -> None:
    """A socket path beyond 107 bytes is found before anything is started."""
    found = problems(twelvefold("doctor", "--json", TWELVEFOLD_RUNTIME_DIR="/tmp/" + "deep/" * 25))
    assert "107" in found["sockets"]["message"]


def test_doctor_finds_missing_tools(twelvefold: CommandLine, tmp_path: Path) -> None:
    """Without git on PATH, `doctor` says how to install it."""
    program = Path(sys.executable).with_name("twelvefold")
    bare = subprocess.run(
        [program, "doctor", "--json"],
        cwd=twelvefold.cwd,
        env=twelvefold.environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert bare.returncode == 1
    assert "apt-get install git" in bare.stdout


def test_doctor_reports_a_bad_procfile(twelvefold: CommandLine) -> None:
    """A Procfile that `up` would refuse is a problem, shown with its place."""
    for text in (b"web: true\nnonsense\n", b"web: true\nwe\xffb: true\n"):
        (twelvefold.cwd / "Procfile").write_bytes(text)
        found = problems(twelvefold("doctor", "--json"))["procfile"]
        assert "Procfile:2" in found["message"]


def test_doctor_reports_a_foreign_log(twelvefold: CommandLine) -> None:
    """Something else in the log's place is a problem, and doing what the fix says ends it."""
    twelvefold("init")
    (twelvefold.cwd / ".twelvefold" / "log.db").write_text("these are not events\n" * 200)
    found = problems(twelvefold("doctor", "--json"))["log"]
    (command,) = re.findall(r"`(mv .*?)`", found["fix"])
    assert twelvefold.shell(f"{command} && twelvefold doctor").status == 0


def test_doctor_removes_locks_that_a_killed_git_left(twelvefold: CommandLine) -> None:
    """A lock in a store, while nothing runs, is a problem, and its fix removes it."""
    twelvefold("init")
    lock = twelvefold.cwd / ".twelvefold" / "stores" / "abc.git" / "refs" / "heads" / "x.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    found = problems(twelvefold("doctor", "--json"))["locks"]
    assert str(lock) in found["message"]
    assert twelvefold.shell(f"{found['fix']} && twelvefold doctor").status == 0
    assert not lock.exists()


def test_helps_name_only_commands_that_exist() -> None:
    """No error sends a user to a command that there is not."""
    for cls in all_errors():
        named = set(re.findall(r"[`\"' ]twelvefold ([a-z][a-z-]*)", inspect.getsource(cls)))
        assert named <= set(BY_NAME), cls


def test_every_error_code_is_unique_and_explained() -> None:
    """No two error classes share a code, and each has a text to explain it and an exit status of the rules."""
    classes = all_errors()
    codes = [cls.code for cls in classes]
    assert sorted(set(codes)) == codes
    for cls in classes:
        assert re.fullmatch(r"E[0-5]\d\d", cls.code), cls
        assert len(explanation(cls)) > 40, cls
        assert cls.exit_code in {1, 2, 3, 4, 5, 6, 7, 124}, cls


def test_no_error_class_is_missing_from_the_index() -> None:
    """Every class in the source that sets a code is found by `explain`."""
    in_source = set()
    for package in ("eventstore", "bus", "projections", "orchestration", "agents", "twelvefold", "twelvefold/cli"):
        for path in (ROOT / package).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    for line in node.body:
                        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                            in_source.add((ast.literal_eval(line.value), node.name))
    assert in_source <= {(cls.code, cls.__name__) for cls in all_errors()}


def test_explain(twelvefold: CommandLine) -> None:
    """`explain` takes a code in any spelling, lists all without one, and knows what it doesn't know."""
    told = twelvefold("explain", "E101", "--json").json
    assert set(told) == {"code", "name", "exit_code", "summary", "explanation"}
    assert (told["code"], told["name"], told["exit_code"]) == ("E101", "VersionConflict", 4)
    for spelling in ("e101", "101"):
        assert twelvefold("explain", spelling).out == twelvefold("explain", "E101").out
    assert {"E101", "E005"} <= {row["code"] for row in twelvefold("explain", "--json").json}
    unknown = twelvefold("explain", "E999")
    assert (unknown.status, unknown.out) == (3, "")
    assert twelvefold.shell(unknown.help).status == 0


def test_repos_lists_sisters(twelvefold: CommandLine, make_repository: Any, tmp_path: Path) -> None:
    """From inside one repository, and from the folder around them, `repos` tells branch and state of each sister."""
    side_by_side = tmp_path / "sisters"
    one, two = (make_repository(side_by_side / name) for name in ("one", "two"))
    (two / "README").write_text("changed\n")
    (two / "test_two.py").write_text("import pytest\n\n\ndef test_two():\n    pass\n")
    git(two, "add", "test_two.py")
    git(two, "switch", "-q", "-c", "work/now")
    bare = side_by_side / "no repository"
    bare.mkdir()
    for place in (side_by_side, one):
        rows = {row["name"]: row for row in twelvefold("repos", "--json", cwd=place).json}
        assert set(rows) == {"one", "two"}
        keys = {"name", "path", "branch", "commit", "clean", "runner", "permissions", "problem", "remarks"}
        assert set(rows["one"]) == keys
        assert rows["one"]["permissions"] == {"read": True, "write": True, "commands": True}
        assert (rows["one"]["branch"], rows["one"]["clean"], rows["one"]["path"]) == ("main", True, str(one))
        assert (rows["two"]["branch"], rows["two"]["clean"]) == ("work/now", False)
        assert (rows["one"]["runner"], rows["two"]["runner"]) == (None, "pytest")


def test_repos_tells_detached_and_empty_and_broken(
    twelvefold: CommandLine, make_repository: Any, tmp_path: Path
) -> None:
    """Detached HEAD, no commits, and a repository that git cannot read are told apart, and none is an error."""
    side_by_side = tmp_path / "sisters"
    detached = make_repository(side_by_side / "detached")
    git(detached, "switch", "-q", "--detach")
    (side_by_side / "empty").mkdir()
    git(side_by_side / "empty", "init", "-q", "-b", "main")
    (side_by_side / "broken" / ".git").mkdir(parents=True)
    shown = twelvefold("repos", "--jsonl", cwd=side_by_side)
    rows = {row["name"]: row for row in shown.jsonl}
    assert shown.status == 0
    assert (rows["detached"]["branch"], rows["detached"]["problem"]) == (None, None)
    assert (rows["empty"]["commit"], rows["empty"]["problem"]) == (None, "no commits yet")
    assert rows["broken"]["clean"] is None
    assert rows["broken"]["problem"]


def test_repos_changes_and_runs_nothing(twelvefold: CommandLine, make_repository: Any, tmp_path: Path) -> None:
    """Looking at a repository neither touches a file in it nor runs the program its configuration names."""
    repository = make_repository(tmp_path / "sisters" / "one")
    trap = tmp_path / "ran"
    git(repository, "config", "core.fsmonitor", f"touch {trap};")
    before = snapshot(repository)
    assert twelvefold("repos", cwd=repository).status == 0
    assert snapshot(repository) == before
    assert not trap.exists()


def test_repos_without_any(twelvefold: CommandLine) -> None:
    """No repository is an empty answer, and a hint for people on stderr."""
    assert twelvefold("repos", "--json").json == []
    shown = twelvefold("repos")
    assert (shown.status, shown.out) == (0, "")
    assert "no git repositories" in shown.err


def test_a_folder_becomes_a_repository_to_work_in_by_the_help(twelvefold: CommandLine) -> None:
    """An empty folder, and a repository without a commit: what the help of `run` says makes each one to start from."""
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@x"}
    for code, begun in (("E442", "true"), ("E443", "git init -q")):
        folder = twelvefold.cwd / f"my {code}"
        folder.mkdir()
        assert twelvefold.shell(begun, cwd=folder).status == 0
        asked = "twelvefold run 'Replace it in words' --dry-run"
        shown = twelvefold.shell(asked, cwd=folder)
        assert shown.err.startswith(f"error[{code}]")
        assert twelvefold.shell(shown.help, cwd=folder, **who).status == 0
        assert twelvefold.shell(asked, cwd=folder).status == 7


@pytest.mark.parametrize("command", ["config", "doctor", "explain", "repos"])
def test_looking_makes_no_home(twelvefold: CommandLine, tmp_path: Path, command: str) -> None:
    """Commands that only look leave neither a home nor anything in the folder they were called in."""
    twelvefold(command)
    assert not (tmp_path / "state").exists()
    assert list(twelvefold.cwd.iterdir()) == []
