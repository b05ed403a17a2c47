"""Results read from what real tools printed and wrote (recorded, shortened)."""

from __future__ import annotations

import json

import pytest

from twelvefold.agents.test_record import Record, parse_record
from twelvefold.agents.test_results import Results, read_closing, read_go, read_results

GO_JSON = """\
{"Time":"2026-11-22T11:32:41.8Z","Action":"run","Package":"example.org/calc","Test":"TestAdd"}
{"Time":"2026-11-22T11:32:41.8Z","Action":"output","Package":"example.org/calc","Test":"TestAdd","Output":"=== RUN\\n"}
{"Time":"2026-11-22T11:32:41.8Z","Action":"pass","Package":"example.org/calc","Test":"TestAdd","Elapsed":0}
{"Time":"2026-11-22T11:32:41.8Z","Action":"fail","Package":"example.org/calc","Test":"TestZero/right","Elapsed":0}
{"Time":"2026-11-22T11:32:41.8Z","Action":"fail","Package":"example.org/calc","Test":"TestZero","Elapsed":0}
{"Time":"2026-11-22T11:32:41.8Z","Action":"skip","Package":"example.org/calc","Test":"TestLater","Elapsed":0}
{"Time":"2026-11-22T11:32:41.8Z","Action":"output","Package":"example.org/calc","Output":"PASS\\n"}
{"Time":"2026-11-22T11:32:41.8Z","Action":"fail","Package":"example.org/calc","Elapsed":0.008}
FAIL\texample.org/calc/broken [build failed]
# example.org/calc/broken [example.org/calc/broken.test]
broken/b.go:2:23: cannot use "x" (untyped string constant) as int value in return statement
"""
GO_TEXT = """\
=== RUN   TestAdd
--- PASS: TestAdd (0.00s)
=== RUN   TestZero
    --- FAIL: TestZero/right (0.00s)
--- FAIL: TestZero (0.00s)
    calc_test.go:5: later
--- SKIP: TestLater (0.00s)
FAIL\texample.org/calc/broken [build failed]
"""
CARGO = """\
   Compiling demo v0.1.0 (/w)
    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.51s
     Running unittests src/lib.rs (/t/debug/deps/demo-0f2f0d1c5f7a9b3e)

running 3 tests
test tests::ig ... ignored
test tests::ok ... ok
test tests::bad - should panic ... FAILED

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.23s

   Doc-tests demo

running 1 test
test src/lib.rs - add (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""
UNITTEST = """\
..F.s
======================================================================
FAIL: test_add (tests.test_it.T.test_add)
----------------------------------------------------------------------
AssertionError: 1 != 3
----------------------------------------------------------------------
Ran 5 tests in 0.001s

FAILED (failures=1, skipped=1, expected failures=1)
"""
MOCHA = "\n  1 passing (8ms)\n  1 pending\n  2 failing\n\n  1) g\n       bad:\n"
TAP = "1..2\n# tests 4\n# suites 1\n# pass 1\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n"
JEST_TEXT = "Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 skipped, 2 passed, 4 total\nTime: 1.3 s\n"
PYTEST = "FAILED test_a.py::test_x - assert\n==== 1 failed, 3 passed, 1 skipped, 1 error in 0.12s ====\n"
JEST = {
    "testResults": [
        {
            "name": "/w/a.test.js",
            "status": "failed",
            "assertionResults": [
                {"fullName": "g ok", "status": "passed"},
                {"fullName": "g bad", "status": "failed"},
                {"fullName": "g sk", "status": "pending"},
            ],
        },
        {"name": "/w/broken.test.js", "status": "failed", "assertionResults": []},
    ]
}
MOCHA_JSON = {
    "passes": [{"fullTitle": "g ok"}],
    "failures": [{"fullTitle": "g bad"}],
    "pending": [{"fullTitle": "g sk"}],
}
NODE = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testcase name="adds" time="0.001332" classname="test"/>
  <testsuite name="grp" tests="2" failures="1" skipped="1">
    <testcase name="bad" classname="test" failure="3 == 4"><failure type="testCodeFailure" message="3 == 4"/></testcase>
    <testsuite name="inner"><testcase name="sk"><skipped type="skipped" message="true"/></testcase></testsuite>
  </testsuite>
</testsuites>"""


def counts(results: Results) -> tuple[int, int, int]:
    return results.passed, results.failed, results.skipped


