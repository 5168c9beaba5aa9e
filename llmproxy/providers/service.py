"""The facts about each type of provider: a row of data, whose types are listed by the modules of the providers.

Begin reading at `Service`; `base.py` says what is done with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from llmproxy.dialects.encode_context import Options

# What all services know beside sampling and tools. Several refuse any other member, as Groq does `prompt_cache_key`.
_COMMON_KNOBS = frozenset(("user", "service_tier"))
# OpenAI-compatible services use its older names. The chat templates of many models refuse later system messages.
COMPATIBLE_OPTIONS = Options(
    max_tokens_name="max_tokens", developer=False, system_turns=False, chat_knobs=_COMMON_KNOBS
)

CLIENTS_OWN = "none (the client's own)"
"""What is shown where a provider has no key."""


Values: TypeAlias = Callable[[str], str]


def takes_all(name: str, value_of: Values) -> bool:
    """Return True: no variable switches."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The facts about a provider type, independent of configuration.

    `origin` is its default address (None: `base_url` is required) and `root` the path of its API there. `roots` are
    the paths of single capabilities elsewhere, `beside` the first segments of paths outside the root. `key_env` and
    `base_url_env` are its usual environment variables. The key is sent in `key_header` after `key_scheme`; `headers`
    are added unless the client sent them. `root_always`: see `address.root_below`. `options` are facts for translated
    requests. `models_query` makes `GET {root}/models` list all models at once. `by_model` are regular expressions for
    the beginnings of models that speak something else, with what they speak, `embeds` those within names of models for
    embeddings, with the form in which they take texts. `variables` are environment variables for
    other settings of the configuration, by their keys. Beside the usual key, each of `usual` is a set of variables that
    together name such a provider. `credentials` are the settings that say which credentials it has in place of a key,
    the first ones first, and `without_key` what it uses without any of them. `query_credentials` are the fields of a
    query in which its clients send credentials. `switches` are settings that are `true` where a variable is set, by
    their keys, unless there is a key. `uses_variable` says whether it takes a variable, by its name and the
    values of all (empty where they are not set): SDKs have switches that give a key to another service. `hosts` are
    the ends of the hosts that all its services have. `other_names` are words that people write for the type.
    """

    origin: str | None
    root: str = "/v1"
    roots: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    root_always: bool = False
    beside: frozenset[str] = frozenset()
    speaks: frozenset[str]
    patterns: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    key_env: str | None = None
    base_url_env: str | None = None
    key_header: str = "Authorization"
    key_scheme: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()
    options: Options = COMPATIBLE_OPTIONS
    models_query: str = ""
    by_model: tuple[tuple[str, frozenset[str]], ...] = ()
    embeds: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    usual: tuple[tuple[str, ...], ...] = ()
    credentials: tuple[str, ...] = ()
    without_key: str = CLIENTS_OWN
    query_credentials: frozenset[str] = frozenset()
    switches: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    uses_variable: Callable[[str, Values], bool] = takes_all
    hosts: tuple[str, ...] = ()


GOOGLE_KEY = "GOOGLE_API_KEY"
VERTEX_SWITCHES = ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
"""The variables that make google-genai call Vertex instead of the Gemini API; the first one that is set counts."""


def switched_to_vertex(value_of: Values) -> bool:
    """Return whether the environment makes google-genai call Vertex, as google-genai 3.6 reads it (`_api_client`)."""
    switch = next((value for name in VERTEX_SWITCHES if (value := value_of(name))), "")
    return switch.lower() in ("true", "1")


GOOGLE_QUERY = frozenset({"key", "access_token", "oauth_token"})
"""Where clients of Google's APIs may send a credential (cloud.google.com/apis/docs/system-parameters)."""
