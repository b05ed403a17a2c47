"""Tools: what an agent can do to the world, each with a name, typed parameters and a declared effect.

Owns the `Tool` base and the `@tool` decorator that makes one of a function or method. Recording a call as an effect is
`effects`' work: calling a tool directly runs it unrecorded, which is right in a unit test and nowhere else.
"""

from __future__ import annotations

import inspect
import threading
import typing
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Literal, overload

import msgspec

from .errors import InvalidParameters, InvalidResponse, InvalidTool
from .response import ToolResponse

#: How a call may be repeated when a task is delivered again: `read` changes nothing, `idempotent` may be repeated,
#: `once` must not be (a call whose result was never recorded goes to a human).
Effect = Literal["read", "idempotent", "once"]


class Tool(ABC):
    """Something an agent can do. Subclasses give `execute`; `effect` is `once` unless declared otherwise.

    `parameters` is a type that msgspec can check (a Struct, a dataclass, a TypedDict), or None for any object.
    `timeout_s` bounds each call through `TaskContext`, None does not (see `tool_calls`). Calls of tools that share a
    `turn` come one after the other, each with its record.
    """

    effect: Effect = "once"
    parameters: Any = None
    timeout_s: float | None = None
    turn: threading.Lock | None = None

    def __init__(
        self, name: str, description: str, *, effect: Effect | None = None, timeout_s: float | None = None
    ) -> None:
        self.name = name
        self.description = description
        if effect is not None:
            self.effect = effect
        if timeout_s is not None:
            self.timeout_s = timeout_s

    @abstractmethod
    def execute(self, parameters: dict[str, Any]) -> ToolResponse | Awaitable[ToolResponse]:
        """Do it with checked parameters; may be `async`. What it raises is recorded as the effect's failure."""

    def validate_parameters(self, parameters: dict[str, Any]) -> bool:
        """Tell whether parameters fit the declared type; a subclass may refuse more."""
        return self.problem_of(parameters) is None

    def problem_of(self, parameters: dict[str, Any]) -> str | None:
        """Say where parameters don't fit the declared type, or None."""
        try:
            msgspec.convert(parameters, dict[str, Any] if self.parameters is None else self.parameters)
        except msgspec.ValidationError as error:
            return str(error)
        return None

    def check(self, parameters: dict[str, Any]) -> None:
        """Raise InvalidParameters unless the parameters fit the type and the tool's own check."""
        problem = self.problem_of(parameters)
        if problem is None and not self.validate_parameters(parameters):
            problem = "refused by validate_parameters"
        if problem is not None:
            raise InvalidParameters(self.name, problem)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters."""
        if self.parameters is None:
            return {"type": "object"}
        (schema,), parts = msgspec.json.schema_components([self.parameters], ref_template="#/$defs/{name}")
        if "$ref" in schema:
            schema = parts.pop(schema["$ref"].rpartition("/")[2])
        return {**schema, "$defs": parts} if parts else schema


class FunctionTool(Tool):
    """A tool made of a function or method: typed parameters from its signature, description from its docstring.

    Called, it is the plain function. What the function returns becomes the response's data, unless it is a
    ToolResponse already.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        effect: Effect,
        owner: Any = None,
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(name, inspect.getdoc(function) or name, effect=effect, timeout_s=timeout_s)
        self.function = function
        self.owner = owner
        self._parameters: Any = None
        self.__doc__ = function.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> FunctionTool:
        if owner is None:
            return self
        return FunctionTool(self.function, self.name, self.effect, owner, self.timeout_s)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function, unrecorded."""
        return self.function(*args, **kwargs) if self.owner is None else self.function(self.owner, *args, **kwargs)

    @property
    def parameters(self) -> Any:
        """The Struct type made of the signature; raises InvalidTool where a parameter has no usable type."""
        if self._parameters is None:
            self._parameters = _parameters_of(self.function, self.name, bound=self.owner is not None)
        return self._parameters

    @parameters.setter
    def parameters(self, value: Any) -> None:
        """Set another type than the signature's."""
        self._parameters = value

    def execute(self, parameters: dict[str, Any]) -> ToolResponse | Awaitable[ToolResponse]:
        """Convert the parameters to their types and call the function."""
        try:
            typed = msgspec.convert(parameters, self.parameters)
        except msgspec.ValidationError as error:
            raise InvalidParameters(self.name, str(error)) from error
        result = self(**{field: getattr(typed, field) for field in typed.__struct_fields__})
        return _respond_later(result, self.name) if inspect.isawaitable(result) else _respond(result, self.name)


def _respond(result: Any, name: str) -> ToolResponse:
    if isinstance(result, ToolResponse):
        return result
    try:
        return ToolResponse(True, data=msgspec.to_builtins(result))
    except TypeError as error:
        raise InvalidResponse(f"tool {name}", f"returned what isn't JSON-like: {error}") from error


async def _respond_later(result: Awaitable[Any], name: str) -> ToolResponse:
    return _respond(await result, name)


@lru_cache(maxsize=256)
def _parameters_of(function: Callable[..., Any], name: str, *, bound: bool) -> type[msgspec.Struct]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise InvalidTool(name, f"annotation can't be resolved: {error}") from error
    fields: list[Any] = []
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if bound and position == 0:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InvalidTool(name, f"parameter {parameter.name} has no name to be given by")
        if parameter.name not in hints:
            raise InvalidTool(name, f"parameter {parameter.name} has no type")
        default = msgspec.NODEFAULT if parameter.default is parameter.empty else parameter.default
        fields.append((parameter.name, hints[parameter.name], msgspec.field(default=default)))
    try:
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        msgspec.json.schema(struct)
    except TypeError as error:
        raise InvalidTool(name, str(error)) from error
    return struct


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool:
    """Make a tool that must not be repeated, named as its function."""


@overload
def tool(
    *, name: str = "", effect: Effect = "once", timeout_s: float | None = None
) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Make a decorator that gives a tool this name, effect and timeout."""


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    effect: Effect = "once",
    timeout_s: float | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function, or of an agent's method, which the agent then has without registering it.

    Every parameter needs a type that msgspec can check; the docstring describes the tool to a model. `effect` says
    whether a call may be repeated (see `Effect`), `timeout_s` bounds it.
    """
    if function is not None:
        return FunctionTool(function, function.__name__, effect)
    return lambda actual: FunctionTool(actual, name or actual.__name__, effect, timeout_s=timeout_s)
