"""Records where a Python process really loads its modules from, and which tests pytest and unittest ran in it.

PYTEST_DONT_REWRITE (pytest would warn that this plugin was imported before it). Nothing here may change what a test
sees: the audit hook only looks, originals are held where a test's patches don't reach, and every line is one write.
Tests that start test runners of their own are nested: what those run isn't the project's test result.
"""

from __future__ import annotations

import json
import os
import posixpath
import sys
from collections.abc import Callable
from typing import Any

NESTED = "TWELVEFOLD_INSIDE_TEST"
#: Outcomes from best to worst: of a test's phases, the worst counts.
ORDER = ("passed", "xpassed", "xfailed", "skipped", "failed", "error")
_state: dict[str, Any] = {"write": None, "pytest": False, "result": None, "plugins": None, "runner": False}


def install() -> None:
    """Begin to record, as `record.json` beside this file says; without that file, do nothing."""
    here = posixpath.dirname(posixpath.abspath(__file__))
    try:
        with open(posixpath.join(here, "record.json"), encoding="utf-8") as file:  # noqa: PTH123
            config = json.load(file)
    except OSError:
        return
    write = _writer(config["out"])
    _state["write"] = write
    argv = getattr(sys, "orig_argv", [])[:8]
    write({"k": "process", "pid": os.getpid(), "python": sys.executable, "prefix": sys.prefix, "argv": argv})
    sys.addaudithook(_hook(config, write))


def _writer(path: str) -> Callable[[dict[str, Any]], None]:
    opened, written, closed, dumps = os.open, os.write, os.close, json.dumps
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT

    def write(fact: dict[str, Any]) -> None:
        # Opened each time: a daemon closes descriptors that it doesn't know.
        try:
            fd = opened(path, flags, 0o600)
        except OSError:
            return  # the run's folder is gone: whoever wrote this has outlived its run
        try:
            written(fd, (dumps(fact) + "\n").encode("utf-8", "replace"))
        finally:
            closed(fd)

    return write


def _hook(config: dict[str, Any], write: Callable[[dict[str, Any]], None]) -> Callable[[str, Any], None]:
    """Return an audit hook: `exec` is raised for each module that any import system runs, pytest's included."""
    roots = tuple(config["roots"])
    names: dict[str, str] = config["names"]
    basenames = {name.rpartition("/")[2] for name in names.values()}
    modules, realpath, getcwd, join = sys.modules, posixpath.realpath, os.getcwd, posixpath.join
    seen: set[str] = set()

    def loaded(filename: str) -> None:
        file = filename if filename.startswith("/") else join(getcwd(), filename)
        # Settled now, not at the end: a process may end by a signal, or never.
        if file.endswith("/unittest/suite.py"):
            _watch_unittest()
        elif file.endswith("/_pytest/config/__init__.py") and not os.environ.get(NESTED):
            _state["plugins"] = os.environ.get("PYTEST_PLUGINS")
            os.environ["PYTEST_PLUGINS"] = ",".join(filter(None, [_state["plugins"], "twelvefold_recorder"]))
        known = file.rpartition("/")[2] in basenames
        if not known and not file.startswith(roots):
            return
        name = ""
        if known:
            for candidate in names:
                module = modules.get(candidate)
                if module is not None and getattr(module, "__file__", None) == filename:
                    name = candidate
        write({"k": "load", "file": realpath(file), "name": name})

    def hook(event: str, args: Any) -> None:
        if event == "exec":
            filename = getattr(args[0], "co_filename", None)
        elif event == "cpython.run_file":
            filename = args[0]
        else:
            return
        if type(filename) is str and filename not in seen:
            seen.add(filename)
            if not filename.startswith("<"):
                try:
                    loaded(filename)
                except Exception as error:  # noqa: BLE001 - an audit hook that raises would abort the import itself
                    write({"k": "trouble", "file": filename, "error": repr(error)})

    return hook


def _note(fact: dict[str, Any]) -> None:
    if _state["write"] is not None:
        _state["write"]({**fact, "pid": os.getpid(), "prefix": sys.prefix})


# --- unittest -------------------------------------------------------------------------------------------------------


