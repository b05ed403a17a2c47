"""One side of the comparison: the tests of one commit, run in a workspace of its own, with the proof that they were.

Owns the order of one run: lay out, surround, ask, run, read, judge, clear away. Keeps: nothing of it is left in the
workspaces, whatever the tests did, and nothing is written in the user's repository.
"""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from .guarded import Execution, Limits, run_guarded
from .node_modules import lend_node_modules
from .source_roots import module_names, source_roots
from .test_compare import Tested
from .test_environment import build, ready_command
from .test_memory import TestMemory
from .test_probe import Proof, Seen, judge
from .test_record import lay_recorder, read_record
from .test_reports import asked_reports, found_reports
from .test_resolution import built_by_maven, find_builds, find_modules
from .test_results import Results, read_results
from .test_runner import Kind, TestCommand
from .test_sources import Tree
from .workspace import Workspace, clear_folder, clear_strays

#: Arguments by which a tool behind an npm script writes its results to a file.
_REPORTERS = {
    "jest": ("--json", "--outputFile={file}"),
    "vitest": ("--reporter=default", "--reporter=json", "--outputFile.json={file}"),
    "mocha": ("--reporter", "json", "--reporter-option", "output={file}"),
}
#: Ways of knowing that a file was tested which stand whenever they are asked for.
_SEEN_FOR_GOOD = {"imported", "loaded", "built", "read", "untested", "not code"}
#: The runners whose results stand in JUnit reports that they write by themselves, where they stand anywhere.
_WRITES_JUNIT = ("maven", "npm", "make", "command")
#: Exit codes by which pytest says that it was interrupted, broke or was misused, whatever ran until then.
_PYTEST_STOPS = {
    2: "pytest was interrupted",
    3: "pytest broke down",
    4: "pytest refused its arguments or a conftest.py",
}


class Cached(msgspec.Struct, frozen=True):
    """The run, task and time of which a report is, that was kept."""

    run: str
    path: str
    time: str


