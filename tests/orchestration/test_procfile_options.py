"""`Procfile.options`, from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration.errors import ProcfileOptionsInvalid
from twelvefold.orchestration.procfile_options import ProcessOptions, Restart, parse_options

EVERYTHING = """
[Fixer]
restart = {policy = "on-failure", attempts_max = 3, delay_s = 0.5}
after = ["migrate", "bus"]
stop_signal = "int"
stop_timeout_s = 10
quantity = 3

[migrate]
kind = "task"
"""


def test_every_option_is_read() -> None:
    """All options arrive as typed values, names in the Procfile's spelling, a task not restarted by default."""
    options = parse_options(EVERYTHING, ["fixer", "Migrate"], services=["bus", "orchestrator"])
    assert options == {
        "fixer": ProcessOptions(
            restart=Restart("on-failure", attempts_max=3, delay_s=0.5),
            after=("Migrate", "bus"),
            stop_signal="SIGINT",
            stop_timeout_s=10.0,
            quantity=3,
        ),
        "Migrate": ProcessOptions(kind="task", restart=Restart("never")),
    }


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("[web]\nrestrat = 1", 2, 1, "unknown option 'restrat'"),
        ("[web]\n[nobody]\n", 2, 1, "no process 'nobody'"),
        ("quantity = 3", 1, 1, "outside a process's table"),
        ("[web]\nquantity = -1", 2, 1, "quantity must be"),
        ("[web]\nquantity = true", 2, 1, "quantity must be"),
        ("[web]\nquantity = 1.5", 2, 1, "quantity must be"),
        ('[web]\n  stop_signal = "SIGNOTHING"', 2, 3, "no signal"),
        ("[web]\nstop_timeout_s = nan", 2, 1, "number of seconds"),
        ('[web]\nkind = "job"', 2, 1, "'service' or 'task'"),
        ('[web]\nrestart = "sometimes"', 2, 1, "restart:"),
        ("[web]\nrestart = {tries = 3}", 2, 12, "`tries`"),
        ('[web.restart]\npolicy = "x"', 2, 1, "Invalid enum value 'x' for 'policy'"),
        ("[web]\nquantity = 1\n[WEB]\nquantity = 2", 3, 1, "'web' has two tables"),
        ("[bus]\nquantity = 3", 2, 1, "exactly one bus"),
        ('[orchestrator]\nkind = "task"', 2, 1, "it is no task"),
        ('[bus]\nafter = ["web"]', 2, 1, "come after bus"),
        ('[web]\nkind = "task"\nrestart = "always"', 3, 1, "a task runs once"),
        ('[web]\nafter = "other"', 2, 1, "list of process names"),
        ('[web]\nafter = ["nobody"]', 2, 1, "'nobody'"),
        ('[web]\nafter = ["web"]', 2, 1, "web after web"),
        ('[web]\nafter = ["other"]\n[other]\nafter = ["web"]', 4, 1, "web after other after web"),
        ("[web\n", 1, 5, "not TOML"),
        ("[web]\nquantity = \n", 2, 12, "not TOML"),
    ],
)
def test_each_slip_is_named_where_it_is(text: str, line: int, column: int, words: str) -> None:
    """Unknown tables and keys, values of the wrong kind and circles are refused with their place."""
    with pytest.raises(ProcfileOptionsInvalid) as caught:
        parse_options(text, ["web", "other"], "Procfile.options", ["bus", "orchestrator"])
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in caught.value.message()


@given(st.text(alphabet="[]{}=\"\n.abw 1'#,", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    """Whatever the text, it is read, or refused with a place that it has."""
    try:
        parse_options(text, ["a", "b", "web"])
    except ProcfileOptionsInvalid as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 2


@given(st.integers(1, 500), st.floats(0, 100), st.floats(0, 100))
def test_delays_grow_and_stay_bounded(attempt: int, delay_s: float, delay_max_s: float) -> None:
    """The wait before a restart never shrinks from try to try and never exceeds its maximum."""
    restart = Restart(delay_s=delay_s, delay_max_s=delay_max_s)
    assert 0 <= restart.delay(attempt) <= restart.delay(attempt + 1) <= delay_max_s
