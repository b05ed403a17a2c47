"""Before against after: what a change did to the tests.

Pure. Keeps: a failure that was there before isn't held against a change; a run that proves nothing decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from .test_results import Results

Status = Literal["passed", "failed", "unusable", "none"]
NAMES_MAX = 1000


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """One run as the comparison sees it.

    `stop` says why it came to no proper end (timed out, killed, command not found), empty where it ended by itself;
    `doubt` why it isn't known to have tested the workspace, empty where that is proved. `counted`: whether the command
    is one whose tests can be counted, or one that is known by its exit code only.
    """

    __test__ = False
    results: Results
    exit_code: int | None = None
    stop: str = ""
    doubt: str = ""
    counted: bool = True

    @property
    def broke(self) -> str:
        """Why this run says nothing about the tests: stopped, nothing ran, or ended with an error before any test."""
        if self.stop:
            return self.stop
        if self.results.ran or (self.exit_code == 0 and not self.counted):
            return ""
        if self.results.broken:
            return f"{self.results.broken[0]} could not be loaded"
        if self.exit_code and not (self.counted and self.exit_code == 5):  # 5: pytest and unittest found no test
            return f"it stopped with exit code {self.exit_code} before any test ran"
        return "no test ran"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a change did. `newly_failing` is empty for status `passed`, and may be for `unusable`.

    `unsteady` failed once and passed once with the change, `flaky` are those of them that fail without it as well and
    so aren't held against it; `disappeared` passed before and didn't run after.
    """

    status: Status
    reason: str | None = None
    newly_failing: tuple[str, ...] = ()
    newly_passing: tuple[str, ...] = ()
    disappeared: tuple[str, ...] = ()
    unsteady: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()


def compare(before: Tested, after: Tested, changed: Collection[str] = ()) -> Comparison:
    """Judge a change, which touches the files `changed`, by one run without and one with it."""
    doubt = before.doubt or after.doubt
    if doubt:
        return Comparison(status="unusable", reason=doubt)
    if before.broke and after.broke:
        each = f"before, {before.broke}; after, {after.broke}"
        reason = f"before and after the change, {before.broke}" if before.broke == after.broke else each
        return Comparison(status="unusable", reason=reason)
    gone = _disappeared(before.results, after.results)
    if after.broke:
        named = _named(after.results.failures - before.results.failures)
        reason = f"the tests ran before the change; after it, {after.broke}"
        return Comparison(status="failed", reason=reason, newly_failing=named or (after.broke,), disappeared=gone)
    failing = newly_failing(before, after)
    passing = _named(before.results.failures & _passed(after.results))
    if failing:
        reason = f"{len(failing)} newly failing" + (f"; before the change, {before.broke}" if before.broke else "")
        return Comparison(
            status="failed", reason=reason, newly_failing=failing, newly_passing=passing, disappeared=gone
        )
    if lost := _lost(before.results, after.results, changed):
        reason = f"tests that passed before did not run after the change: all of {', '.join(lost[:5])}"
        named = tuple(name for name in gone if _module(name) in lost)
        return Comparison(status="failed", reason=reason, newly_failing=named, newly_passing=passing, disappeared=gone)
    if before.results.failed and after.results.failed and not (before.results.failures and after.results.failures):
        reason = f"{after.results.failed} fail, as many or more did before, and nothing tells whether the same"
        return Comparison(status="unusable", reason=reason)
    return Comparison(status="passed", reason=_remark(before, after, gone), newly_passing=passing, disappeared=gone)


def judge_alone(run: Tested) -> Comparison:
    """Judge one run by itself: with nothing to compare it with, every failure counts, and none is called new."""
    if run.doubt or (run.broke and not run.results.failures):
        return Comparison(status="unusable", reason=run.doubt or run.broke)
    if run.results.failed or run.results.broken:
        count = max(len(run.results.failures), run.results.failed)
        return Comparison(status="failed", reason=f"{count} {'fails' if count == 1 else 'fail'}")
    if run.exit_code:
        return Comparison(status="failed", reason=f"exit code {run.exit_code}")
    return Comparison(status="passed", reason=None if run.results.ran else _remark(run, run, ()))


