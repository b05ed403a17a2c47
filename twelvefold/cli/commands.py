"""The list of commands: name, the function behind it, and one line of help. Pure data, cheap to import.

A command is a function with typer annotations that returns its exit status (None is 0); its module is imported only
when the command is called. The first line of its docstring equals the summary here (a test checks that).
"""

from __future__ import annotations

from keyword import iskeyword
from typing import NamedTuple


class CommandEntry(NamedTuple):
    """One command: its function stands in `module` below `twelvefold.cli`, under its name with `_` for `-`."""

    name: str
    module: str
    group: str
    summary: str

    @property
    def function(self) -> str:
        """The name of the function in the module."""
        name = self.name.replace("-", "_")
        return f"{name}_" if iskeyword(name) else name


_PROCESSES, _WORK, _LOG, _WATCHING = "Processes", "Work", "The log", "Looking around"

COMMANDS: tuple[CommandEntry, ...] = (
    CommandEntry("init", "init", _PROCESSES, "Write a first project: Procfile, one agent, its test."),
    CommandEntry("up", "processes", _PROCESSES, "Start the bus, the orchestrator and every line of the Procfile."),
    CommandEntry("down", "processes", _PROCESSES, "Stop a running `up` and all of its processes."),
    CommandEntry("stop", "processes", _PROCESSES, "Stop processes by NAME or NAME.N; they stay stopped."),
    CommandEntry("restart", "processes", _PROCESSES, "Restart processes by NAME or NAME.N."),
    CommandEntry("scale", "processes", _PROCESSES, "Set how many instances of a line run: `scale fixer=5`."),
    CommandEntry("ps", "processes", _PROCESSES, "List the processes of a running `up`."),
    CommandEntry("logs", "processes", _PROCESSES, "Show what processes have printed."),
    CommandEntry(
        "run-once", "processes", _PROCESSES, "Run one line of the Procfile once, here, and end with its exit status."
    ),
    CommandEntry("check", "processes", _PROCESSES, "Check a Procfile and its options."),
    CommandEntry("systemd", "processes", _PROCESSES, "Write systemd user units for the lines of a Procfile."),
    CommandEntry("bus", "services", _PROCESSES, "Run the bus: the process that owns the log."),
    CommandEntry("orchestrator", "services", _PROCESSES, "Run the orchestrator: the process that decides."),
    CommandEntry(
        "projector", "services", _PROCESSES, "Run the projector: the process that keeps read models up to date."
    ),
    CommandEntry("agent", "services", _PROCESSES, "Run one agent: `agent MODULE:CLASS`."),
    CommandEntry("run", "run", _WORK, "Do a job: an issue file in, a tested branch out."),
    CommandEntry("watch", "watch", _WORK, "Start a run for every new issue file in a folder, once."),
    CommandEntry("analyze", "analyze", _WORK, "Tell how complex an issue is, why, and what it falls into."),
    CommandEntry("runs", "runs", _WORK, "List runs, the latest first."),
    CommandEntry("status", "status", _WORK, "Show one run: outcome, tasks, evidence, cost, and what it waits for."),
    CommandEntry("tree", "status", _WORK, "Show the tree of a run's tasks."),
    CommandEntry("pause", "control", _WORK, "Pause a run: it starts nothing new until it is resumed."),
    CommandEntry("resume", "control", _WORK, "Resume a run that is paused."),
    CommandEntry("cancel", "control", _WORK, "Cancel a run: what is open is taken back, what was done is undone."),
    CommandEntry("inbox", "inbox", _WORK, "List what waits for a human, oldest first."),
    CommandEntry("approve", "inbox", _WORK, "Approve what waits for an approval, or answer a question with yes."),
    CommandEntry("reject", "inbox", _WORK, "Reject what waits for an approval, or answer a question with no."),
    CommandEntry("answer", "inbox", _WORK, "Answer what waits for a human."),
    CommandEntry("review", "review", _WORK, "Review a change: what it brings that is wrong, risky or missing."),
    CommandEntry("test", "test", _WORK, "Run a repository's tests at a commit, or compare them with another's."),
    CommandEntry(
        "research",
        "research",
        _WORK,
        "Answer a question about repositories with passages of their code, documents and history.",
    ),
    CommandEntry("repos", "repos", _WORK, "List the sister repositories that lie side by side."),
    CommandEntry("demo", "demo", _WORK, "Run a whole job offline on a throw-away pair of repositories."),
    CommandEntry("log", "log", _LOG, "Show events, oldest first."),
    CommandEntry("emit", "emit", _LOG, "Append one event and print its position."),
    CommandEntry(
        "replay",
        "replay",
        _LOG,
        "Step through a run: each event, and what it changed in the run's state; or check that it would be the same.",
    ),
    CommandEntry(
        "diff",
        "diff",
        _LOG,
        "Compare two runs to their first difference: events, state, files, prompts, cost and time.",
    ),
    CommandEntry(
        "why",
        "why",
        _LOG,
        "Tell why a line is as it is: its commit, effect, model call and prompt, and what caused them.",
    ),
    CommandEntry("rollback", "rollback", _LOG, "Take a run back to how it was: compensate, restore files."),
    CommandEntry("state", "state", _LOG, "Show any read model as of any position or time."),
    CommandEntry("fork", "fork", _LOG, "Fork a run: a new one goes on from a position of it, with today's code."),
    CommandEntry("verify", "verify", _LOG, "Check the hash chain and find gaps; exit 6 names the first bad position."),
    CommandEntry("forget", "forget", _LOG, "Free what the log and the disk hold of runs; headers and outcomes stay."),
    CommandEntry("backup", "backup", _LOG, "Write a consistent copy of the log, also while the bus runs."),
    CommandEntry(
        "export", "run_files", _LOG, "Write a run to one file that can be imported, replayed and verified elsewhere."
    ),
    CommandEntry(
        "import", "run_files", _LOG, "Import a run that was exported elsewhere, to be looked at and replayed here."
    ),
    CommandEntry("metrics", "metrics", _WATCHING, "Print metrics as Prometheus reads them, or serve them at a port."),
    CommandEntry("health", "health", _WATCHING, "Tell whether all is well; exit status 1 where it is not."),
    CommandEntry("trace", "trace", _WATCHING, "Show a run as a tree of spans with their times, or export spans."),
    CommandEntry("config", "config", _WATCHING, "Show the effective settings and where each came from."),
    CommandEntry("doctor", "doctor", _WATCHING, "Examine this machine and home; each finding has a fix."),
    CommandEntry("explain", "explain", _WATCHING, "Explain an error code, such as E101."),
    CommandEntry("completion", "completion", _WATCHING, "Print the completion script of a shell."),
)

BY_NAME = {entry.name: entry for entry in COMMANDS}

USAGE = "Usage: twelvefold [--debug] COMMAND [ARGS]..."


def overview() -> str:
    """Return the text of `twelvefold --help`: all commands by group."""
    width = max(len(entry.name) for entry in COMMANDS)
    lines = [USAGE, "", "Run AI agents as ordinary processes, with every step of theirs in one durable log."]
    for group in dict.fromkeys(entry.group for entry in COMMANDS):
        lines += ["", f"{group}:"]
        lines += [f"  {entry.name:<{width}}  {entry.summary}" for entry in COMMANDS if entry.group == group]
    lines += [
        "",
        "Options:",
        f"  {'--debug':<{width}}  Show a traceback with an error.",
        f"  {'--version':<{width}}  Print the version and exit.",
        f"  {'-h, --help':<{width}}  Show this text, or that of a COMMAND.",
        "",
        "Begin with `twelvefold demo`, or `twelvefold init` in a new folder.",
    ]
    return "\n".join(lines) + "\n"
