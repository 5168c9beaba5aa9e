"""The text that `serve` prints when it listens: plain lines, no key, and one `curl` command that works at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmproxy import __version__
from llmproxy.dialects import catalog
from llmproxy.dialects.derived import example_request

_AGENTS = ("claude", "codex", "opencode", "aider")  # commands, as `llmproxy env` names them

if TYPE_CHECKING:
    from llmproxy.config.load import Loaded
    from llmproxy.config.schema import Config
    from llmproxy.providers.base import ProviderConfig


def banner(loaded: Loaded, address: str) -> str:
    """Return the text for a proxy that listens at `address`, such as http://127.0.0.1:3000."""
    config = loaded.checked()
    lines = [f"llmproxy {__version__} listens on {address}", ""]
    before = ""
    for name, fact in [("config", _file(loaded)), *_facts(config, loaded)]:
        lines.append(f"  {'' if name == before else name:<12} {fact}")
        before = name
    return "\n".join([*lines, "", f"  Try: {_try(config, address)}", *_next_steps(), ""])


def _next_steps() -> Iterator[str]:
    """Yield a line for each coding agent that is installed: how it comes to call this proxy."""
    from shutil import which

    from llmproxy.cli.client_setups import CLIENTS

    for name in _AGENTS:
        if which(name) is not None:
            setup = CLIENTS[name]
            if setup.file:
                command = f"llmproxy env {name}   (lines for {setup.file})"
            elif os.name == "nt":
                command = f"llmproxy env {name} | Out-String | Invoke-Expression; {name}"
            else:
                command = f'eval "$(llmproxy env {name})" && {name}'
            yield f"  {setup.title}: {command}"


def _file(loaded: Loaded) -> str:
    reason = f" ({loaded.implicit})" if loaded.implicit else ""
    return f"{loaded.path or 'no file'}{reason}"


def _facts(config: Config, loaded: Loaded) -> Iterator[tuple[str, str]]:
    yield "clients", clients(loaded) or "everybody who reaches this address, without a key"
    for provider in config.providers:
        if provider.enabled:
            yield "providers", f"{provider.name}: {_provider(provider, loaded)}"
    for model in config.models:
        targets = [f"{each.provider}/{each.model}" if each.model else each.provider for each in model.targets]
        yield "models", f"{model.name}: {', '.join(targets)}"
    if config.default_provider:
        yield "other models", config.default_provider
    if config.llm:
        yield "all else", _provider(config.llm, loaded)
    middlewares = [each.type for each in config.middlewares if each.enabled]
    yield "middlewares", ", ".join(middlewares) or "none"


def clients(loaded: Loaded) -> str:
    """Say who may use the proxy; "" where everybody may who reaches it."""
    config = loaded.checked()
    auth, tls = config.auth, config.server.tls
    ways: list[str] = []
    if auth.uses_keys:
        count = len(auth.keys) + len(loaded.file_keys)
        ways.append(f"{count} key{'' if count == 1 else 's'}" + (f" ({auth.keys_file})" if auth.keys_file else ""))
    if auth.uses_tokens and auth.jwt is not None:
        ways.append(f"tokens (JWT) of {auth.jwt.issuer or 'any issuer'}")
    if tls is not None and tls.client_ca is not None:
        ways.append("client certificates")
    return ", ".join(ways)


def _provider(provider: ProviderConfig, loaded: Loaded) -> str:
    from llmproxy.providers.base import HttpProvider

    if not isinstance(provider, HttpProvider.Config):
        return provider.type
    url = urlsplit(provider.address())
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    return f"{provider.type} at {address}, key: {loaded.key_sources[provider.name]}"


def _try(config: Config, address: str) -> str:
    """Return a chat with the stub if it is configured, else a request for the list of models."""
    if config.server.tls is not None:
        address = f"-k {address}"
    if config.auth.uses_keys or config.auth.uses_tokens:
        address = f'-H "authorization: Bearer $KEY" {address}'
    stub = next((each for each in config.providers if each.enabled and each.type == "stub"), None)
    if stub is None:
        return f"curl {address}/v1/models"
    model = "stub" if stub.models == ["*"] else f"{stub.name}/stub"
    dialect = catalog.default()
    assert dialect.codec is not None, "the default dialect can be translated"
    body = json.dumps(json.loads(example_request(dialect.codec, model, "Hello")))
    quoted = '"' + body.replace('"', '\\"') + '"' if os.name == "nt" else f"'{body}'"
    return f'curl {address}/v1{dialect.paths[0]} -H "content-type: application/json" -d {quoted}'
