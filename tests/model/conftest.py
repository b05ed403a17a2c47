"""The home of the e2e tests, for a test over real processes."""

from __future__ import annotations

from ..e2e.conftest import own_home as own_home
