"""What a test run's tests came to: names and outcomes, read from the recorder, from a report file, or from the output.

Pure. The most exact source that says anything is used: the recorder (pytest, unittest), a report (node, jest, vitest,
mocha, go), else the closing lines. Keeps: only what ran is counted; where names aren't known, none are made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec

from .test_record import Record, worse
from .test_runner import Kind

Source = Literal["recorder", "report", "output", "none"]
_JUNIT = {"failure": "failed", "error": "error", "skipped": "skipped"}
_WORDS = "passed|failed|errors?|skipped|xfailed|xpassed"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of tests that ran, and the outcome of each where names are known. `broken` couldn't be loaded or built.

    Outcomes are passed, failed, error, skipped, xfailed, xpassed; counts: passed has xpassed and xfailed, failed has
    error.
    """

    source: Source = "none"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    tests: dict[str, str] = {}
    broken: tuple[str, ...] = ()

    @property
    def ran(self) -> int:
        """How many tests ran; a skipped one didn't."""
        return self.passed + self.failed

    @property
    def failures(self) -> set[str]:
        """Names of failed tests and of what couldn't be loaded."""
        return {name for name, outcome in self.tests.items() if outcome in ("failed", "error")} | set(self.broken)


def read_results(kind: Kind, record: Record, reports: Mapping[str, bytes], output: str) -> Results:
    """Read a run's results. `reports` holds the report files that the run wrote: `node.xml`, `js.json`, and
    below `junit/` those that the runner writes by itself.
    """
    if record.tests or record.broken:
        return _counted("recorder", record.tests, record.broken)
    for name, data in reports.items():
        if name.startswith("junit/"):
            continue
        found = read_junit(data) if name.endswith(".xml") else read_javascript(data)
        if found.source != "none":
            return found
    if (found := joined(read_junit(data) for name, data in reports.items() if name.startswith("junit/"))).ran:
        return found
    text = _ESCAPE.sub("", output)
    readers = {"cargo": [read_cargo], "go": [read_go]}.get(kind, [read_closing, read_cargo, read_go])
    return next((found for found in (reader(text) for reader in readers) if found.source != "none"), Results())


def joined(parts: Iterable[Results]) -> Results:
    """Join what several reports of one run say; nothing where none says anything."""
    tests: dict[str, str] = {}
    for part in parts:
        for name, outcome in part.tests.items():
            tests[name] = worse(tests.get(name), outcome)
    return _counted("report", tests) if tests else Results()


def _counted(source: Source, tests: Mapping[str, str], broken: Any = ()) -> Results:
    outcomes = list(tests.values())
    return Results(
        source=source,
        passed=sum(outcome in ("passed", "xpassed", "xfailed") for outcome in outcomes),
        failed=sum(outcome in ("failed", "error") for outcome in outcomes),
        skipped=outcomes.count("skipped"),
        tests=dict(tests),
        broken=tuple(broken),
    )


def read_junit(data: bytes) -> Results:
    """Read a JUnit report; a report that was cut short says nothing."""
    try:
        top = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        return Results()
    tests: dict[str, str] = {}

    def read(element: ElementTree.Element, above: tuple[str, ...]) -> None:
        for item in element:
            names = (*above, item.get("name", ""))
            if item.tag == "testsuite":
                read(item, names)
            elif item.tag == "testcase":
                found = {child.tag for child in item}
                outcome = next((word for tag, word in _JUNIT.items() if tag in found), "passed")
                # Where suites aren't classes (pytest's is one for all), only the class tells equal names apart.
                owner = item.get("classname", "")
                own = (
                    [owner] if owner and owner != "test" and not any(owner in above_one for above_one in above) else []
                )
                name = " > ".join(filter(None, [*above, *own, names[-1]]))
                tests[name] = worse(tests.get(name), outcome)

    read(top, (top.get("name", ""),) if top.tag == "testsuite" else ())
    return _counted("report", tests) if tests else Results()


class _Assertion(msgspec.Struct, rename="camel"):
    full_name: str
    status: str


class _JestFile(msgspec.Struct, rename="camel"):
    assertion_results: list[_Assertion]
    name: str = ""
    status: str = ""


class _MochaTest(msgspec.Struct, rename="camel"):
    full_title: str


class _JavaScript(msgspec.Struct, rename="camel"):
    test_results: list[_JestFile] = []
    passes: list[_MochaTest] = []
    failures: list[_MochaTest] = []
    pending: list[_MochaTest] = []


def read_javascript(data: bytes) -> Results:
    """Read the JSON report of Jest, Vitest (the same form) or Mocha."""
    try:
        report = msgspec.json.decode(data, type=_JavaScript)
    except msgspec.DecodeError:
        return Results()
    tests: dict[str, str] = {}
    broken = []
    known = {"passed": "passed", "failed": "failed"}
    for file in report.test_results:
        base = file.name.rpartition("/")[2]
        if file.status == "failed" and not file.assertion_results:
            broken.append(base)
        for test in file.assertion_results:
            name = f"{base} > {test.full_name}"
            tests[name] = worse(tests.get(name), known.get(test.status, "skipped"))
    for outcome, found in (("passed", report.passes), ("failed", report.failures), ("skipped", report.pending)):
        for one in found:
            tests[one.full_title] = worse(tests.get(one.full_title), outcome)
    return _counted("report", tests, broken)


