"""Analyzers, run on one side of a change: found, asked for their version, called under limits, and read.

Owns where tools come from (the repository's own environments, then the caller's PATH) and what they get to see: a
workspace of the review's own, which they can't write to where the kernel can hold them to that, no variable of the
caller's but PATH, no way to the network that they would take by themselves. Keeps: a tool that crashes, takes too long
or can't be read is reported as failed; one that would run the repository's own code does so contained or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..guarded import Execution, Limits, run_guarded
from ..node_modules import lend_node_modules
from ..test_environment import own_environments
from .analyzers import ANALYZERS, Analyzer, Side
from .finding import ToolReport
from .tool_answers import Raw, ToolUnreadable

#: The most that is kept of what one tool says.
RAWS_MAX = 5_000
ANSWER_BYTES_MAX = 64 << 20
VERSION_TIMEOUT_S = 30.0
#: The exit code by which tools say that they can't do with the settings or what is installed.
_REFUSED = 2
#: An address that answers nothing: tools that would ask the network for something fail at once.
_NOWHERE = "http://127.0.0.1:9"
_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")


class ToolRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one analyzer said of one side. `own`: it is the repository's own, from its own environment."""

    report: ToolReport
    raws: tuple[Raw, ...] = ()
    own: bool = False


class Bench(msgspec.Struct, kw_only=True):
    """What the runs of one side have in common: folders, the caller's PATH, and until when they may take."""

    workspace: Path
    repo: Path
    scratch: Path
    path: str
    timeout_s: float
    contained: bool
    cancelled: Callable[[], bool] = lambda: False
    held: Sequence[int] = ()


def analyze(bench: Bench, side: Side, names: Sequence[str] | None = None) -> list[ToolRun]:
    """Run every analyzer that is there and has something to look at, or only those that are named."""
    if any(path.endswith("package.json") for path in side.paths):
        lend_node_modules(bench.repo, bench.workspace)
    deadline = time.monotonic() + bench.timeout_s
    found = []
    for analyzer in ANALYZERS:
        if bench.cancelled():
            break
        if names is not None and analyzer.name not in names:
            continue
        program, own = find_tool(analyzer.name, bench)
        files = _files(analyzer, side, bench)
        if program is None or not files:
            continue
        run = _run(analyzer, program, msgspec.structs.replace(side, files=files), bench, deadline, own=own)
        found.append(msgspec.structs.replace(run, own=own))
    return found


def find_tool(name: str, bench: Bench) -> tuple[str | None, bool]:
    """Return a tool's program, and whether it is the repository's own; never one that lies in the workspace."""
    own = [str(folder / "bin") for folder in own_environments(bench.repo)] + [str(bench.repo / "node_modules/.bin")]
    for folder in own:
        if program := shutil.which(name, path=folder):
            return program, True
    inside = f"{bench.workspace}/"
    for folder in bench.path.split(":"):
        outside = folder.startswith("/") and not f"{folder}/".startswith(inside)
        if outside and (program := shutil.which(name, path=folder)):
            return program, False
    return None, False


def _files(analyzer: Analyzer, side: Side, bench: Bench) -> tuple[str, ...]:
    chosen = []
    for path in side.files:
        file = bench.workspace / path
        # A name that begins with a dash would be an option to tools that know no `--`.
        if file.is_symlink() or not file.is_file() or path.startswith("-"):
            continue
        with file.open("rb") as opened:
            if analyzer.wanted(path, opened.read(200)):
                chosen.append(path)
    return tuple(chosen)


def _run(analyzer: Analyzer, program: str, side: Side, bench: Bench, deadline: float, *, own: bool) -> ToolRun:
    command = analyzer.command(side)
    if command is None:
        return ToolRun(report=_skipped(analyzer, "the repository has no settings for it"))
    if analyzer.runs_code(side) and not bench.contained:
        return ToolRun(report=_skipped(analyzer, "it runs code of the repository, and can't be contained here"))
    place = bench.scratch / analyzer.name
    for folder in (place, place / "home", place / "tmp", place / "cache"):
        folder.mkdir(mode=0o700)
    version = _version(program, bench, place)
    argv = [program, *_filled(command[1:], bench, place)]
    left = deadline - time.monotonic()
    facts: dict[str, Any] = {"name": analyzer.name, "version": version}
    if left <= 0:
        return ToolRun(report=ToolReport(status="failed", reason="there was no time left for it", **facts))
    execution = _execute(argv, bench, place, left)
    facts["contained"] = execution.contained
    if execution.exit_code == _REFUSED and analyzer.at_home and not own:
        reason = f"it isn't the project's own, and refuses: {_last(execution, place)}"
        return ToolRun(report=ToolReport(status="skipped", reason=reason, **facts))
    if problem := _problem(execution, analyzer, place):
        return ToolRun(report=ToolReport(status="failed", reason=problem, **facts))
    try:
        raws = analyzer.read(_answer(place), str(bench.workspace))
    except ToolUnreadable as error:
        return ToolRun(report=ToolReport(status="failed", reason=str(error), **facts))
    if execution.exit_code and not raws:
        reason = f"it ended with exit code {execution.exit_code} and named nothing: {_last(execution, place)}"
        return ToolRun(report=ToolReport(status="failed", reason=reason, **facts))
    if len(raws) > RAWS_MAX:
        reason = f"it found more than {RAWS_MAX} things, too many to compare"
        return ToolRun(report=ToolReport(status="failed", reason=reason, **facts))
    return ToolRun(report=ToolReport(status="ok", **facts), raws=tuple(_with_text(raws, bench.workspace)))


