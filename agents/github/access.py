"""Which GitHub is asked, and as whom: read from an environment, with where each value came from.

Keeps: a token is shown nowhere, neither when an object is printed nor in an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from ..agent_settings import seconds
from ..errors import AgentSettingInvalid

PUBLIC_API = "https://api.github.com"
#: How long rate limits are waited for in all, where nobody says otherwise.
WAIT_S = 60.0
_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
_SERVERS = ("GITHUB_API_URL", "GITHUB_SERVER_URL", "GH_HOST")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """A GitHub server and who asks it. `web_url` is where its pages and repositories are; `token` may be "".

    `token_from` and `api_from` name the variables they came from ("" where they are the default).
    """

    api_url: str = PUBLIC_API
    web_url: str = "https://github.com"
    token: str = ""
    token_from: str = ""
    api_from: str = ""
    wait_s: float = WAIT_S

    def __repr__(self) -> str:
        """Show all but the token."""
        token = f"from {self.token_from}" if self.token else "none"
        return f"Access(api_url={self.api_url!r}, web_url={self.web_url!r}, token={token})"

    @property
    def host(self) -> str:
        """The host (and port) of its pages, by which remotes of a repository are known."""
        return urlsplit(self.web_url).netloc

    def hidden(self, text: str) -> str:
        """Return a text without the token, whatever it came from."""
        return text.replace(self.token, "***") if self.token else text


def environment_for(host: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment in which a host is asked: without any token, where it isn't the server that is set up.

    A token is for one server; an address that somebody wrote down must not lead it to another one.
    """
    if not host or host.lower() == access_from(environ).host.lower():
        return environ
    kept = {name: value for name, value in environ.items() if name not in _TOKENS and name not in _SERVERS}
    return {**kept, "GH_HOST": host}


def access_from(environ: Mapping[str, str]) -> Access:
    """Return what an environment says: GITHUB_API_URL or GH_HOST, GITHUB_SERVER_URL, GH_TOKEN or GITHUB_TOKEN.

    For a server of one's own GH_ENTERPRISE_TOKEN and GITHUB_ENTERPRISE_TOKEN come first, as with `gh`. Raises
    AgentSettingInvalid.
    """
    api, web, api_from = PUBLIC_API, "https://github.com", ""
    if given := environ.get("GITHUB_API_URL", "").strip().rstrip("/"):
        api, web, api_from = _url("GITHUB_API_URL", given), _web_of(given), "GITHUB_API_URL"
    elif host := environ.get("GH_HOST", "").strip():
        if not _HOST.fullmatch(host):
            raise AgentSettingInvalid("GH_HOST", "the name of a host, such as github.example.org")
        if host.lower() != "github.com":
            api, web, api_from = f"https://{host}/api/v3", f"https://{host}", "GH_HOST"
    if given := environ.get("GITHUB_SERVER_URL", "").strip().rstrip("/"):
        web = _url("GITHUB_SERVER_URL", given)
    names = ["GH_TOKEN", "GITHUB_TOKEN"]
    if urlsplit(web).netloc != "github.com":
        names = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", *names]
    token_from = next((name for name in names if environ.get(name, "").strip()), "")
    token = environ.get(token_from, "").strip() if token_from else ""
    if not token.isascii() or any(character.isspace() for character in token):
        raise AgentSettingInvalid(token_from, "a token, without spaces")
    wait_s = WAIT_S
    if text := environ.get("TWELVEFOLD_GITHUB_WAIT_S", ""):
        try:
            wait_s = seconds(text)
        except ValueError:
            raise AgentSettingInvalid("TWELVEFOLD_GITHUB_WAIT_S", "seconds greater than 0") from None
    return Access(api_url=api, web_url=web, token=token, token_from=token_from, api_from=api_from, wait_s=wait_s)


def _web_of(api: str) -> str:
    """Return where the pages are whose API is at this URL."""
    parts = urlsplit(api)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host.removeprefix('api.') if host in ('api.github.com',) else host}"


def _url(variable: str, text: str) -> str:
    parts = urlsplit(text)
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise AgentSettingInvalid(variable, "an http or https URL without a user in it")
    return text