def read_cargo(text: str) -> Results:
    """Read the output of `cargo test`: each test's line under the program that it is in."""
    tests: dict[str, str] = {}
    broken: list[str] = []
    program = ""
    outcomes = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
    for line in text.splitlines():
        if match := re.match(r"\s+Running (.+?) \((?:.*/)?([^/]+?)(?:-[0-9a-f]{16})?\)$", line):
            program = f"{match[2]} {match[1]}"
        elif match := re.match(r"\s+Doc-tests (\S+)", line):
            program = f"{match[1]} doc"
        elif match := re.match(r"test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)\b", line):
            name = f"{program}: {re.sub(r' [(]line [0-9]+[)]', '', match[1])}"
            tests[name] = worse(tests.get(name), outcomes[match[2]])
        elif match := re.match(r"error: could not compile `([^`]+)`", line):
            broken.append(f"build of {match[1]}")
    found = _counted("output", tests, dict.fromkeys(broken))
    sums = [
        tuple(map(int, match))
        for match in re.findall(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text)
    ]
    if not sums and not broken:
        return Results()
    if found.ran != sum(one[0] + one[1] for one in sums):
        # Tests that print in between break the lines that name them; the sums are still right.
        return Results(
            source="output",
            passed=sum(one[0] for one in sums),
            failed=sum(one[1] for one in sums),
            skipped=sum(one[2] for one in sums),
            broken=found.broken,
        )
    return found


class _GoLine(msgspec.Struct, rename="pascal"):
    action: str = ""
    package: str = ""
    test: str = ""


def read_go(text: str) -> Results:
    """Read `go test -json`, or the plain output, in which only `-v` names the tests that passed."""
    tests: dict[str, str] = {}
    broken: list[str] = []
    outcomes = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    said = False
    for line in text.splitlines():
        if line.startswith('{"'):
            try:
                fact = msgspec.json.decode(line, type=_GoLine)
            except msgspec.DecodeError:
                continue
            said = said or bool(fact.package)
            if fact.test and fact.action in outcomes:
                tests[f"{fact.package}.{fact.test}"] = outcomes[fact.action]
            elif fact.action == "fail" and not any(name.startswith(f"{fact.package}.") for name in tests):
                broken.append(fact.package)
        elif match := re.match(r"\s*--- (PASS|FAIL|SKIP): (\S+)", line):
            said = True
            tests[match[2]] = worse(tests.get(match[2]), outcomes[match[1].lower()])
        elif match := re.match(r"FAIL\s+(\S+) \[(?:build|setup) failed\]", line):
            said = True
            broken.append(match[1])
    return _counted("output", tests, dict.fromkeys(broken)) if said else Results()


def _number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text, re.M)
    return int(found[-1]) if found else 0


def read_closing(text: str) -> Results:
    """Read the closing lines of pytest, unittest, node's TAP, Jest, Mocha, and plain `N passed, M failed`."""
    if match := re.search(r"^Ran (\d+) tests? in [\d.]+s$\s*(?:NO TESTS RAN|OK|FAILED)?(?: \((.*)\))?", text, re.M):
        counts = dict(re.findall(r"([a-z ]+?)=(\d+)", match[2] or ""))
        failed = sum(int(counts.get(name, 0)) for name in ("failures", "errors", " unexpected successes"))
        skipped = int(next((value for name, value in counts.items() if name.strip() == "skipped"), 0))
        names = dict.fromkeys(re.findall(r"^(?:FAIL|ERROR): \w+ \((.+?)\)", text, re.M), "failed")
        passed = max(int(match[1]) - failed - skipped, 0)
        return Results(source="output", passed=passed, failed=failed, skipped=skipped, broken=tuple(names))
    if re.search(r"^# tests \d+$", text, re.M):
        failed = _number(r"^# fail (\d+)$", text) + _number(r"^# cancelled (\d+)$", text)
        return _closed(_number(r"^# pass (\d+)$", text), failed, _number(r"^# skipped (\d+)$", text))
    if re.search(r"^\s*\d+ passing \(", text, re.M):
        counts_of = [_number(rf"^\s*(\d+) {word}\b", text) for word in ("passing", "failing", "pending")]
        return _closed(*counts_of)
    for line in reversed(text.splitlines()):
        words = {word: int(number) for number, word in re.findall(rf"(\d+) ({_WORDS})\b", line)}
        closing = re.match(rf"\s*(?:=+ |Tests:?\s+|\w+: )?\d+ (?:{_WORDS}|deselected)\b", line)
        if words and closing:
            failed = words.get("failed", 0) + words.get("error", 0) + words.get("errors", 0)
            passed = words.get("passed", 0) + words.get("xpassed", 0) + words.get("xfailed", 0)
            return _closed(passed, failed, words.get("skipped", 0))
    return Results()


def _closed(passed: int, failed: int, skipped: int) -> Results:
    return Results(source="output", passed=passed, failed=failed, skipped=skipped)
