"""Maven projects: found by their files, read from Surefire's reports, proved by what was compiled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.agents.testing.conftest import Project
from twelvefold.agents.test_record import Record
from twelvefold.agents.test_results import read_results
from twelvefold.agents.test_runner import find_test_commands, given_command

POM = "<project><modelVersion>4.0.0</modelVersion></project>\n"
MAIN, TEST = "src/main/java/org/app/Calc.java", "src/test/java/org/app/CalcTest.java"
FILES = {"pom.xml": POM, MAIN: "class Calc { int add = 1; }\n", TEST: "class CalcTest {}\n"}
#: A Maven that compiles nothing and knows one test: it fails where the main class says BROKEN.
MVN = """\
[ "$1" = --version ] && echo 'Apache Maven 3.9.9' && exit 0
echo "[INFO] Scanning for projects..."
grep -q 'no syntax' src/main/java/org/app/Calc.java && echo '[ERROR] COMPILATION ERROR' && exit 1
mkdir -p target/classes/org/app target/surefire-reports
touch target/classes/org/app/Calc.class
failed=''; status=0
if grep -q BROKEN src/main/java/org/app/Calc.java; then
  failed='<failure message="expected 3" type="AssertionError">at CalcTest</failure>'; status=1
fi
cat > target/surefire-reports/TEST-org.app.CalcTest.xml <<END
<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="org.app.CalcTest" tests="3" errors="0" skipped="1" failures="0">
  <properties><property name="java.version" value="17"/></properties>
  <testcase name="add" classname="org.app.CalcTest" time="0.01">$failed</testcase>
  <testcase name="same" classname="org.app.CalcTest" time="0.01"><flakyFailure message="once"/></testcase>
  <testcase name="later" classname="org.app.CalcTest" time="0"><skipped/></testcase>
</testsuite>
END
cat > target/surefire-reports/TEST-org.app.OtherTest.xml <<END
<testsuite name="org.app.OtherTest" tests="1"><testcase name="add" classname="org.app.OtherTest"/></testsuite>
END
[ $status = 0 ] || echo '[ERROR] There are test failures.'
exit $status
"""


@pytest.fixture
def maven(project: Project, tmp_path: Path) -> Any:
    """A project tested by a Maven of our own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mvn").write_text(f"#!/bin/sh\n{MVN}")
    (folder / "mvn").chmod(0o755)
    project.commit(FILES)

    def test(changes: dict[str, str | None], **task: Any) -> Any:
        return project.test(changes, path=f"{folder}:{os.environ['PATH']}", **task)

    return test


def test_a_newly_failing_test_is_named(maven: Any) -> None:
    """Tests are counted by class and name, a flaky one that passed as passed, and the broken one is named."""
    outcome = maven({MAIN: "class Calc { int add = 1; } // BROKEN\n"})
    assert (outcome.outcome, outcome.value["kind"], outcome.value["command"]) == ("failed", "maven", "mvn -B -fae test")
    assert outcome.value["newly_failing"] == ["org.app.CalcTest > add"]
    counts = [
        (side["passed"], side["failed"], side["skipped"]) for side in (outcome.value["before"], outcome.value["after"])
    ]
    assert counts == [(3, 0, 1), (2, 1, 1)]


def test_a_sound_change_passes_with_the_proof_that_it_was_compiled(maven: Any) -> None:
    """What Maven compiled in the workspace is what was tested."""
    outcome = maven({MAIN: "class Calc { int add = 2; }\n"})
    assert outcome.value["status"] == "passed"
    assert outcome.value["after"]["proof"]["files"] == {MAIN: "built"}


def test_code_that_does_not_compile_breaks_the_tests(maven: Any) -> None:
    """No test runs then, which the base's did."""
    outcome = maven({MAIN: "class no syntax\n"})
    assert outcome.value["status"] == "failed"
    assert "before any test ran" in outcome.value["reason"]


def test_committed_reports_are_not_of_this_run(maven: Any, project: Project) -> None:
    """A report that lies in the repository says nothing."""
    stale = '<testsuite name="Old"><testcase name="old" classname="Old"><failure/></testcase></testsuite>\n'
    project.commit({"target/surefire-reports/TEST-Old.xml": stale})
    outcome = maven({MAIN: "class Calc { int add = 2; }\n"})
    assert outcome.value["after"]["failed"] == 0


def test_maven_is_found_by_the_repositorys_files() -> None:
    """By its pom and tests; with a wrapper that too, behind it; and in what a person gave."""
    assert [one.text() for one in find_test_commands(list(FILES), FILES)] == ["mvn -B -fae test"]
    wrapped = find_test_commands([*FILES, "mvnw"], FILES)
    assert [one.text() for one in wrapped] == ["mvn -B -fae test", "sh ./mvnw -B -fae test"]
    assert find_test_commands(["pom.xml", MAIN], FILES) == []
    assert given_command("mvn -q verify").kind == "maven"
    assert given_command("mvn clean").kind == "command"


def test_any_runner_may_offer_junit_reports() -> None:
    """Several files of a run are joined; equal names in different classes stay apart; what isn't XML says nothing."""
    one = b'<testsuites><testsuite name="pytest"><testcase classname="tests.a" name="x"/>'
    one += b'<testcase classname="tests.b" name="x"><error/></testcase></testsuite></testsuites>'
    reports = {
        "junit/a.xml": one,
        "junit/b.xml": b"<testsuite",
        "junit/c.xml": b"<testsuite name='C'><testcase name='y'/></testsuite>",
    }
    found = read_results("command", Record(), reports, "")
    assert found.tests == {"pytest > tests.a > x": "passed", "pytest > tests.b > x": "error", "C > y": "passed"}
