"""What a Procfile line's command is taken for, and the environment that children get."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.command_line import (
    agent_arguments,
    own_environment,
    shared_environment,
    shell_arguments,
    speaks_to_bus,
)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("twelvefold agent my_agents:Echo", ["my_agents:Echo"]),
        ("twelvefold  agent  my_agents:Echo --name echo ", ["my_agents:Echo", "--name", "echo"]),
        ("twelvefold agent a:B --name=c", ["a:B", "--name=c"]),
        ("twelvefold agent a:B | tee log", None),
        ("twelvefold agent a:B > log", None),
        ("twelvefold agent $NAME", None),
        ("twelvefold agent 'a:B'", None),
        ("twelvefold agent a:B &", None),
        ("X=1 twelvefold agent a:B", None),
        ("exec twelvefold agent a:B", None),
        ("/opt/bin/twelvefold agent a:B", None),
        ("twelvefold bus", None),
        ("python -m twelvefold agent a:B", None),
    ],
)
def test_only_a_plain_agent_line_is_forked(command: str, arguments: list[str] | None) -> None:
    """A line is forked from the zygote only where a shell would do nothing to it."""
    assert agent_arguments(command) == arguments


@given(st.text(alphabet="ab $'\"`|&;<>()*?[]{}~!#\\=%./-_:\t\n", max_size=20))
def test_words_that_are_taken_as_plain_mean_the_same_to_a_shell(rest: str) -> None:
    """Whatever is forked without a shell has the arguments that a shell would have given it."""
    arguments = agent_arguments(f"twelvefold agent {rest}")
    if arguments is not None:
        script = f"set -f; twelvefold() {{ printf '%s\\n' \"$@\"; }}; twelvefold agent {rest}"
        said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout
        assert said.splitlines() == ["agent", *arguments]


@pytest.mark.parametrize(
    ("command", "status", "output"),
    [
        ("echo one two", 0, "one two\n"),
        ("echo $((1+2)) && false", 1, "3\n"),
        ("X=5 sh -c 'echo $X'", 0, "5\n"),
        ("cd / && pwd", 0, "/\n"),
        ("exit 3", 3, ""),
        ("if true; then echo yes; fi", 0, "yes\n"),
        ("echo a | tr a b", 0, "b\n"),
        ("exec echo once", 0, "once\n"),
        ("! true", 1, ""),
        ("# nothing", 0, ""),
        (". /dev/null", 0, ""),
        ("[ 1 = 1 ]", 0, ""),
        ("{ echo x; }", 0, "x\n"),
        ("'echo' quoted", 0, "quoted\n"),
        ("$EMPTY echo x", 0, "x\n"),
        ("no-such-program-anywhere", 127, ""),
    ],
)
def test_any_shell_command_runs_as_a_shell_runs_it(command: str, status: int, output: str) -> None:
    """Built-ins, assignments, compound commands and quotes keep their meaning; only simple commands get an `exec`."""
    done = subprocess.run(shell_arguments(command), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, output)


def test_a_simple_command_replaces_its_shell() -> None:
    """A simple command runs under the pid that was spawned, so that signals reach it and not a shell before it."""
    process = subprocess.Popen(shell_arguments("cat /proc/self/stat"), stdout=subprocess.PIPE, text=True)
    said, _ = process.communicate()
    assert int(said.split()[0]) == process.pid


@pytest.mark.parametrize(
    ("command", "speaks"),
    [
        ("twelvefold agent a:B", True),
        ("twelvefold agent a:B | tee x", True),
        ("cd sub; X=1 exec twelvefold agent a:B", True),
        (".venv/bin/twelvefold orchestrator", True),
        ("python -m http.server", False),
        ("echo nottwelvefold agentx", False),
        ("twelvefold log -f", False),
    ],
)
def test_lines_that_say_hello_are_told_from_those_that_never_will(command: str, speaks: bool) -> None:
    """Only agents and orchestrators are waited for by their hello; anything else is ready once it runs."""
    assert speaks_to_bus(command) is speaks


def test_children_inherit_everything_but_marks_of_an_outer_supervisor() -> None:
    """A child inherits all, the trace context included, but the marks of an outer supervisor, which become ours."""
    base = {"PATH": "/bin", "TRACEPARENT": "00-1-2-01", "X": "y", "TWELVEFOLD_INSTANCE": "old", "PS": "old.1"}
    shared = shared_environment(base, home="/h", runtime_dir=None, incarnation="i", scripts="/venv/bin")
    assert shared == {
        "PATH": "/bin:/venv/bin",
        "TRACEPARENT": "00-1-2-01",
        "X": "y",
        "TWELVEFOLD_HOME": "/h",
        "TWELVEFOLD_INCARNATION": "i",
    }
    assert own_environment("web.2", "web.2.ab", 5001) == {
        "TWELVEFOLD_INSTANCE": "web.2.ab",
        "TWELVEFOLD_PROCESS": "web.2",
        "PS": "web.2",
        "PORT": "5001",
    }
