"""The program `gh` as the way to GitHub: its `gh api` carries the requests that else go over the network.

Owns running it. It signs in by itself, with what `gh auth login` has stored or a token of the environment, which is
never on its command line.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from .access import PUBLIC_API, Access

TIMEOUT_S = 120.0
#: What `gh` may know of its surroundings: how to sign in, where its configuration is, how to reach the network.
_KEPT = ("PATH", "HOME", "USER", "XDG_", "GH_", "GITHUB_", "DBUS_SESSION_BUS_ADDRESS", "SSL_CERT_", "LANG", "LC_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
#: Exit status of a `gh` that nobody has signed in.
NOT_SIGNED_IN = 4


def find_gh(access: Access, environ: Mapping[str, str]) -> str | None:
    """Return the program where it is there and can ask this server: `gh` knows hosts, and no other base URLs."""
    usual = access.api_url == PUBLIC_API or access.api_url == f"https://{access.host}/api/v3"
    return shutil.which("gh", path=environ.get("PATH")) if usual else None


def is_signed_in(program: str, access: Access, environ: Mapping[str, str]) -> bool:
    """Tell whether `gh` can act as somebody on this server; asks nothing of the network."""
    try:
        done = subprocess.run(
            [program, "auth", "token", "--hostname", access.host],
            env=environment(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what `gh` is given of an environment."""
    kept = {name: value for name, value in environ.items() if name.startswith(_KEPT) or name.lower() in _PROXIES}
    return kept | {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1", "GH_PAGER": "cat"}


class GhTransport(httpx.BaseTransport):
    """Carries requests by `gh api --include`; over the network itself once `gh` says that nobody has signed it in.

    Raises httpx.ConnectError where `gh` gives no answer of the server.
    """

    def __init__(self, program: str, access: Access, environ: Mapping[str, str]) -> None:
        self._plain: httpx.Client | None = None
        self._program = program
        self._host = access.host
        self._prefix = urlsplit(access.api_url).path
        self._environ = environment(environ)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Run `gh` for one request, and return what the server answered."""
        if self._plain is not None:
            return self._plain.send(request, stream=True)
        path = request.url.raw_path.decode("ascii").removeprefix(self._prefix).lstrip("/")
        command = [self._program, "api", "--include", "--hostname", self._host, "--method", request.method]
        for name in ("Accept", "X-GitHub-Api-Version"):
            command += ["--header", f"{name}: {request.headers[name]}"]
        body = request.read()
        command += ["--input", "-"] if body else []
        try:
            done = subprocess.run(
                [*command, path], input=body, env=self._environ, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise httpx.ReadTimeout(f"gh gave no answer for {TIMEOUT_S:.0f} s", request=request) from None
        except OSError as error:
            raise httpx.ConnectError(f"gh cannot be run: {error.strerror}", request=request) from error
        response = _answer(done.stdout, request)
        if response is None and done.returncode == NOT_SIGNED_IN:
            self._plain = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
            return self._plain.send(request, stream=True)
        if response is None:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            reason = (said[0] if said else "it said nothing")[:300]
            raise httpx.ConnectError(f"gh ended with {done.returncode}: {reason}", request=request)
        return response

    def close(self) -> None:
        """Close what was opened in the place of `gh`."""
        if self._plain is not None:
            self._plain.close()


def _answer(output: bytes, request: httpx.Request) -> httpx.Response | None:
    """Read what `gh api --include` prints: a status line, headers, an empty line, the body."""
    head, _, body = output.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return None
    headers = [(name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon]
    # It was decoded by `gh`, and what it printed has another length.
    dropped = ("content-encoding", "content-length", "transfer-encoding")
    kept = [(name, value) for name, value in headers if name.lower() not in dropped]
    return httpx.Response(int(words[1]), headers=kept, content=body, request=request)