def _watch_unittest() -> None:
    """Let TestResult tell of each outcome; at this time, within unittest's own import, nothing has subclassed it."""
    result = sys.modules["unittest.result"].TestResult

    def wrap(method: str, before: Callable[..., None], after: Callable[..., None] | None = None) -> None:
        original = getattr(result, method)

        def told(self: Any, test: Any, *rest: Any, **named: Any) -> Any:
            before(self, test, *rest, **named)
            value = original(self, test, *rest, **named)
            if after is not None:
                after(self, test)
            return value

        told.__name__, told.__doc__, told.__qualname__ = original.__name__, original.__doc__, original.__qualname__
        setattr(result, method, told)

    wrap("startTest", _start)
    wrap("stopTest", lambda *_: None, _stop)
    outcomes = {
        "addSuccess": "passed",
        "addFailure": "failed",
        "addError": "error",
        "addSkip": "skipped",
        "addExpectedFailure": "xfailed",
        "addUnexpectedSuccess": "failed",
    }
    for method, outcome in outcomes.items():
        wrap(method, lambda self, test, *rest, outcome=outcome, **named: _ran(self, test, outcome))
    wrap("addSubTest", _subtest)


def _foreign(result: Any) -> bool:
    inside = _state["result"]
    nested = os.environ.get(NESTED) not in (None, str(os.getpid()))
    return _state["pytest"] or nested or (inside is not None and inside is not result)


def _start(result: Any, test: Any) -> None:
    if _foreign(result):
        return
    _state["result"] = result
    if not _state["runner"]:
        _state["runner"] = True
        os.environ[NESTED] = str(os.getpid())
        _note({"k": "runner", "runner": "unittest"})


def _stop(result: Any, test: Any) -> None:
    if _state["result"] is result:
        _state["result"] = None


def _ran(result: Any, test: Any, outcome: str) -> None:
    if _foreign(result):
        return
    identity = test.id()
    if identity.startswith("unittest.loader."):
        _note({"k": "broken", "id": identity.rpartition(".")[2]})
    else:
        _note({"k": "test", "id": identity, "outcome": outcome})


def _subtest(result: Any, test: Any, subtest: Any, error: Any) -> None:
    if error is not None:
        _ran(result, test, "failed" if issubclass(error[0], test.failureException) else "error")


# --- pytest plugin ---------------------------------------------------------------------------------------------------


def pytest_configure(config: Any) -> None:
    """Note that this process runs pytest; a worker of pytest-xdist leaves results to its controller."""
    if _state["plugins"] is None:
        os.environ.pop("PYTEST_PLUGINS", None)
    else:
        os.environ["PYTEST_PLUGINS"] = _state["plugins"]
    os.environ[NESTED] = str(os.getpid())
    _state["pytest"] = True
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Outcomes(), "twelvefold_outcomes")
        _note({"k": "runner", "runner": "pytest"})


class _Outcomes:
    """Collects the phases of each test to one outcome."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_collectreport(self, report: Any) -> None:
        """Note what can't be collected."""
        if report.failed:
            _note({"k": "broken", "id": report.nodeid})

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a test when its teardown is over, or its call where no teardown follows."""
        outcome = report.outcome
        if outcome == "failed" and report.when != "call":
            outcome = "error"
        elif hasattr(report, "wasxfail"):
            outcome = "xfailed" if outcome == "skipped" else "xpassed"
        elif outcome not in ("passed", "failed", "skipped"):
            return  # pytest-rerunfailures says `rerun` for what it tries again
        if report.when == "setup" and outcome == "passed":
            return
        known = self.outcomes.get(report.nodeid)
        if known is None or ORDER.index(outcome) > ORDER.index(known):
            self.outcomes[report.nodeid] = outcome
        if report.when == "teardown":
            _note({"k": "test", "id": report.nodeid, "outcome": self.outcomes.pop(report.nodeid, outcome)})

    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        """Note how the session ended, and the tests whose teardown never came."""
        for nodeid, outcome in self.outcomes.items():
            _note({"k": "test", "id": nodeid, "outcome": outcome})
        self.outcomes.clear()
        _note({"k": "end", "exit": int(exitstatus)})
