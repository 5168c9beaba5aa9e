"""Describe what each client needs to call the proxy: environment variables, or lines of its configuration file.

Facts from the documentation of each client; `scripts/try-agents` runs some of them. Begin reading at `CLIENTS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

DUMMY_KEY = "not-needed"
KEY_VARIABLE = "LLMPROXY_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetup:
    """Hold what a client needs. `addresses` are variables by name, with the path that follows the address of the proxy.

    `keys` are variables with the key that lets the client in, `kept` variables that any value satisfies: both are left
    alone where they are set and no client key is needed. `inline` are variables whose value is made of address and key.
    `file` and `lines` are a configuration file and what to write there, in place of variables; `lines` gets the address
    and whether a key is needed. `conflicts` are variables that the client would use instead.
    """

    title: str
    addresses: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    inline: Mapping[str, Callable[[str, str], str]] = field(default_factory=lambda: MappingProxyType({}))
    file: str = ""
    lines: Callable[[str, bool], str] | None = None
    conflicts: tuple[str, ...] = ()


def _codex(url: str, key_needed: bool) -> str:
    """Return lines for `config.toml`: Codex reads no address from the environment."""
    lines = [
        'model_provider = "llmproxy"',
        "",
        "[model_providers.llmproxy]",
        'name = "llmproxy"',
        f"base_url = {json.dumps(f'{url}/v1')}",
        'wire_api = "responses"',
        *([f'env_key = "{KEY_VARIABLE}"'] if key_needed else []),
    ]
    return "\n".join(lines)


def _opencode(url: str, key: str) -> str:
    """Return the configuration that opencode reads before all files; its addresses end in the version of the API."""
    paths = {"anthropic": "/v1", "openai": "/v1", "google": "/v1beta"}
    providers = {name: {"options": {"baseURL": url + path, "apiKey": key}} for name, path in paths.items()}
    return json.dumps({"provider": providers})


CLIENTS: Mapping[str, ClientSetup] = {
    # code.claude.com/docs/en/llm-gateway: it adds /v1 itself. The token wins over a login without asking.
    "claude": ClientSetup(
        title="Claude Code",
        addresses={"ANTHROPIC_BASE_URL": ""},
        keys=("ANTHROPIC_AUTH_TOKEN",),
        conflicts=("ANTHROPIC_API_KEY",),
    ),
    "codex": ClientSetup(title="Codex", file="~/.codex/config.toml", lines=_codex),
    # opencode.ai/docs/config: inline configuration.
    "opencode": ClientSetup(title="opencode", inline={"OPENCODE_CONFIG_CONTENT": _opencode}),
    # aider.chat/docs/llms/openai-compat.html; the models of Anthropic go through LiteLLM, which adds /v1 itself.
    "aider": ClientSetup(
        title="aider",
        addresses={"OPENAI_API_BASE": "/v1", "ANTHROPIC_API_BASE": ""},
        keys=("OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    ),
    "openai": ClientSetup(title="OpenAI's SDKs", addresses={"OPENAI_BASE_URL": "/v1"}, keys=("OPENAI_API_KEY",)),
    "anthropic": ClientSetup(
        title="Anthropic's SDKs",
        addresses={"ANTHROPIC_BASE_URL": ""},
        keys=("ANTHROPIC_API_KEY",),
        conflicts=("ANTHROPIC_AUTH_TOKEN",),
    ),
    "gemini": ClientSetup(
        title="google-genai and Gemini CLI",
        addresses={"GOOGLE_GEMINI_BASE_URL": ""},
        keys=("GEMINI_API_KEY",),
        conflicts=("GOOGLE_API_KEY",),
    ),
    # docs.aws.amazon.com/sdkref: the address of one service. boto3 takes AWS_BEARER_TOKEN_BEDROCK for HTTPS only; the
    # proxy reads the key from the id of the access key, and no secret.
    "bedrock": ClientSetup(
        title="boto3 and AWS's other SDKs",
        addresses={"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": ""},
        keys=("AWS_ACCESS_KEY_ID",),
        kept={"AWS_SECRET_ACCESS_KEY": DUMMY_KEY, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"},
        conflicts=("AWS_BEARER_TOKEN_BEDROCK",),
    ),
}


def variables(client: ClientSetup, url: str, key: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a client, for the proxy at `url`; `key` is None where clients need none.

    Without a key those keep their value that are set: the proxy may pass the client's own credential on.
    """
    found = {name: url + path for name, path in client.addresses.items()}
    found |= {name: key or DUMMY_KEY for name in client.keys if key is not None or not environ.get(name)}
    found |= {name: value for name, value in client.kept.items() if not environ.get(name)}
    return found | {name: make(url, key or DUMMY_KEY) for name, make in client.inline.items()}
