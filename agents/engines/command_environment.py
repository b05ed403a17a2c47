"""What a coding program of the engine `command` gets to see of its surroundings.

Owns the list of variables. Keeps: nothing of the agent's environment but what is listed here or named by the user in
TWELVEFOLD_FIXER_ENV; HOME and TMPDIR are folders that go away with the run, unless the user hands HOME through.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..agent_settings import AgentSettings
from ..sandbox.private import private_environment, toolchains

#: Variables without secrets that programs need to find others, to talk in the user's language, and to reach a service.
_PASSED = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "USER", "LOGNAME", "SHELL", "JAVA_HOME", "GOROOT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
)
#: No program asks, decorates, or leaves caches in the tree.
_QUIET = {
    "CI": "true",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
    # Where it commits, that must not fail for want of a name; its commits don't count anyway.
    "GIT_AUTHOR_NAME": "Twelvefold",
    "GIT_AUTHOR_EMAIL": "twelvefold@localhost",
    "GIT_COMMITTER_NAME": "Twelvefold",
    "GIT_COMMITTER_EMAIL": "twelvefold@localhost",
}
_IN_HOME = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
#: Handed-through variables whose values are no secrets.
_OPEN = re.compile(r"HOME|PATH|USER|SHELL|LANG|.*_(?:DIR|HOME|PATH|URL|MODEL|REGION|HOST)")


def command_environment(
    settings: AgentSettings, scratch: Path, temporary: Path, folder: Path, issue_file: Path
) -> tuple[dict[str, str], list[str]]:
    """Return all variables that the program gets, and what a person should know about them."""
    outer = settings.environ or os.environ
    passed = {name: outer[name] for name in _PASSED if name in outer}
    home = _home(outer)
    private = private_environment(scratch, temporary)
    handed = {name: outer[name] for name in settings.fixer_env if name in outer and name != "HOME"}
    if "HOME" in settings.fixer_env:
        handed["HOME"] = str(home)
        private = {name: value for name, value in private.items() if name not in _IN_HOME}
    env = {
        **toolchains(home, passed),
        **passed,
        **_QUIET,
        **private,
        **handed,
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        "TWELVEFOLD_ISSUE_FILE": str(issue_file),
    }
    env["PATH"] = ":".join(part for part in env.get("PATH", os.defpath).split(":") if part.startswith("/"))
    missing = [name for name in settings.fixer_env if name not in outer]
    return env, [f"TWELVEFOLD_FIXER_ENV names {name}, which is not set" for name in missing]


def _home(outer: Mapping[str, str]) -> Path:
    """Return the user's home: an agent's own HOME is another one."""
    return Path(outer.get("TWELVEFOLD_USER_HOME") or outer.get("HOME") or "/nonexistent")


def without_secrets(text: str, settings: AgentSettings) -> str:
    """Return what a program said without the values of variables that were handed through to it."""
    outer = settings.environ or os.environ
    for name in settings.fixer_env:
        value = outer.get(name, "")
        if len(value) >= 6 and not _OPEN.fullmatch(name):
            text = text.replace(value, f"<{name}>")
    return text
