"""The frame around all commands: help, errors, exit statuses, colours, pipes and signals."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import twelvefold as package
from twelvefold.cli.boundary import shown_errors
from twelvefold.cli.commands import COMMANDS, CommandEntry
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog

from .conftest import CommandLine

ENTRIES = [pytest.param(entry, id=entry.name) for entry in COMMANDS]


def test_help_lists_every_command(twelvefold: CommandLine) -> None:
    """`twelvefold --help` names each command once, with its summary, on stdout."""
    shown = twelvefold("--help")
    assert (shown.status, shown.err) == (0, "")
    for entry in COMMANDS:
        assert len(re.findall(rf"^  {entry.name} +{re.escape(entry.summary)}$", shown.out, re.MULTILINE)) == 1


def test_help_imports_no_command(twelvefold: CommandLine) -> None:
    """Help is quick because nothing slow is imported for it."""
    program = (
        "import sys; from twelvefold.cli.main import main; main(['--help']);"
        "print([name for name in ('typer', 'rich', 'zmq', 'msgspec', 'sqlite3', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("entry", ENTRIES)
def test_each_command_has_help(twelvefold: CommandLine, entry: CommandEntry) -> None:
    """`twelvefold COMMAND --help` begins with the summary that the list shows, and `-h` is the same."""
    function = getattr(import_module(f"twelvefold.cli.{entry.module}"), entry.function)
    assert (inspect.getdoc(function) or "").split("\n")[0] == entry.summary
    shown = twelvefold(entry.name, "--help")
    assert shown.status == 0
    assert shown.out.startswith(f"Usage: twelvefold {entry.name}")
    assert twelvefold(entry.name, "-h").out == shown.out


def test_without_a_command(twelvefold: CommandLine) -> None:
    """No command is a usage error: the list goes to stderr."""
    shown = twelvefold()
    assert (shown.status, shown.out) == (2, "")
    assert "Processes:" in shown.err


def test_version(twelvefold: CommandLine) -> None:
    """`--version` prints the version that the package carries and that was installed."""
    from importlib.metadata import version

    shown = twelvefold("--version")
    assert (shown.status, shown.out) == (0, f"twelvefold {package.__version__}\n")
    assert version("twelvefold") == package.__version__


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lgo"], "Did you mean `log`"),
        (["--nonsense"], "--nonsense"),
        (["log", "--nonsense"], "--nonsense"),
        (["log", "--limit", "many"], "'--limit': Input should be a valid integer"),
        (["log", "--limit"], "--limit"),
        (["emit"], "TYPE"),
        (["config", "extra"], "extra"),
    ],
)
def test_usage_errors(twelvefold: CommandLine, arguments: list[str], words: str) -> None:
    """A command line that makes no sense is exit 2, says what is wrong, and its help line is a command that works."""
    shown = twelvefold(*arguments)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[E004]: ")
    assert words in shown.err
    assert twelvefold.shell(shown.help).status == 0


def test_no_traceback_without_debug(twelvefold: CommandLine) -> None:
    """An error is told in words; the traceback is shown for `--debug` only."""
    quiet, loud = (twelvefold(*options, "explain", "E999") for options in ([], ["--debug"]))
    assert quiet.status == loud.status == 3
    assert "Traceback" not in quiet.err
    assert "Traceback (most recent call last)" in loud.err
    assert quiet.err in loud.err


def test_the_unforeseen_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw is E000, exit 1, names the place in the code and how to see more, and has no traceback."""
    with shown_errors(["log", "--run", "a b"]) as outcome:
        raise ZeroDivisionError("by nothing")
    errors = capsys.readouterr().err
    assert outcome.status == 1
    assert errors.startswith("error[E000]: ZeroDivisionError: by nothing\n")
    assert Path(__file__).name in errors
    assert errors.endswith("help: twelvefold --debug log --run 'a b'\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize("kind", ["file", "loop", "name"])
def test_a_home_to_which_no_way_leads_is_told_in_words(twelvefold: CommandLine, tmp_path: Path, kind: str) -> None:
    """A file, a link to itself, or a name that is too long, in place of a folder, is no defect of ours."""
    home = tmp_path / ("x" * 300 if kind == "name" else kind)
    if kind == "file":
        home.touch()
    elif kind == "loop":
        home.symlink_to(home)
    for command in ("ps", "logs"):
        shown = twelvefold(command, TWELVEFOLD_HOME=str(home))
        assert shown.err.startswith("error[E015]: ")
        assert str(home) in shown.err


@pytest.mark.parametrize("arguments", [["config"], ["explain"], ["--version"]])
def test_a_full_disk_behind_the_output_is_told(twelvefold: CommandLine, arguments: list[str]) -> None:
    """Output that cannot be written is an error in words with exit 1, never a success and never a traceback."""
    with Path("/dev/full").open("w") as full:
        done = twelvefold.start(*arguments, stdout=full)
        _, errors = done.communicate(timeout=60)
    assert done.returncode == 1
    assert errors.startswith("error[E016]: standard output cannot be written: No space left on device")
    assert "Traceback" not in errors


def test_an_error_behind_a_closed_pipe_keeps_its_status(twelvefold: CommandLine) -> None:
    """Nobody reading stdout or stderr makes no failure a success."""
    assert twelvefold.shell("twelvefold explain E999 2>&1 | true; exit ${PIPESTATUS[0]}").status == 3
    assert twelvefold.shell("twelvefold doctor | true; exit ${PIPESTATUS[0]}", TWELVEFOLD_HOEM="x").status == 1


def test_a_current_folder_that_is_gone(twelvefold: CommandLine) -> None:
    """In a folder that has been removed a command says so, and doing what the help says mends it."""
    gone = "mkdir gone; cd gone; rmdir ../gone; "
    shown = twelvefold.shell(gone + "twelvefold config")
    assert shown.err.startswith("error[E015]: the current folder cannot be used")
    assert twelvefold.shell(f"{gone} {shown.help}; twelvefold config").status == 0


def test_a_dumb_terminal_gets_no_escape_codes(twelvefold: CommandLine) -> None:
    """TERM=dumb: nothing is coloured, and no line is written anew."""
    twelvefold("init")
    log = SqliteLog(twelvefold.cwd / ".twelvefold" / "log.db")
    log.append(Append(events=[new_event("demo.happened", 1, id=bytes(16))]))
    log.close()
    assert "\x1b" in twelvefold.on_terminal("verify").out
    for arguments in (["verify"], ["log"], ["explain", "E999"]):
        assert "\x1b" not in twelvefold.on_terminal(*arguments, TERM="dumb").out


@pytest.mark.parametrize("arguments", [["--help"], ["config"], ["config", "--json"], ["explain"]])
def test_a_closed_pipe_is_no_error(twelvefold: CommandLine, arguments: list[str]) -> None:
    """A reader that has gone (`| head`) ends the command in silence, with status 0."""
    reading, writing = os.pipe()
    os.close(reading)
    process = twelvefold.start(*arguments, stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_closed_standard_streams(twelvefold: CommandLine) -> None:
    """A command started with stdout or stderr closed does its work all the same."""
    assert twelvefold.shell("twelvefold config >&-").status == 0
    assert twelvefold.shell("twelvefold explain E999 2>&-").status == 3


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": "", "FORCE_COLOR": "1"}, True)],
)
def test_colour_on_a_terminal(twelvefold: CommandLine, variables: dict[str, str], coloured: bool) -> None:
    """A terminal gets colour unless NO_COLOR or TERM=dumb say otherwise; errors and tables alike."""
    for arguments in (["explain", "E999"], ["doctor"], ["config"]):
        assert ("\x1b[" in twelvefold.on_terminal(*arguments, **variables).out) is coloured


def test_no_colour_into_a_pipe_unless_forced(twelvefold: CommandLine) -> None:
    """A pipe gets plain text, and colour where FORCE_COLOR asks for it."""
    assert "\x1b[" not in twelvefold("doctor").out
    assert "\x1b[" in twelvefold("doctor", FORCE_COLOR="1").out
    assert "\x1b[" not in twelvefold("doctor", FORCE_COLOR="0").out


def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe(twelvefold: CommandLine) -> None:
    """On a terminal no line is wider than it; in a pipe no value is cut or broken."""
    narrow = twelvefold.on_terminal("explain", columns=60, NO_COLOR="1")
    assert max(len(line) for line in narrow.out.splitlines()) <= 60
    wide = twelvefold("explain")
    assert any("docs" in line or len(line) > 60 for line in wide.out.splitlines())
    assert all(re.match(r"E\d{3}|CODE", line) for line in wide.out.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(twelvefold: CommandLine, shell: str) -> None:
    """Each shell's script calls us back."""
    script = twelvefold("completion", shell)
    assert script.status == 0
    assert "_TWELVEFOLD_COMPLETE=complete_" + shell in script.out


def test_bash_completes_commands_and_options(twelvefold: CommandLine) -> None:
    """bash, having read the script, offers commands by prefix and the options of a command."""
    line = (
        "source <(twelvefold completion bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); "
        "_twelvefold_completion twelvefold; echo ${{COMPREPLY[@]}}"
    )
    assert twelvefold.shell(line.format(words="twelvefold conf")).out.split() == ["config"]
    assert "--json" in twelvefold.shell(line.format(words="twelvefold config --")).out.split()


def keys_of(document: Any) -> set[str]:
    """Every key of a JSON document, the inner ones too."""
    if isinstance(document, list):
        return set().union(*map(keys_of, document))
    return set(document).union(*map(keys_of, document.values())) if isinstance(document, dict) else set()


@pytest.mark.parametrize(
    "line",
    [
        "init --json",
        "check --json",
        "config --json",
        "doctor --json",
        "explain --json",
        "explain E101 --json",
        "repos --json",
        "run 'Replace `hello` with `bye` in `README`' --dry-run --json",
        "run 'nothing there' --repo ../gone --json",
    ],
)
def test_keys_of_json_are_documented(twelvefold: CommandLine, make_repository: Any, line: str) -> None:
    """Whoever reads a command's help knows each key of its --json."""
    repository = make_repository(twelvefold.cwd / "one")
    twelvefold("init", cwd=repository)
    keys = keys_of(twelvefold.shell(f"twelvefold {line}", cwd=repository).json)
    told = set(re.findall(r"\w+", twelvefold(line.split()[0], "--help").out))
    assert keys
    assert keys <= told


def test_the_reference_is_up_to_date() -> None:
    """docs/cli.md is what the code says; `scripts/make_cli_docs` writes it."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, root / "scripts" / "make_cli_docs", "--check"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_reference_has_every_command() -> None:
    """Each command has a heading of its own in the reference."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()
    assert re.findall(r"^### (\S+)$", page, re.MULTILINE) == [
        entry.name for group in dict.fromkeys(e.group for e in COMMANDS) for entry in COMMANDS if entry.group == group
    ]
