"""A model behind an OpenAI-style service: Ollama, llama.cpp, vLLM, mistral.rs, or a hosted one.

Owns what differs between services: each is asked for everything (a stream with usage, a schema, tools), and what one
refuses is left out from then on and said in words instead. Keeps: one call ends within its time, whatever the service
does; its errors are typed, and hold neither the key nor a password of the URL.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ..agent_settings import AgentSettings
from ..agent_settings import url as checked_url
from ..prompt import load_prompt
from ..tool_calls import finished
from ..tracing import trace_headers
from .call_place import PLACE, CallPlace
from .errors import ModelNotUsable, ModelRefused, ModelReplyUnreadable, ModelTimeout, ModelUnreachable
from .http_exchange import Broken, Refused, Unreadable, exchange, until_withdrawn
from .json_text import tool_calls_in
from .model import Message, Reply, ToolCall, ToolSpec, priced
from .openai_wire import message_body, response_format, tool_body
from .retrying import ATTEMPTS_MAX, WAIT_FIRST_S, retrying

#: What a service may be asked for and not know, with the words by which its refusal names it; tried in this order.
_EXTRAS = {
    "stream_options": ("stream_options", "include_usage"),
    "json_schema": ("response_format", "json_schema", "schema", "grammar", "guided", "json"),
    "json_object": ("response_format", "json_object", "schema", "json"),
    "tools": ("tool", "function"),
    "stream": ("stream",),
}
#: Statuses with which services refuse what they don't know.
_UNKNOWING = frozenset({400, 404, 415, 422, 500, 501})
#: How a service that fails says that it doesn't know something, and not that something went wrong in it.
_LACKING = re.compile(r"support|requires?\b|param|flag|unknown|unrecognized|not (?:allowed|enabled|implemented)")
#: A request that is too long is not shorter without them.
_TOO_LONG = re.compile(r"context|too long|too large|maximum|exceed")
#: What stands for the key where a service repeats it.
_MASK = "********"


class OpenAIStyleModel:
    """A model of the service at `url`, its base URL or the whole one of its chat completions.

    `timeout_s` is for one call with its retries; prices are US dollars per million tokens. `extra` goes into each
    request's body. Raises ModelNotUsable for a URL or key that can't be used.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        key: str = "",
        timeout_s: float = 300.0,
        price_in: float | None = None,
        price_out: float | None = None,
        extra: Mapping[str, Any] | None = None,
        prompts: Iterable[Path] = (),
        wait_first_s: float = WAIT_FIRST_S,
    ) -> None:
        self.name = name
        self.timeout_s = timeout_s
        try:
            self.urls = endpoints_of(checked_url(url))
        except ValueError as error:
            raise ModelNotUsable(name, "its URL is none", "set TWELVEFOLD_MODEL_URL to an http or https URL") from error
        self.price_in = price_in
        self.price_out = price_out
        self._key = key.strip()
        if not self._key.isascii() or not self._key.isprintable():
            raise ModelNotUsable(name, "its key has characters that no key has", "set the key's variable again")
        self._extra = dict(extra or {})
        self._prompts = tuple(prompts)
        self._wait_first_s = wait_first_s
        #: What the service has turned out not to know.
        self._without: set[str] = set()

    @property
    def shown_url(self) -> str:
        """Where requests go, without user, password and query."""
        parts = urlsplit(self.urls[0])
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Return the reply, within `timeout_s`.

        Raises ModelUnreachable, ModelRefused, ModelTimeout and ModelReplyUnreadable.
        """
        reply = finished(self._complete(messages, tools, schema, PLACE.get()))
        assert isinstance(reply, Reply)
        calls = reply.tool_calls
        if tools and not calls and "tools" in self._without:
            calls = tool_calls_in(reply.text, [tool.name for tool in tools])
        return msgspec.structs.replace(
            reply,
            text=self._scrubbed(reply.text),
            tool_calls=tuple(self._scrubbed_call(call) for call in calls),
            usage=priced(reply.usage, self.price_in, self.price_out),
            finish="tool_calls" if calls and reply.finish == "stop" else reply.finish,
            model=self._scrubbed(reply.model) or self.name,
        )

    async def _complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        schema: dict[str, Any] | None,
        place: CallPlace | None,
    ) -> Reply:
        work = asyncio.ensure_future(self._tried(messages, tools, schema))
        waiting = [work]
        if place is not None:
            waiting.append(asyncio.ensure_future(until_withdrawn(place.withdrawn)))  # type: ignore[arg-type]
        try:
            await asyncio.wait(waiting, timeout=self.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if place is not None and place.withdrawn.is_set():
                raise ModelUnreachable(self.name, self.shown_url, "nobody wants its reply any more")
            raise ModelTimeout(self.name, self.shown_url, self.timeout_s)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _tried(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], schema: dict[str, Any] | None
    ) -> Reply:
        """Call until there is a reply, or no use in calling again."""
        attempts = 0
        try:
            async for attempt in retrying(self.timeout_s, self._wait_first_s):
                with attempt:
                    attempts = attempt.retry_state.attempt_number
                    return await self._known(messages, tools, schema)
        except Refused as error:
            said = self._scrubbed(error.said)
            raise ModelRefused(self.name, self.shown_url, error.status, said, attempts) from None
        except Unreadable as error:
            problem = self._scrubbed(str(error))
            raise ModelReplyUnreadable(self.name, self.shown_url, problem, attempts) from None
        except Broken as error:
            problem = self._scrubbed(str(error))
            raise ModelUnreachable(self.name, self.shown_url, problem, attempts) from None
        raise AssertionError(f"no attempt of {ATTEMPTS_MAX} was made")

    async def _known(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], schema: dict[str, Any] | None
    ) -> Reply:
        """Exchange once with all that the service knows; what it refuses is left out, and it is asked again."""
        while True:
            body = self._body(messages, tools, schema)
            try:
                return await exchange(self.urls[0], self._headers(), body)
            except Refused as error:
                if error.status in (404, 405) and len(self.urls) > 1 and "model" not in error.said.lower():
                    self.urls = self.urls[1:]
                    continue
                refused = self._refused(error, body)
                if refused is None:
                    raise
                self._without.add(refused)

    def _refused(self, error: Refused, body: Mapping[str, Any]) -> str | None:
        """Return what in a body the service doesn't know, as its answer tells; None where that isn't the reason."""
        if error.status not in _UNKNOWING:
            return None
        present = [name for name in _EXTRAS if _has(body, name)]
        said = error.said.lower()
        if error.status >= 500 and not _LACKING.search(said):
            return None
        for name in present:
            if any(word in said for word in _EXTRAS[name]):
                return name
        # It may say no more than that the request is a bad one: then without what is known least. Not after a 404 or
        # 500, which have other reasons, nor without tools, which would be another request.
        unsaid = [name for name in present if name not in ("tools", "stream")]
        unnamed = error.status in (400, 415, 422) and not _TOO_LONG.search(said)
        return unsaid[0] if unsaid and unnamed else None

    def _body(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], schema: dict[str, Any] | None
    ) -> dict[str, Any]:
        words: list[str] = []
        body: dict[str, Any] = {"model": self.name, "stream": "stream" not in self._without}
        if body["stream"] and "stream_options" not in self._without:
            body["stream_options"] = {"include_usage": True}
        in_words = bool(tools) and "tools" in self._without
        if tools and not in_words:
            body["tools"] = [tool_body(tool) for tool in tools]
        if in_words:
            described = msgspec.json.format(msgspec.json.encode(tools), indent=1).decode()
            words.append(load_prompt("tools_in_words", self._prompts).render(tools=described))
        if schema is not None and "json_schema" not in self._without:
            body["response_format"] = response_format(schema)
        elif schema is not None:
            told = msgspec.json.encode(schema).decode()
            words.append(load_prompt("schema_in_words", self._prompts).render(schema=told))
            if "json_object" not in self._without:
                body["response_format"] = {"type": "json_object"}
        body["messages"] = [message_body(one) for one in _with_words(messages, words, in_words)]
        return {**body, **self._extra}

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers | trace_headers()

    def _scrubbed(self, text: str) -> str:
        """Return text that came from the service without the key and the URL's password."""
        for secret in (self._key, urlsplit(self.urls[0]).password or ""):
            if len(secret) >= 4:
                text = text.replace(secret, _MASK)
        return text.encode("utf-8", "replace").decode()

    def _scrubbed_call(self, call: ToolCall) -> ToolCall:
        whole = msgspec.json.encode(call).decode()
        scrubbed = self._scrubbed(whole)
        return call if scrubbed == whole else msgspec.json.decode(scrubbed, type=ToolCall)


