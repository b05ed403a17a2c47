"""Asking GitHub's REST API: pages, rate limits, redirects, and every way in which it says no.

Owns one conversation with one server, through httpx; over what the requests go is a transport's (the network, or the
program `gh`). Keeps: the token goes to that server and nowhere else, a wait is bounded, an answer is what was asked for
or an error of ours, and nothing that changes something is sent twice unless it surely did nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .access import Access
from .errors import GitHubRefused, GitHubUnavailable, NotOnGitHub, RateLimited

if TYPE_CHECKING:
    import httpx

REDIRECTS_MAX = 5
PAGES_MAX = 100
ANSWER_BYTES_MAX = 32 << 20
#: Tries at what only reads, where the server or the network fails, and the first pause between two of them.
TRIES = 3
PAUSE_S = 0.5
#: How long a secondary rate limit is waited for where GitHub doesn't say (its documentation asks for a minute).
SECONDARY_S = 60.0
_ACCEPT = "application/vnd.github+json"
_VERSION = "2022-11-28"
_LIMIT_WORDS = re.compile(r"rate limit|abuse detection", re.I)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class GitHub:
    """A client of one GitHub server; to be closed. `transport` and `sleep` are for what stands in for the world."""

    def __init__(
        self,
        access: Access,
        transport: httpx.BaseTransport | None = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 30.0,
    ) -> None:
        import httpx  # an agent that never asks GitHub does not pay its memory

        self.access = access
        self._sleep, self._clock = sleep, clock
        self._waited_s = 0.0
        headers = {"Accept": _ACCEPT, "X-GitHub-Api-Version": _VERSION, "User-Agent": "twelvefold"}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        self._http = httpx.Client(
            headers=headers, transport=transport, timeout=httpx.Timeout(timeout_s, connect=10.0), follow_redirects=False
        )
        self._base = httpx.URL(access.api_url)

    def get(self, path: str, what: str, **parameters: Any) -> Any:
        """Return the JSON at a path of the API; `what` names it in errors. Raises the errors of `errors`."""
        return self._json(self._ask("GET", self._url(path, parameters), what), what)

    def pages(self, path: str, what: str, **parameters: Any) -> Iterator[Any]:
        """Yield the items of a list, page after page as its Link header leads, at most PAGES_MAX of them."""
        url: Any = self._url(path, {"per_page": 100, **parameters})
        for _ in range(PAGES_MAX):
            response = self._ask("GET", url, what)
            items = self._json(response, what)
            if not isinstance(items, list):
                raise GitHubUnavailable(what, self.access.api_url, "it answers with something that is no list")
            yield from items
            following = response.links.get("next", {}).get("url")
            if not following:
                return
            url = self._onwards(response, following, what)

    def post(self, path: str, what: str, data: Mapping[str, Any]) -> Any:
        """Send JSON to a path of the API and return what is answered."""
        return self._json(self._ask("POST", self._url(path, {}), what, data), what)

    def close(self) -> None:
        """End the conversation."""
        self._http.close()

    def __enter__(self) -> GitHub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _url(self, path: str, parameters: Mapping[str, Any]) -> httpx.URL:
        url = self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())
        return url.copy_merge_params(parameters) if parameters else url

    def _ask(self, method: str, url: Any, what: str, data: Mapping[str, Any] | None = None) -> httpx.Response:
        """Return a good answer, after redirects and waits; else raise what it says."""
        redirects = failures = 0
        while True:
            response = self._send(method, url, what, data, failures)
            if response is None or (response.status_code >= 500 and method == "GET" and failures < TRIES - 1):
                self._pause(PAUSE_S * 2**failures)
                failures += 1
            elif response.status_code in (301, 302, 307, 308):
                redirects += 1
                if redirects > REDIRECTS_MAX:
                    raise GitHubUnavailable(what, self.access.api_url, "it sends the request on and on")
                url = self._onwards(response, response.headers.get("Location", ""), what)
            elif (wait_s := self._limit_of(response)) is not None:
                self._wait(wait_s, what)
            elif response.is_success:
                return response
            else:
                raise self._error(response, what)

    def _send(
        self, method: str, url: Any, what: str, data: Mapping[str, Any] | None, failures: int
    ) -> httpx.Response | None:
        """Return an answer, None where it is to be tried again; raises GitHubUnavailable."""
        import httpx

        try:
            request = self._http.build_request(method, url, json=None if data is None else dict(data))
            response = self._http.send(request, stream=True)
            try:
                size, parts = 0, []
                for part in response.iter_bytes():
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        raise GitHubUnavailable(
                            what, self.access.api_url, f"the answer has over {ANSWER_BYTES_MAX} bytes"
                        )
                    parts.append(part)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # What surely did not get there may be sent again, whatever it is.
            again = method == "GET" or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if again and failures < TRIES - 1 and not isinstance(error, httpx.UnsupportedProtocol):
                return None
            reason = self.access.hidden(str(error)) or type(error).__name__
            raise GitHubUnavailable(what, self.access.api_url, reason) from None
        response._content = b"".join(parts)
        return response

    def _onwards(self, response: httpx.Response, location: str, what: str) -> httpx.URL:
        """Return where an answer leads on to; raises GitHubUnavailable for another host, which gets no request."""
        import httpx

        try:
            url = response.url.join(location)
        except httpx.InvalidURL:
            url = None
        if not location or url is None:
            raise GitHubUnavailable(what, self.access.api_url, "it sends the request on to nowhere")
        if (url.scheme, url.host, url.port) != (self._base.scheme, self._base.host, self._base.port):
            place = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
            raise GitHubUnavailable(
                what, self.access.api_url, f"it sends the request on to another host, {place[:200]}"
            )
        return url

    def _limit_of(self, response: httpx.Response) -> float | None:
        """Return how long a rate limit asks to wait, None where the answer is none."""
        if response.status_code not in (403, 429):
            return None
        headers = response.headers
        after = _number(headers.get("Retry-After"))
        if after is not None:
            return after
        if headers.get("X-RateLimit-Remaining") == "0":
            reset = _number(headers.get("X-RateLimit-Reset"))
            return SECONDARY_S if reset is None else max(reset - self._clock(), 0.0) + 1.0
        limited = response.status_code == 429 or _LIMIT_WORDS.search(_message(response))
        return SECONDARY_S if limited else None

    def _wait(self, wait_s: float, what: str) -> None:
        if self._waited_s + wait_s > self.access.wait_s:
            raise RateLimited(what, wait_s, bool(self.access.token))
        # A limit of no length at all must not become a loop without an end.
        self._pause(max(wait_s, 1.0))

    def _pause(self, pause_s: float) -> None:
        self._waited_s += pause_s
        self._sleep(pause_s)

    def _error(self, response: httpx.Response, what: str) -> Exception:
        status, said = response.status_code, self.access.hidden(_message(response))
        if status in (404, 410):
            return NotOnGitHub(what, said or "not found", bool(self.access.token))
        if status >= 500:
            return GitHubUnavailable(what, self.access.api_url, f"{status} {said or response.reason_phrase}".strip())
        if sso := re.search(r"url=(\S+)", response.headers.get("X-GitHub-SSO", "")):
            said = f"{said}; allow the token for the organization at {sso[1]}"
        return GitHubRefused(what, status, said or response.reason_phrase, self.access.token_from)

    def _json(self, response: httpx.Response, what: str) -> Any:
        try:
            return msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            kind = response.headers.get("Content-Type", "nothing")[:80]
            raise GitHubUnavailable(what, self.access.api_url, f"it answers with {kind} instead of JSON") from None


def _number(text: str | None) -> float | None:
    """Read a number of seconds; None for none, and for dates, which GitHub does not send here."""
    try:
        return None if text is None else max(float(int(text)), 0.0)
    except ValueError:
        return None


def _message(response: httpx.Response) -> str:
    """Return what an error's body says in words, shortened, without control characters."""
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    told = [str(body.get("message") or "")]
    for one in body["errors"][:5] if isinstance(body.get("errors"), list) else []:
        if isinstance(one, dict) and (text := one.get("message") or one.get("code")):
            told.append(str(text))
        elif isinstance(one, str):
            told.append(one)
    return _CONTROL.sub(" ", ": ".join(filter(None, told)))[:500]
