"""Running the project's tests on a workspace's files."""

from __future__ import annotations

from collections.abc import Callable

from tests.agents.tools.conftest import Desk, picture


def test_tests_run_on_the_files_as_they_are(desk: Desk) -> None:
    """They pass, fail with the change and pass again, and leave nothing in the workspace."""
    passed = desk.did("run_tests")
    assert (passed["status"], passed["passed"], passed["failed"]) == ("passed", 1, 0)
    assert "pytest" in passed["command"]
    desk.did("edit_file", path="src/shop/prices.py", old_text="n * 2", new_text="n * 3", count=2)
    before = picture(desk.folder)
    failed = desk.call("run_tests")
    assert failed.reason == "tests_failed" and len(failed.data["failing"]) == 1
    assert "test_price" in failed.data["failing"][0] and "assert" in failed.data["output"]
    compared = desk.call("run_tests", compare=True).data
    assert compared["newly_failing"] == failed.data["failing"]
    assert picture(desk.folder) == before
    desk.did("edit_file", path="src/shop/prices.py", old_text="n * 3", new_text="2 * n", count=2)
    assert desk.did("run_tests", compare=True)["newly_failing"] == []


def test_a_run_that_proves_nothing_does_not_pass(desk_on: Callable[..., Desk]) -> None:
    """Tests that never load what was changed, hang, or are not there."""
    desk = desk_on(test_command="python -c 'print(1)'")
    desk.did("edit_file", path="src/shop/prices.py", old_text="n * 2", new_text="n * 3", count=2)
    assert desk.call("run_tests").reason == "tests_unusable"
    hanging = desk_on(test_command="sleep 600")
    response = hanging.call("run_tests", timeout_s=0.5)
    assert response.reason == "tests_unusable" and "had not ended" in response.data["reason"]
    for path in ("tests/test_prices.py", "pyproject.toml"):
        hanging.did("delete_file", path=path)
    hanging.user.git("rm", "-q", "tests/test_prices.py", "pyproject.toml")
    hanging.user.git("commit", "-qm", "No tests")
    assert desk_on().refused("run_tests") == "no_tests"
