"""The two verdicts: what a change did to the tests, and whether they tested the workspace at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.agents.test_compare import Tested, compare, settle_unsteady
from twelvefold.agents.test_probe import Builds, Seen, judge
from twelvefold.agents.test_record import Record
from twelvefold.agents.test_resolution import read_cargo_metadata, read_go_list
from twelvefold.agents.test_results import Results

OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
BAD = ("failed", "error")


def ran(tests: dict[str, str], *broken: str, exit_code: int | None = None, **more: Any) -> Tested:
    failed = sum(outcome in BAD for outcome in tests.values())
    passed = sum(outcome in ("passed", "xfailed", "xpassed") for outcome in tests.values())
    results = Results(source="recorder", passed=passed, failed=failed, tests=tests, broken=broken)
    code = int(bool(failed or broken)) if exit_code is None else exit_code
    return Tested(results=results, exit_code=code, **more)


def counted(passed: int, failed: int, **more: Any) -> Tested:
    results = Results(source="output", passed=passed, failed=failed)
    return Tested(results=results, exit_code=int(failed > 0), **more)


NOTHING = Tested(results=Results(), exit_code=1)
suites = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(OUTCOMES), max_size=6)


@given(suites, suites)
def test_only_what_did_not_fail_before_counts(before: dict[str, str], after: dict[str, str]) -> None:
    """Newly failing is exactly what fails after and didn't before; a pass means that something ran and none is new."""
    compared = compare(ran(before), ran(after))
    new = {name for name, outcome in after.items() if outcome in BAD and before.get(name) not in BAD}
    some_before = any(outcome != "skipped" for outcome in before.values())
    some_after = any(outcome != "skipped" for outcome in after.values())
    if some_after:
        assert set(compared.newly_failing) == new
        assert compared.status == ("failed" if new else "passed")
    else:
        assert compared.status == ("failed" if some_before else "unusable")


@given(suites)
def test_doubt_decides_nothing(tests: dict[str, str]) -> None:
    """A run that isn't known to have tested the workspace is unusable, whatever its tests say."""
    for pair in ((ran(tests), ran(tests, doubt="elsewhere")), (ran(tests, doubt="elsewhere"), ran(tests))):
        assert compare(*pair).status == "unusable"


def test_stopped_on_one_side() -> None:
    """What stops after the change only is a failure of the change; what ran again after it is a repair."""
    good = ran({"a": "passed"})
    assert compare(good, NOTHING).status == "failed"
    assert compare(NOTHING, good).status == "passed"
    assert compare(NOTHING, NOTHING).status == "unusable"
    assert compare(good, ran({"a": "passed"}, stop="the tests were ended by signal 11")).status == "failed"


def test_tests_of_a_module_that_was_broken() -> None:
    """Tests of a module that couldn't be loaded before didn't pass before, so their failing isn't new."""
    before = ran({"test_b.py::b": "passed"}, "test_a.py")
    after = ran({"test_b.py::b": "passed", "test_a.py::one": "failed"})
    assert compare(before, after).status == "passed"


def test_failing_where_nothing_ran_before() -> None:
    """Where nothing ran before, nobody knows whether a failure is new, so it counts."""
    compared = compare(NOTHING, ran({"a": "failed", "b": "passed"}))
    assert (compared.status, compared.newly_failing) == ("failed", ("a",))


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (counted(3, 0), counted(3, 0), "passed"),
        (counted(3, 0), counted(2, 1), "failed"),
        (counted(2, 1), counted(2, 1), "unusable"),
        (counted(1, 2), counted(2, 1), "unusable"),
        (counted(2, 1), counted(3, 0), "passed"),
    ],
)
def test_counts_without_names(before: Tested, after: Tested, status: str) -> None:
    """With counts only, more failures are a failure, and as many can't be told from others."""
    assert compare(before, after).status == status