def newly_failing(before: Tested, after: Tested) -> tuple[str, ...]:
    """Name what fails with the change and didn't without it; a number stands for tests whose names aren't known."""
    # The tests of a module that couldn't be loaded before failed before, all of them.
    new = after.results.failures - before.results.failures
    failing = {name for name in new if not _within(name, before.results.broken)}
    if failing:
        return _named(failing)
    more = after.results.failed - before.results.failed
    if more > 0 and not (after.results.tests and before.results.tests):
        return (f"{more} more failing than before, whose names aren't known",)
    if after.exit_code and not before.exit_code and not before.broke:
        return (f"exit code {after.exit_code}, which was 0 before",)
    return ()


def settle_unsteady(compared: Comparison, still: Collection[str], without: Collection[str]) -> Comparison:
    """Take further runs into account: `still` failed again with the change, `without` fail without it, too.

    What failed once and passed once counts as new unless it was seen to fail without the change.
    """
    unsteady = [name for name in compared.newly_failing if name not in still]
    flaky = [name for name in unsteady if name in without]
    failing = tuple(name for name in compared.newly_failing if name not in flaky)
    if failing:
        weak = f", {len(unsteady) - len(flaky)} of them passed when run again" if len(unsteady) > len(flaky) else ""
        reason = f"{len(failing)} newly failing{weak}"
    else:
        reason = f"{len(flaky)} failed once with the change, passed when run again, and fail at times without it"
    return msgspec.structs.replace(
        compared,
        status="failed" if failing else "passed",
        reason=reason,
        newly_failing=failing,
        unsteady=tuple(unsteady),
        flaky=tuple(flaky),
    )


def _within(name: str, broken: Collection[str]) -> bool:
    return any(name == one or name.startswith((f"{one}::", f"{one}.")) for one in broken)


def _passed(results: Results) -> set[str]:
    return {name for name, outcome in results.tests.items() if outcome in ("passed", "xpassed", "xfailed")}


def _disappeared(before: Results, after: Results) -> tuple[str, ...]:
    if not before.tests or not after.tests:
        return ()
    return _named(name for name in _passed(before) if after.tests.get(name, "skipped") == "skipped")


def _lost(before: Results, after: Results, changed: Collection[str]) -> list[str]:
    """Name the test modules that passed before, ran nothing after, and weren't changed themselves.

    A module that skips itself where it can't import what it tests would otherwise make a broken change pass.
    """
    if before.source != "recorder" or after.source != "recorder":
        return []
    ran = {_module(name) for name, outcome in after.tests.items() if outcome != "skipped"}
    lost = {_module(name) for name in _passed(before)} - ran - {""}
    touched = {path.removesuffix(".py").replace("/", ".") for path in changed}
    files = {module: _dotted(module) for module in lost}
    return sorted(
        module for module, file in files.items() if not any(f".{path}".endswith(f".{file}") for path in touched)
    )


def _module(name: str) -> str:
    """Return the module of a recorded test: pytest's file, or all of unittest's name but class and method; or ""."""
    if "::" in name:
        return name.split("::", 1)[0]
    return name.rsplit(".", 2)[0] if name.count(".") > 1 else ""


def _dotted(module: str) -> str:
    return module.rpartition(": ")[2].removesuffix(".py").replace("/", ".")


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:NAMES_MAX])


def _remark(before: Tested, after: Tested, gone: Collection[str]) -> str | None:
    if not after.results.ran:
        return "judged by the exit code alone: the output names no tests"
    if before.broke:
        return f"before the change, {before.broke}"
    failed = after.results.failed
    remarks = [f"{failed} fail as before"] if failed else []
    if gone:
        remarks.append(f"{len(gone)} that passed before didn't run")
    elif after.results.ran < before.results.ran:
        remarks.append(f"{before.results.ran - after.results.ran} fewer ran than before")
    if after.exit_code and not failed:
        remarks.append(f"exit code {after.exit_code}, as before")
    return "; ".join(remarks) or None
