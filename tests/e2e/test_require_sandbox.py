"""`run --require-sandbox`: what can't be contained isn't begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import CALC, RIGHT, JobHome, make_repo


@pytest.mark.e2e
def test_a_job_that_requires_the_sandbox_is_done_in_it(own_home: JobHome, tmp_path: Path) -> None:
    """A job is done, its agents are contained, and its tests say so."""
    ended = own_home.job(make_repo(tmp_path / "calc", CALC), RIGHT, "--require-sandbox")
    assert ended.status == 0, ended.err
    assert ended.json["outcome"] == "succeeded"


@pytest.mark.e2e
def test_a_sandbox_that_is_switched_off_is_refused(own_home: JobHome, tmp_path: Path) -> None:
    """Where settings, or agents that run already, are without rules, nothing is begun, and it is said why."""
    repo = make_repo(tmp_path / "calc", CALC)
    own_home.environment["TWELVEFOLD_SANDBOX"] = "off"
    refused = own_home.job(repo, RIGHT, "--require-sandbox")
    assert refused.status == 1
    assert "error[E452]" in refused.err
    assert "TWELVEFOLD_SANDBOX" in refused.err
    assert own_home.job(repo, RIGHT).status == 0
    del own_home.environment["TWELVEFOLD_SANDBOX"]
    still = own_home.job(repo, RIGHT, "--require-sandbox")
    assert still.status == 1, still.out
    assert "isn't in the sandbox" in still.err