def test_exit_code_alone() -> None:
    """A command whose tests can't be counted is judged by its exit code; one that can is not."""
    good, bad = (Tested(results=Results(), exit_code=code, counted=False) for code in (0, 1))
    assert compare(good, good).status == "passed"
    assert compare(good, bad).status == "failed"
    assert compare(bad, good).status == "passed"
    assert compare(bad, bad).status == "unusable"
    silent = Tested(results=Results(), exit_code=0)
    assert compare(silent, silent).status == "unusable"


def test_exit_code_beside_passing_tests() -> None:
    """An exit code that turned bad counts though no test failed (a coverage limit, say); one bad before doesn't."""
    tests = {"a": "passed"}
    assert compare(ran(tests), ran(tests, exit_code=1)).status == "failed"
    compared = compare(ran(tests, exit_code=1), ran(tests, exit_code=1))
    assert compared.status == "passed"
    assert "exit code 1, as before" in (compared.reason or "")


def test_disappeared() -> None:
    """What passed before and was skipped or absent after is named."""
    compared = compare(ran({"a": "passed", "b": "passed", "c": "passed"}), ran({"a": "passed", "b": "skipped"}))
    assert (compared.status, compared.disappeared) == ("passed", ("b", "c"))


@pytest.mark.parametrize("name", ["tests/test_a.py::{}", "tests.test_a.Case.{}"])
def test_a_module_that_runs_no_more(name: str) -> None:
    """A test module that passed before and skips itself after fails the change, unless the change is to the module."""
    before = ran({name.format("test_x"): "passed", "tests/test_b.py::test_y": "passed"})
    after = ran({name.format("test_x"): "skipped", "tests/test_b.py::test_y": "passed"})
    compared = compare(before, after, ["pkg/a.py"])
    assert (compared.status, compared.newly_failing) == ("failed", (name.format("test_x"),))
    assert "did not run" in (compared.reason or "")
    assert compare(before, after, ["tests/test_a.py"]).status == "passed"


def test_unsteady_and_flaky() -> None:
    """Only what is seen to fail without the change as well is forgiven."""
    compared = compare(ran(dict.fromkeys("abc", "passed")), ran(dict.fromkeys("abc", "failed")))
    settled = settle_unsteady(compared, still={"a"}, without={"b"})
    assert (settled.status, settled.newly_failing, settled.flaky) == ("failed", ("a", "c"), ("b",))
    assert settled.unsteady == ("b", "c")
    assert settle_unsteady(compared, still=(), without=set("abc")).status == "passed"


# --- whether the workspace was tested ---

W, R, S = "/home/ws", "/user/repo", "/home/ws.scratch"


def seen(**more: Any) -> Seen:
    facts = {"workspace": W, "repo": R, "own": [S], "tracked": {"src/m.py", "x/m.py"}, "names": {"m": "src/m.py"}}
    return Seen(**{**facts, "record": Record(), **more})


def loaded(*files: str, node: bool = False, runner: str = "pytest", prefixes: tuple[str, ...] = ()) -> Record:
    loads = {file: {"m"} if file.endswith("/m.py") else set() for file in files}
    nodes = set(files) if node else set()
    return Record(loads=loads, node_loads=nodes, runners={runner}, prefixes=set(prefixes))


@pytest.mark.parametrize(
    ("facts", "same", "status", "how"),
    [
        ({"record": loaded(f"{W}/src/m.py")}, False, "proved", "imported"),
        ({"record": loaded(f"{R}/src/m.py")}, False, "outside", "outside"),
        ({"record": loaded("/usr/lib/python3/site-packages/m.py")}, False, "outside", "outside"),
        ({"record": loaded(f"{W}/src/m.py", f"{R}/src/m.py")}, False, "outside", "outside"),
        ({"record": loaded(f"{W}/src/m.py", f"{R}/other.py")}, False, "outside", "imported"),
        ({"record": loaded(f"{W}/.tox/py/lib/site-packages/m.py")}, True, "proved", "copied"),
        ({"record": loaded(f"{W}/.tox/py/lib/site-packages/m.py")}, False, "outside", "stale"),
        ({"record": loaded(f"{S}/env/m.py")}, True, "proved", "copied"),
        ({"record": loaded(f"{W}/src/m.py", f"{W}/x/m.py")}, False, "proved", "imported"),
        ({"record": loaded(), "resolves": {"m": f"{W}/src/m.py"}}, False, "proved", "resolves"),
        ({"record": loaded(), "resolves": {"m": f"{R}/src/m.py"}}, False, "outside", "outside"),
        ({"record": loaded(), "resolves": {"m": None}}, False, "proved", "not loaded"),
        ({"record": Record(), "resolves": {"m": f"{W}/src/m.py"}}, False, "unproved", "unproved"),
    ],
)
def test_python_proof(facts: dict[str, Any], same: bool, status: str, how: str) -> None:
    """What was imported decides; what would be found is taken only where the recorder saw the tests run."""
    proof = judge("pytest", ["src/m.py"], seen(**facts), lambda *_: same)
    assert (proof.status, proof.files["src/m.py"]) == (status, how)


