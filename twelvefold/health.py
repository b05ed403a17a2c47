"""`HealthChecker`: how a home and its agents do. One look (`observing`), judged by `projections/health.py`."""

from __future__ import annotations

import os
from pathlib import Path

from .observing import WAIT_S, Place, observe
from .projections.agent_health import HealthStatus, judged_agent
from .projections.health import Limits, SystemHealthStatus, judged
from .settings import load_settings


class HealthChecker:
    """Checks the health of a home: the one that the command line would use, unless `home` says otherwise.

    `limits` say what is still well; `timeout_s` is how long bus and supervisor have to answer. Every call looks anew;
    nothing needs to run, and what does not is said. May be used from any thread.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        limits: Limits | None = None,
        timeout_s: float = WAIT_S,
    ) -> None:
        settings = load_settings()
        self._place = Place(settings.home if home is None else Path(home).absolute(), settings.runtime_dir)
        self._limits = limits or Limits()
        self._timeout_s = timeout_s

    def check_agent_health(self, agent_id: str) -> HealthStatus:
        """Return how an agent does, by the name of its process (`fixer.1`), of its line (`fixer`), of a queue that it
        takes from, or of its instance; the status is `unknown` where nothing knows it.
        """
        return judged_agent(observe(self._place, wait_s=self._timeout_s), agent_id)

    def check_system_health(self) -> SystemHealthStatus:
        """Return how the home does: agents, bus, orchestrator, work, projections, log, disk, clock."""
        return judged(observe(self._place, wait_s=self._timeout_s), self._limits)