class SideReport(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know of one run; what the log keeps of it.

    `cached` tells that it ran before, for another task; `key` is what it is kept under, empty where it isn't.
    """

    commit: str
    kind: str
    command: str
    execution: Execution
    results: Results
    proof: Proof
    missing: str = ""
    unended: bool = False
    cached: Cached | None = None
    key: str = ""

    def tested(self) -> Tested:
        """Return the run as the comparison sees it."""
        doubt = "" if self.proof.status == "proved" else self.proof.reason or self.proof.status
        # Where nothing ran there is nothing to doubt, and the reason for that says more.
        nothing = self._stop() or (
            not self.results.ran and (self.execution.exit_code or self.kind not in ("make", "command"))
        )
        return Tested(
            results=self.results,
            exit_code=self.execution.exit_code,
            stop=self._stop(),
            doubt="" if nothing else doubt,
            counted=self.kind not in ("make", "command") and not (self.kind == "npm" and self.results.source == "none"),
        )

    def _stop(self) -> str:
        execution = self.execution
        if self.missing or execution.problem:
            return f"the tests could not be started: {self.missing or execution.problem}"
        if execution.stopped == "timeout":
            return f"the tests had not ended after {execution.elapsed_s:.0f} s"
        if execution.stopped:
            return f"the run of the tests was {execution.stopped}"
        if execution.exit_code is not None and execution.exit_code < 0:
            return f"the tests were ended by signal {-execution.exit_code}"
        if self.unended and not execution.exit_code:
            return "pytest ended in the middle of the tests"  # by os._exit(0), say, which looks like success
        if self.kind == "pytest" and execution.exit_code in _PYTEST_STOPS:
            broken = f": {self.results.broken[0]} could not be loaded" if self.results.broken else ""
            return _PYTEST_STOPS[execution.exit_code] + broken
        return ""


class _Kept(msgspec.Struct):
    """What is kept of a run: its report, and what it must be judged by for another change."""

    report: SideReport
    seen: Seen
    by: Cached


def run_side(
    workspace: Workspace,
    *,
    repo: Path,
    tree: Tree,
    changed: Sequence[str],
    commands: Sequence[TestCommand],
    caller: Mapping[str, str],
    limits: Limits,
    cancelled: Callable[[], bool] = lambda: False,
    held: Sequence[int] = (),
    writable: Sequence[Path] | None = (),
    memory: TestMemory | None = None,
    fresh: bool = False,
) -> SideReport:
    """Run the first command that can be run in a workspace, and clear the run's own folder away.

    It may write in the workspace, in the run's own folders and in `writable`; anywhere where that is None. With a
    `memory` a result that is kept there is returned instead, unless `fresh`, and this one is kept.
    """
    scratch = workspace.folder.with_name(workspace.folder.name + ".scratch")
    clear_folder(scratch)
    scratch.mkdir(mode=0o700)
    temporary = _temporary(workspace)
    try:
        places = {"workspace": workspace.folder.resolve(), "repo": repo.resolve(), "scratch": scratch.resolve()}
        surround = {**places, "temporary": temporary, "caller": caller}
        own = None if writable is None else [places["workspace"], places["scratch"], temporary, *writable]
        guarded = {"limits": limits, "cancelled": cancelled, "leave": [temporary], "held": held, "writable": own}
        by = Cached(workspace.store.run, workspace.path.rpartition(".")[0], datetime.now(UTC).isoformat())
        recall = _Recall(memory, fresh, by) if memory is not None else None
        return _run(workspace.commit, surround, tree, changed, commands, guarded, recall)
    finally:
        clear_folder(scratch)
        clear_folder(temporary)
        clear_strays(scratch.parent)  # tests write beside their folder, too


class _Recall(msgspec.Struct):
    """The memory as one run uses it: what it asks of it, and what it leaves there."""

    memory: TestMemory
    fresh: bool
    by: Cached
    key: str | None = None

    def find(self, kind: Kind, commit: str, changed: Sequence[str]) -> SideReport | None:
        """Return a kept report, judged anew for this change's files; None where it doesn't prove enough of them."""
        content = self.memory.find(self.key) if self.key is not None and not self.fresh else None
        if content is None:
            return None
        try:
            kept = msgspec.json.decode(content, type=_Kept)
        except msgspec.DecodeError:
            return None
        # Its workspace is gone: only what was seen of it then counts, and nothing is compared any more.
        proof = judge(kind, changed, kept.seen, lambda *_: False)
        if proof.status != "proved" or not set(proof.files.values()) <= _SEEN_FOR_GOOD:
            return None
        return msgspec.structs.replace(kept.report, commit=commit, proof=proof, cached=kept.by, key=self.key or "")

    def keep(self, report: SideReport, seen: Seen) -> SideReport:
        """Keep a report that will be the same for every run of it."""
        ended = report.execution
        whole = not (ended.stopped or ended.problem or ended.left_behind or report.missing or report.unended)
        steady = whole and ended.exit_code is not None and ended.exit_code >= 0 and report.results.ran > 0
        if self.key is None or not steady or report.proof.status != "proved":
            return report
        report = msgspec.structs.replace(report, key=self.key)
        self.memory.keep(self.key, msgspec.json.encode(_Kept(report, seen, self.by)))
        return report


def _temporary(workspace: Workspace) -> Path:
    """Make the folder for temporary files, and remove those of holders of the task who were killed."""
    prefix = f"tf-{workspace.store.run[-8:]}-{workspace.path.rpartition('.')[0]}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if left.lstat().st_uid == os.getuid():
            clear_folder(left)
    return Path(tempfile.mkdtemp(prefix=prefix)).resolve()


def _run(
    commit: str,
    surround: dict[str, Any],
    tree: Tree,
    changed: Sequence[str],
    commands: Sequence[TestCommand],
    guarded: dict[str, Any],
    recall: _Recall | None,
) -> SideReport:
    folder, repo, scratch = surround["workspace"], surround["repo"], surround["scratch"]
    changed = [path for path in changed if path in tree.paths]
    roots = source_roots(tree.paths, tree.contents, changed)
    names = {name: path for path in changed for name in module_names(path, roots)}
    asked = list(names)
    if recall is not None:
        # Kept, it is judged for other changes too.
        names = {**{name: path for path in tree.paths for name in module_names(path, roots)}, **names}
    out = lay_recorder(scratch, [folder, repo], names)
    surround = {**surround, "roots": roots}
    chosen, missing = ready_command(commands, build(command=commands[0], **surround))
    command = chosen or commands[0]
    environment = build(command=command, **surround)
    known: dict[str, Any] = {"commit": commit, "kind": command.kind, "command": command.text()}
    if chosen is None:
        nothing = Proof(status="unproved", reason=missing)
        return SideReport(
            execution=Execution(exit_code=None), results=Results(), proof=nothing, missing=missing, **known
        )
    if any(path.endswith("package.json") for path in tree.paths):
        lend_node_modules(repo, folder)
    resolves = find_modules(command, asked, environment)
    builds = find_builds(command, environment)
    if recall is not None:
        recall.key = recall.memory.key(command, environment, builds, contained=guarded["writable"] is not None)
        if kept := recall.find(command.kind, commit, changed):
            return kept
    watched = _age(folder, changed)
    argv = _arguments(command, scratch)
    execution = run_guarded(argv, folder=folder, env=environment.env, scratch=scratch, **guarded)
    record = read_record(out)
    if command.kind == "maven":
        builds = built_by_maven(folder, tree.paths)
    reports = asked_reports(scratch)
    if command.kind in _WRITES_JUNIT:
        reports |= found_reports(folder, set(tree.paths))
    seen = Seen(
        workspace=str(folder),
        repo=str(repo),
        own=[str(scratch), str(surround["temporary"])],
        tracked=set(tree.paths),
        names=names,
        record=record,
        resolves=resolves,
        read=_read_since(folder, watched),
        builds=builds,
    )
    proof = judge(command.kind, changed, seen, lambda file, path: _same(Path(file), folder / path))
    results = read_results(command.kind, record, reports, _output(scratch))
    report = SideReport(execution=execution, results=results, proof=proof, unended=record.unended, **known)
    return recall.keep(report, seen) if recall is not None else report


def _arguments(command: TestCommand, scratch: Path) -> list[str]:
    if command.shell:
        return ["/bin/sh", "-c", command.shell]
    argv = list(command.argv)
    if command.kind == "go" and "-json" not in argv:
        argv.insert(2, "-json")
    if command.inner in _REPORTERS and "--" not in argv:
        argv += ["--", *(word.format(file=scratch / "js.json") for word in _REPORTERS[command.inner])]
    return argv


def _output(scratch: Path) -> str:
    file = scratch / "output"
    return file.read_text("utf-8", "replace") if file.exists() else ""


def _same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _age(folder: Path, changed: Sequence[str]) -> dict[str, int]:
    """Set access times of changed files back, so that being read shows; nothing where the disk doesn't keep them."""
    trial = folder.with_name(folder.name + ".scratch") / "accessed"
    trial.write_text("?")
    if not _aged(trial) or trial.read_text() != "?" or trial.stat().st_atime_ns <= trial.stat().st_mtime_ns - _DAY_NS:
        return {}
    files = {path: folder / path for path in changed if (folder / path).is_file() and not (folder / path).is_symlink()}
    return {path: _aged(file) for path, file in files.items()}


_DAY_NS = 24 * 3600 * 10**9


def _aged(file: Path) -> int:
    old = file.stat().st_mtime_ns - 2 * _DAY_NS
    os.utime(file, ns=(old, file.stat().st_mtime_ns))
    return file.stat().st_atime_ns


def _read_since(folder: Path, watched: Mapping[str, int]) -> set[str]:
    read = set()
    for path, before in watched.items():
        try:
            after = (folder / path).stat()
        except OSError:
            continue
        # A file that was changed as well isn't the commit's any more.
        if after.st_atime_ns > before and after.st_mtime_ns <= before + 2 * _DAY_NS:
            read.add(path)
    return read
