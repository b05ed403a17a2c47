"""Which model the settings name: made of the backend that they say, ours or another distribution's.

Owns how `TWELVEFOLD_MODEL` is read. A distribution offers a backend by an entry point of the group
`twelvefold.models`: its name, and a function `(settings, rest) -> Model`, rest being what stands behind `NAME:`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from ..agent_settings import AgentSettings
from .errors import ModelNotUsable
from .model import Model

GROUP = "twelvefold.models"
#: Makes a model of the settings and what stands behind the backend's name.
Backend = Callable[[AgentSettings, str], Model]
#: The module of each backend of our own, whose function `backend` makes a model.
_OWN = {"openai": "openai_style", "scripted": "scripted", "recorded": "recorded", "llm": "llm_package"}


#: Where set, it may give a model in place of one that can't be used, as a replay does, in which none is ever asked.
stand_in: list[Callable[[], Model | None]] = []


def model_from(settings: AgentSettings) -> Model | None:
    """Return the model that the settings name, None where they name none; raises ModelNotUsable."""
    try:
        named = _named_by(settings)
    except ModelNotUsable:
        if (given := _stand_in()) is not None:
            return given
        raise
    return _stand_in() if named is None else named


def _stand_in() -> Model | None:
    return next((model for give in stand_in if (model := give()) is not None), None)


def _named_by(settings: AgentSettings) -> Model | None:
    spec = settings.model.strip()
    if not spec:
        if settings.model_url:
            problem = "TWELVEFOLD_MODEL_URL is set, but not which model"
            raise ModelNotUsable("(none)", problem, "set TWELVEFOLD_MODEL to the name of a model of that service")
        return None
    name, colon, rest = spec.partition(":")
    # With a URL, `llama3:8b` is the name of a model there.
    backend = _backend(name) if colon or not settings.model_url else None
    if backend is not None:
        return backend(settings, rest)
    if settings.model_url:
        return _own("openai")(settings, spec)
    remedy = "set TWELVEFOLD_MODEL_URL to the service that runs it, such as http://localhost:11434/v1"
    raise ModelNotUsable(spec, "TWELVEFOLD_MODEL_URL isn't set, and no backend has this name", remedy)


def _backend(name: str) -> Backend | None:
    if name in _OWN:
        return _own(name)
    for point in entry_points(group=GROUP, name=name):
        try:
            loaded: Backend = point.load()
        except Exception as error:  # foreign code, which may fail in any way
            problem = f"the backend of {point.value} can't be loaded: {type(error).__name__}: {error}"
            raise ModelNotUsable(name, problem) from error
        return loaded
    return None


def _own(name: str) -> Backend:
    backend: Backend = import_module(f".{_OWN[name]}", __package__).backend
    return backend
