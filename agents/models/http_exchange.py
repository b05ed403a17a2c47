"""One exchange with a model's service over HTTP: a body sent, a whole reply or an error back, within its time.

Owns the connection (`httpx`, imported when the first call is made), how long it may take, what is refused on the way
(another host's redirect, endless bodies), and the reading of streams. Leaves retrying to `openai_style`. Keeps: the key
goes to the host that it was set for and nowhere else, and stands in no error; a cut stream is no reply.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import msgspec

from .model import Reply
from .openai_wire import ServiceError, StreamedReply, reply_of, said_in

if TYPE_CHECKING:
    import httpx

#: How long a connection may take to come about; a reply may take as long as its call.
CONNECT_S = 10.0
#: Beyond this a body is no reply.
BODY_BYTES_MAX = 32 << 20
_ERROR_BYTES_MAX = 64 << 10
_REDIRECTS_MAX = 3
#: How soon a call ends whose task was withdrawn.
_LOOK_S = 0.1


class Broken(Exception):
    """The connection didn't come about, or broke."""


class Unreadable(Exception):
    """What came is no reply."""


class Refused(Exception):
    """The service answered with an error status; `headers` are the answer's, by small letters."""

    def __init__(self, status: int, said: str, headers: dict[str, str]) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.headers = headers


async def exchange(url: str, headers: dict[str, str], body: dict[str, Any]) -> Reply:
    """Send a body and return the reply, streamed or not as the service likes; raises Broken, Unreadable, Refused."""
    import httpx

    content = msgspec.json.encode(body)
    # Through a proxy that the environment names only where it can't read along: by plain HTTP it would see the key.
    secure = urlsplit(url).scheme == "https"
    timeout = httpx.Timeout(None, connect=CONNECT_S)
    try:
        async with httpx.AsyncClient(timeout=timeout, trust_env=secure, follow_redirects=False) as client:
            for _ in range(_REDIRECTS_MAX + 1):
                async with client.stream("POST", url, headers=headers, content=content) as response:
                    if response.is_redirect:
                        url = _redirected(url, response)
                        continue
                    return await _reply(response)
            raise Unreadable(f"more than {_REDIRECTS_MAX} redirects")
    except httpx.InvalidURL as error:
        raise Broken(f"the URL is wrong: {error}") from error
    except httpx.DecodingError as error:
        raise Unreadable(f"its encoding is broken: {error}") from error
    except httpx.HTTPError as error:
        raise Broken(_said(error)) from error


def _redirected(url: str, response: httpx.Response) -> str:
    """Return where a redirect leads, if that is the same service; else raise Refused."""
    target: str = urljoin(url, response.headers.get("location", ""))
    old, new = urlsplit(url), urlsplit(target)
    same = (old.scheme, old.hostname, old.port) == (new.scheme, new.hostname, new.port)
    if not same or response.status_code not in (307, 308):
        place = f"{new.scheme}://{new.hostname}{':' + str(new.port) if new.port else ''}"
        said = f"it redirects to {place}, where the request isn't sent: set TWELVEFOLD_MODEL_URL to where it is meant"
        raise Refused(response.status_code, said, {})
    return target


async def _reply(response: httpx.Response) -> Reply:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    response.stream = _bounded(response.stream)
    if response.status_code != 200:
        raise Refused(response.status_code, await _error_text(response), dict(response.headers))
    try:
        if kind == "text/event-stream":
            return await _streamed(response)
        raw = await response.aread()
        if raw.lstrip()[:5] == b"data:":
            return _streamed_unmarked(raw)
        try:
            body = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unreadable(f"not JSON ({error}): {_shown(raw)}") from None
        return reply_of(body)
    except ServiceError as error:
        raise Refused(error.status, error.said, dict(response.headers)) from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


async def _streamed(response: httpx.Response) -> Reply:
    import httpx
    from httpx_sse import EventSource, SSEError

    found = StreamedReply()
    try:
        async for event in EventSource(response).aiter_sse():
            if event.data:
                found.take(event.data)
            if found.ended:
                break
    except (SSEError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    except httpx.HTTPError:
        # A reply whose end was seen is whole, however the connection ends.
        if not found.whole:
            raise
    return found.reply()


def _streamed_unmarked(raw: bytes) -> Reply:
    """Read a stream that a service sent without saying so."""
    found = StreamedReply()
    for line in raw.decode("utf-8", "replace").splitlines():
        if line.startswith("data:") and not found.ended:
            found.take(line[5:])
    return found.reply()


def _bounded(stream: Any) -> Any:
    """Return a response's stream, which raises Unreadable once it is longer than any reply."""
    import httpx

    class Bounded(httpx.AsyncByteStream):
        """Counts what goes through it."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            total = 0
            async for chunk in stream:
                total += len(chunk)
                if total > BODY_BYTES_MAX:
                    raise Unreadable(f"more than {BODY_BYTES_MAX >> 20} MiB")
                yield chunk

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


async def _error_text(response: httpx.Response) -> str:
    """Return what an error's body says, of which only the beginning is read."""
    raw = b""
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) > _ERROR_BYTES_MAX:
            break
    try:
        return said_in(msgspec.json.decode(raw))
    except (msgspec.DecodeError, RecursionError):
        return _shown(raw)


def _shown(raw: bytes) -> str:
    text = " ".join(raw[:400].decode("utf-8", "replace").split())
    return "".join(sign if sign.isprintable() else "�" for sign in text)[:200] or "nothing"


def _said(error: BaseException) -> str:
    """Return what an error of the connection says, which some leave to their cause."""
    return str(error) or str(error.__cause__ or "") or type(error).__name__


async def until_withdrawn(withdrawn: threading.Event) -> None:
    """Return once the task is withdrawn on whose behalf a call is made."""
    while not withdrawn.is_set():
        await asyncio.sleep(_LOOK_S)