def test_environment_in_the_checkout_is_no_stranger() -> None:
    """Packages of the repository's own environment lie in the checkout, and are not its code."""
    files = [f"{R}/.venv/lib/python3/site-packages/dep.py", f"{R}/env2/lib/x.py", f"{R}/node_modules/d/i.js"]
    record = loaded(f"{W}/src/m.py", *files, prefixes=(f"{R}/env2",))
    assert judge("pytest", ["src/m.py"], seen(record=record), lambda *_: False).status == "proved"


def test_workspace_inside_the_checkout() -> None:
    """A home within the repository makes its workspaces no part of the checkout's code."""
    inside = f"{R}/.twelvefold/ws"
    record = loaded(f"{inside}/src/m.py")
    proof = judge("pytest", ["src/m.py"], seen(workspace=inside, record=record), lambda *_: False)
    assert proof.status == "proved"


@pytest.mark.parametrize(
    ("kind", "path", "facts", "how"),
    [
        ("npm", "a.js", {"record": loaded(f"{W}/a.js", node=True)}, "loaded"),
        ("npm", "a.js", {"record": loaded(f"{W}/a.test.js", node=True)}, "not loaded"),
        ("npm", "a.js", {"record": loaded()}, "unproved"),
        ("npm", "a.ts", {"read": {"a.ts"}}, "read"),
        ("npm", "tool.py", {}, "untested"),
        ("pytest", "a.js", {}, "untested"),
        ("pytest", "fast.pyx", {}, "unproved"),
        ("pytest", "data.toml", {}, "not code"),
        ("go", "a.go", {"builds": Builds((W,))}, "built"),
        ("go", "a.go", {"builds": Builds(problem="no answer")}, "unproved"),
        ("go", "a.go", {"builds": Builds((R,))}, "outside"),
        ("cargo", "src/lib.rs", {"builds": Builds((W, f"{R}/dep"))}, "outside"),
        ("make", "a.c", {"read": {"a.c"}}, "read"),
        ("make", "a.c", {}, "unproved"),
        ("command", "a.rb", {"read": {"a.rb"}}, "read"),
        ("tox", "src/m.py", {"record": Record()}, "unproved"),
    ],
)
def test_other_proofs(kind: Any, path: str, facts: dict[str, Any], how: str) -> None:
    """Each runner proves its place in its own way; where it can't, doubt stays doubt."""
    proof = judge(kind, [path], seen(**facts), lambda *_: False)
    assert proof.files[path] == how
    expected = {"unproved": "unproved", "outside": "outside"}.get(how, "proved")
    assert proof.status == expected


def test_answers_of_build_tools() -> None:
    """go's and cargo's answers are folders; no answer is a problem, never a proof."""
    assert read_go_list("/w/mod\n/w/other\n").folders == ("/w/mod", "/w/other")
    assert read_go_list("command-line-arguments\n").problem
    metadata = '{"packages": [{"manifest_path": "/w/Cargo.toml", "source": null, "name": "x"},'
    metadata += ' {"manifest_path": "/h/.cargo/registry/d/Cargo.toml", "source": "registry+x"}]}'
    assert read_cargo_metadata(metadata).folders == ("/w",)
    assert read_cargo_metadata("").problem
