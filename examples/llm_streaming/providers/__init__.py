"""Those who answer prompts: Anthropic and OpenAI where their key is in the environment, and always the demo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .anthropic import Anthropic
from .demo import Demo
from .openai import OpenAI
from .provider import Provider, ProviderError

__all__ = ["Provider", "ProviderError", "missing_keys", "ready_providers"]

_HOSTED = (Anthropic, OpenAI)


def ready_providers(environment: Mapping[str, str], reactor: Any, http: Any) -> list[Provider]:
    """Who can answer now; the first one is the choice of those who do not choose. ``http`` is a treq client."""
    hosted = [kind(environment, reactor, http) for kind in _HOSTED if environment.get(kind.key_variable)]
    return [*hosted, Demo(reactor)]


def missing_keys(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who could answer if there were a key: the provider's label and the variable in which to set it."""
    return [(kind.label, kind.key_variable) for kind in _HOSTED if not environment.get(kind.key_variable)]
