"""Any model that the `llm` package knows, by its plugins: `TWELVEFOLD_MODEL=llm:NAME`, with the extra `[models]`.

Owns the translation. Aliases are those of `llm` itself; so are keys, unless TWELVEFOLD_MODEL_KEY names a variable.
Keeps: whatever a plugin raises is one of our errors, without the key; usage is what the plugin says, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..agent_settings import AgentSettings
from ..prompt import load_prompt
from .errors import ModelNotUsable, ModelRefused, ModelReplyUnreadable
from .json_text import arguments_of, tool_calls_in
from .model import Message, Reply, ToolCall, ToolSpec, Usage, priced

_WHERE = "the llm package"


class LlmPackageModel:
    """A model object of the `llm` package."""

    def __init__(self, model: Any, settings: AgentSettings | None = None) -> None:
        self.model = model
        self.name = f"llm:{model.model_id}"
        self._settings = settings or AgentSettings()
        self._key = self._settings.environ.get(self._settings.model_key, "") if self._settings.model_key else ""

    def complete(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec] = (), schema: dict[str, Any] | None = None
    ) -> Reply:
        """Return the reply; raises ModelRefused where the plugin failed, ModelReplyUnreadable for what isn't text."""
        import llm

        words: list[str] = []
        options: dict[str, Any] = {}
        takes_tools = bool(getattr(self.model, "supports_tools", False))
        if tools and takes_tools:
            options["tools"] = [llm.Tool(tool.name, tool.description, tool.parameters) for tool in tools]
        elif tools:
            described = msgspec.json.format(msgspec.json.encode(tools), indent=1).decode()
            words.append(load_prompt("tools_in_words", self._settings.prompts).render(tools=described))
        if schema is not None and getattr(self.model, "supports_schema", False):
            options["schema"] = schema
        elif schema is not None:
            told = msgspec.json.encode(schema).decode()
            words.append(load_prompt("schema_in_words", self._settings.prompts).render(schema=told))
        if self._key and getattr(self.model, "needs_key", None):
            options["key"] = self._key
        try:
            response = self.model.prompt(messages=_theirs(messages, words, takes_tools), stream=False, **options)
            text = response.text()
            calls = tuple(response.tool_calls()) if options.get("tools") else ()
            used = response.usage()
        except Exception as error:  # noqa: BLE001  a plugin may raise anything, and its text may hold the key
            said = f"{type(error).__name__}: {error}"
            raise ModelRefused(
                self.name, _WHERE, 500, said.replace(self._key, "********") if self._key else said
            ) from None
        if not isinstance(text, str):
            raise ModelReplyUnreadable(self.name, _WHERE, f"its text is {type(text).__name__}")
        ours = tuple(_call(call, number) for number, call in enumerate(calls))
        if tools and not ours and not takes_tools:
            ours = tool_calls_in(text, [tool.name for tool in tools])
        usage = self._usage(used)
        return Reply(text, ours, usage, "tool_calls" if ours else "stop", str(self.model.model_id))

    def _usage(self, used: Any) -> Usage:
        tokens_in, tokens_out = getattr(used, "input", None), getattr(used, "output", None)
        return priced(Usage(tokens_in, tokens_out), self._settings.price_in, self._settings.price_out)


def _theirs(messages: Sequence[Message], words: list[str], takes_tools: bool) -> list[Any]:
    """Return messages as the package has them; without tools of its own, calls and results are written out."""
    import llm
    from llm.parts import ToolCallPart, ToolResultPart

    names = {call.id: call.name for message in messages for call in message.tool_calls}
    made = []
    for message in messages:
        if message.role == "system":
            made.append(llm.system("\n\n".join([message.content, *words])))
            words = []
        elif message.role == "tool" and takes_tools:
            name = names.get(message.tool_call_id, "")
            part = ToolResultPart(name=name, output=message.content, tool_call_id=message.tool_call_id)
            made.append(llm.tool_message(part))
        elif message.role == "tool":
            made.append(llm.user(f"Result of {names.get(message.tool_call_id, 'the call')}:\n{message.content}"))
        elif message.tool_calls and takes_tools:
            parts = [
                ToolCallPart(name=one.name, arguments=one.arguments, tool_call_id=one.id) for one in message.tool_calls
            ]
            made.append(llm.assistant(*([message.content] if message.content else []), *parts))
        elif message.tool_calls:
            calls = [{"tool": one.name, "parameters": one.arguments} for one in message.tool_calls]
            made.append(llm.assistant("\n".join([message.content, msgspec.json.encode(calls).decode()]).strip()))
        else:
            made.append((llm.assistant if message.role == "assistant" else llm.user)(message.content))
    return [llm.system("\n\n".join(words)), *made] if words else made


def _call(call: Any, number: int) -> ToolCall:
    arguments, problem = arguments_of(call.arguments)
    return ToolCall(call.tool_call_id or f"call_{number}", call.name, arguments, problem)


def backend(settings: AgentSettings, rest: str) -> LlmPackageModel:
    """Make the model that `llm` knows by a name or alias; raises ModelNotUsable."""
    try:
        import llm
    except ImportError as error:
        problem = f"the llm package can't be imported: {error}"
        raise ModelNotUsable(f"llm:{rest}", problem, "pip install 'twelvefold[models]'") from error
    try:
        return LlmPackageModel(llm.get_model(rest or None), settings)
    except llm.UnknownModelError as error:
        raise ModelNotUsable(f"llm:{rest}", str(error), "see which there are: llm models") from error
    except Exception as error:  # all plugins are imported then, and any may fail in any way
        problem = f"the llm package can't load its plugins: {type(error).__name__}: {error}"
        raise ModelNotUsable(f"llm:{rest}", problem, "mend or remove that plugin: llm plugins") from error