def test_go() -> None:
    """go's JSON names each test with its package; what doesn't build is broken, and says so in the text form, too."""
    results = read_go(GO_JSON)
    assert counts(results) == (1, 2, 1)
    assert results.failures == {
        "example.org/calc.TestZero",
        "example.org/calc.TestZero/right",
        "example.org/calc/broken",
    }
    text = read_go(GO_TEXT)
    assert (counts(text), text.broken) == ((1, 2, 1), ("example.org/calc/broken",))
    assert read_go("ok  \texample.org/calc\t0.003s\n").source == "none"


def test_cargo() -> None:
    """cargo's tests are named under their program, without build hashes and line numbers, which change."""
    results = read_results("cargo", Record(), {}, CARGO)
    assert results.tests == {
        "demo unittests src/lib.rs: tests::ig": "skipped",
        "demo unittests src/lib.rs: tests::ok": "passed",
        "demo unittests src/lib.rs: tests::bad": "failed",
        "demo doc: src/lib.rs - add": "passed",
    }
    noisy = CARGO.replace("test tests::ok ... ok", "test tests::ok ... printed by the test\nok")
    assert counts(read_results("cargo", Record(), {}, noisy)) == (2, 1, 1)
    broken = read_results("cargo", Record(), {}, "error: could not compile `demo` (lib test) due to 1 previous error\n")
    assert broken.broken == ("build of demo",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (UNITTEST, (3, 1, 1)),
        ("Ran 3 tests in 0.000s\n\nOK\n", (3, 0, 0)),
        ("Ran 3 tests in 0.000s\n\nFAILED (errors=2, unexpected successes=1)\n", (0, 3, 0)),
        (MOCHA, (1, 2, 1)),
        (TAP, (1, 2, 1)),
        (JEST_TEXT, (2, 1, 1)),
        (PYTEST, (3, 2, 1)),
        ("tests: 12 passed, 1 failed\n", (12, 1, 0)),
        ("12 passed in 0.1s\n", (12, 0, 0)),
    ],
)
def test_closing_lines(text: str, expected: tuple[int, int, int]) -> None:
    """Closing lines of many runners are understood."""
    assert counts(read_closing(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "everything passed\n", "we saw that 3 passed the bridge and 1 failed\n", "no tests ran in 0.01s\n"]
)
def test_no_closing_line(text: str) -> None:
    """Prose with numbers in it is no result."""
    assert read_results("command", Record(), {}, text) == Results()


def test_unittest_names_from_text() -> None:
    """Failing unittest cases are named by the text, where the recorder couldn't look."""
    assert read_closing(UNITTEST).failures == {"tests.test_it.T.test_add"}


def test_reports() -> None:
    """Report files come before closing lines; one that was cut short says nothing."""
    jest = read_results("npm", Record(), {"js.json": json.dumps(JEST).encode()}, MOCHA)
    assert (counts(jest), jest.broken) == ((1, 1, 1), ("broken.test.js",))
    assert jest.tests["a.test.js > g bad"] == "failed"
    mocha = read_results("npm", Record(), {"js.json": json.dumps(MOCHA_JSON).encode()}, "")
    assert counts(mocha) == (1, 1, 1)
    node = read_results("npm", Record(), {"node.xml": NODE}, "")
    assert node.tests == {"adds": "passed", "grp > bad": "failed", "grp > inner > sk": "skipped"}
    cut = read_results("npm", Record(), {"node.xml": NODE[:300], "js.json": b'{"testResults": ['}, TAP)
    assert (cut.source, counts(cut)) == ("output", (1, 2, 1))


def record(*facts: dict[str, object]) -> bytes:
    return b"".join(json.dumps(fact).encode() + b"\n" for fact in facts)


def test_record_keeps_the_worst_and_names_environments() -> None:
    """A test that ran twice counts once, at its worst; tests of several environments bear the environment's name."""
    twice = [
        {"k": "test", "id": "t::a", "outcome": outcome, "prefix": "/x/.tox/py311"} for outcome in ("failed", "passed")
    ]
    assert parse_record(record(*twice)).tests == {"t::a": "failed"}
    other = {"k": "test", "id": "t::a", "outcome": "passed", "prefix": "/x/.tox/py312"}
    assert parse_record(record(*twice, other)).tests == {"py311: t::a": "failed", "py312: t::a": "passed"}


def test_record_survives_what_was_cut() -> None:
    """A line that its process couldn't finish is left out, and so is one that means nothing."""
    whole = {"k": "test", "id": "t::a", "outcome": "passed"}
    odd = {"k": "test", "id": "t::b", "outcome": "odd"}
    assert parse_record(record(whole, odd) + b'{"k": "test", "id": "t::c", "outc').tests == {"t::a": "passed"}
    assert parse_record(b"\xff\n[]\n" + record(whole)).tests == {"t::a": "passed"}
