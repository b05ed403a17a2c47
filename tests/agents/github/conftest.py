"""A GitHub of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.github.github_server import GitHubServer, serve


@pytest.fixture
def github_server(tmp_path: Path) -> Iterator[GitHubServer]:
    """A running server."""
    github, server = serve(tmp_path / "server")
    yield github
    server.shutdown()
    server.server_close()
