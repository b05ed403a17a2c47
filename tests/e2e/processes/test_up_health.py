"""Health and metrics of a running `up`: what happens to its processes is found, told and counted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import twelvefold as tf

from .conftest import Project

pytestmark = pytest.mark.e2e


def test_what_happens_to_processes_is_found(
    project: Project, eventually: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung agent, one that is given up and a bus that is killed make the home unhealthy until they are back."""
    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", str(project.runtime))
    project.environ["TWELVEFOLD_LEASE_S"] = "3"
    project.write(
        "Procfile", "echo: twelvefold agent echo_agents:Echo\nflaky: sh -c 'test ! -e broken && sleep 3600'\n"
    )
    project.write("Procfile.options", '[flaky]\nrestart = { policy = "always", attempts_max = 1, delay_s = 0.1 }\n')
    checker = tf.HealthChecker(project.home, limits=tf.HealthLimits(free_bytes=0, round_trip_s=60))
    assert not checker.check_system_health().healthy
    project.start("up", "-c", "echo=2")
    project.wait_ready("echo.1", "echo.2", "flaky.1")
    eventually(lambda: (found := checker.check_system_health()).healthy and found.ready)
    assert project.run("health").returncode == 0

    pid = project.ps()["echo.1"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    hung = eventually(lambda: (found := checker.check_agent_health("echo.1")) and not found.healthy and found)
    assert (hung.status, hung.pid, hung.state) == ("unhealthy", pid, "ready")
    eventually(lambda: checker.check_agent_health("echo").status == "degraded")
    assert "echo.1" in project.run("health", status=1).stdout
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: checker.check_agent_health("echo").healthy)

    project.write("broken", "")
    os.kill(project.ps()["flaky.1"]["pid"], signal.SIGKILL)
    given_up = eventually(lambda: (found := checker.check_agent_health("flaky")).state == "crashed" and found)
    assert "given up" in given_up.message
    assert not checker.check_system_health().ready
    collector = tf.MetricsCollector(project.home)

    def counted(place: str) -> dict[str, Any]:
        found: dict[str, Any] = collector.collect_orchestration_metrics()["processes"][place]
        return found

    # What happens to processes is recorded soon after it happens.
    eventually(lambda: counted("flaky.1")["given_up"] == 1 and counted("flaky.1")["unexpected_exits"] >= 2)

    (project.folder / "broken").unlink()
    project.run("restart", "flaky")
    os.kill(project.ps()["bus.1"]["pid"], signal.SIGKILL)
    eventually(lambda: counted("bus.1")["restarts"] == 1)
    eventually(lambda: checker.check_system_health().healthy)
    assert 'twelvefold_process_up{process="echo.1"} 1.0' in collector.export_metrics()

    def at_work() -> set[str]:
        return {one["process"] for one in collector.collect_agent_metrics()["instances"].values()}

    eventually(lambda: at_work() == {"echo.1", "echo.2"})
