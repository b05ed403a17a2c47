"""How GitHub is reached: through `gh` where it is there and signed in, else over its REST API."""

from __future__ import annotations

from collections.abc import Mapping

from .access import Access, access_from
from .client import GitHub


def open_github(environ: Mapping[str, str], access: Access | None = None) -> GitHub:
    """Return a client of the GitHub that an environment names, to be closed; raises AgentSettingInvalid."""
    from .gh import GhTransport, find_gh

    access = access_from(environ) if access is None else access
    program = find_gh(access, environ)
    if program is not None:
        return GitHub(access, GhTransport(program, access, environ))
    return GitHub(access)
