"""Lines that a running supervisor's plan lacks are added to it, and nothing that it has changes."""

from __future__ import annotations

import pytest

from twelvefold.orchestration.errors import SupervisorRefused
from twelvefold.orchestration.procfile import ProcfileLine
from twelvefold.orchestration.procfile_options import ProcessOptions
from twelvefold.orchestration.supervisor_plan import SupervisorPlan, places, with_lines

WEB, WORK = ProcfileLine("web", "serve"), ProcfileLine("work", "twelvefold agent m:Work")


def plan(**more: object) -> SupervisorPlan:
    return SupervisorPlan(home="/h", runtime_dir=None, cwd="/", environ={}, lines=(WEB,), **more)  # type: ignore[arg-type]


def running(of: SupervisorPlan) -> list[str]:
    return sorted(spec.key for spec in places(of) if spec.name not in ("bus", "orchestrator"))


def test_a_line_that_is_lacking_is_taken_in_with_its_count() -> None:
    """It runs beside the others from then on, and asking again changes nothing."""
    added = with_lines(plan(), [WORK], {"work": 2})
    assert running(added) == ["web.1", "work.1", "work.2"]
    assert with_lines(added, [WORK], {"work": 2}) == added


def test_a_line_that_is_there_only_grows() -> None:
    """Fewer than there are takes nobody away; more than there are are added; names count in any capitals."""
    having = plan(formation={"web": 3})
    assert running(with_lines(having, [WEB], {"web": 2})) == ["web.1", "web.2", "web.3"]
    assert running(with_lines(having, [ProcfileLine("Web", "serve")], {"Web": 4})) == [f"web.{n}" for n in (1, 2, 3, 4)]
    by_option = plan(options={"web": ProcessOptions(quantity=2)})
    assert running(with_lines(by_option, [WEB], {})) == ["web.1", "web.2"]


def test_a_line_of_another_command_is_refused() -> None:
    """A name means one command: what runs is named, and the plan stays as it was."""
    with pytest.raises(SupervisorRefused, match="serve"):
        with_lines(plan(), [ProcfileLine("WEB", "other")], {})


def test_an_up_of_some_lines_takes_in_a_further_one() -> None:
    """`up NAME` runs only these lines, and those that are added to it."""
    assert running(with_lines(plan(only=("web",)), [WORK], {})) == ["web.1", "work.1"]