def _skipped(analyzer: Analyzer, reason: str) -> ToolReport:
    return ToolReport(name=analyzer.name, status="skipped", reason=reason)


def _filled(words: Sequence[str], bench: Bench, place: Path) -> list[str]:
    python = [str(folder / "bin/python") for folder in own_environments(bench.repo)]
    filled = []
    for word in words:
        if word == "{python}":
            filled += ["--python-executable", python[0]] if python else []
        else:
            filled.append(word.replace("{cache}", str(place / "cache")))
    return filled


def _environment(bench: Bench, place: Path) -> dict[str, str]:
    own = [str(folder / "bin") for folder in own_environments(bench.repo)]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE)
    return {
        "PATH": ":".join([*own, bench.path]),
        "HOME": str(place / "home"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "XDG_CONFIG_HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "PWD": str(bench.workspace),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "SEMGREP_SEND_METRICS": "off",
        "npm_config_offline": "true",
        **proxies,
    }


def _execute(argv: Sequence[str], bench: Bench, place: Path, timeout_s: float) -> Execution:
    """Run a tool with its standard output in a file; what it says on standard error is in the execution's tail."""
    shell = ["/bin/sh", "-c", 'exec >"$0"; exec "$@"', str(place / "answer"), *argv]
    return run_guarded(
        shell,
        folder=bench.workspace,
        env=_environment(bench, place),
        scratch=place,
        limits=Limits(timeout_s=timeout_s),
        cancelled=bench.cancelled,
        held=bench.held,
        writable=[place] if bench.contained else None,
    )


def _answer(place: Path) -> bytes:
    file = place / "answer"
    if not file.is_file():
        raise ToolUnreadable("it answered nothing")
    if file.stat().st_size > ANSWER_BYTES_MAX:
        raise ToolUnreadable(f"its answer is longer than {ANSWER_BYTES_MAX >> 20} MiB")
    return file.read_bytes()


def _version(program: str, bench: Bench, place: Path) -> str | None:
    execution = _execute([program, "--version"], bench, place, VERSION_TIMEOUT_S)
    if execution.exit_code != 0:
        return None
    found = _VERSION.search(_answer(place)[:4000].decode("utf-8", "replace"))
    return found[0] if found else None


def _problem(execution: Execution, analyzer: Analyzer, place: Path) -> str:
    """Say why a run came to no proper end; empty where it did."""
    if execution.problem:
        return f"it can't be started: {execution.problem}"
    if execution.stopped == "timeout":
        return f"it had not ended after {execution.elapsed_s:.0f} s"
    if execution.stopped:
        return f"its run was {execution.stopped}"
    if execution.exit_code is None or execution.exit_code < 0:
        return f"it was ended by signal {-(execution.exit_code or 0)}"
    if execution.exit_code not in analyzer.done:
        return f"it ended with exit code {execution.exit_code}: {_last(execution, place)}"
    return ""


def _last(execution: Execution, place: Path) -> str:
    """Return the last line that a tool said: on standard error, else in its answer."""
    file = place / "answer"
    answer = file.read_bytes()[-4000:].decode("utf-8", "replace") if file.is_file() else ""
    lines = [line.strip() for said in (answer, execution.tail) for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _with_text(raws: Sequence[Raw], workspace: Path) -> list[Raw]:
    """Put to each finding the line that it stands on, by which it is known again after the change."""
    texts: dict[str, list[str]] = {}
    found = []
    for raw in raws:
        if raw.path not in texts:
            file = workspace / raw.path
            inside = file.is_file() and not file.is_symlink() and ".." not in Path(raw.path).parts
            texts[raw.path] = file.read_text("utf-8", "replace").split("\n") if inside else []
        lines = texts[raw.path]
        text = lines[raw.line - 1].strip()[:500] if 0 < raw.line <= len(lines) else ""
        found.append(msgspec.structs.replace(raw, text=text))
    return found


def clear(folder: Path) -> None:
    """Remove a folder that tools have written to, opening what they closed."""
    for top, names, _ in os.walk(folder):
        for name in names:
            if not Path(top, name).is_symlink():
                Path(top, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