def _has(body: Mapping[str, Any], name: str) -> bool:
    if name in ("json_schema", "json_object"):
        return bool(body.get("response_format", {}).get("type") == name)
    return bool(body.get(name))


def _with_words(messages: Sequence[Message], words: list[str], in_words: bool) -> list[Message]:
    """Return the messages with instructions for a service that knows no schemas or tools of its own."""
    told = [_plain(one) for one in messages] if in_words else list(messages)
    if not words:
        return told
    text = "\n\n".join(words)
    if told and told[0].role == "system":
        return [Message("system", f"{told[0].content}\n\n{text}"), *told[1:]]
    return [Message("system", text), *told]


def _plain(message: Message) -> Message:
    """Return a message in plain roles, its tool calls written out."""
    if message.role == "tool":
        return Message("user", f"Result of {message.tool_call_id}:\n{message.content}")
    if message.tool_calls:
        calls = [{"tool": call.name, "parameters": call.arguments} for call in message.tool_calls]
        return Message("assistant", "\n".join(filter(None, [message.content, msgspec.json.encode(calls).decode()])))
    return message


def endpoints_of(url: str) -> list[str]:
    """Return where chat completions may be found for a URL as people give it, most likely first."""
    parts = urlsplit(url.strip())
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        paths = [path]
    elif path:
        paths = [f"{path}/chat/completions"]
    else:
        paths = ["/v1/chat/completions", "/chat/completions"]
    return [urlunsplit((parts.scheme, parts.netloc, one, parts.query, "")) for one in paths]


def backend(settings: AgentSettings, rest: str) -> OpenAIStyleModel:
    """Make the model that the settings name; raises ModelNotUsable where URL or key are missing."""
    if not settings.model_url:
        raise ModelNotUsable(rest, "TWELVEFOLD_MODEL_URL isn't set", "set it to the service that runs the model")
    key = settings.environ.get(settings.model_key, "") if settings.model_key else ""
    if settings.model_key and not key.strip():
        problem = "the variable that TWELVEFOLD_MODEL_KEY names isn't set"
        raise ModelNotUsable(rest, problem, "export that variable, or put it into .env")
    return OpenAIStyleModel(
        settings.model_url,
        rest,
        key=key,
        timeout_s=settings.model_timeout_s,
        price_in=settings.price_in,
        price_out=settings.price_out,
        prompts=settings.prompts,
    )
