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
    return "\n".join([*lines, "", f"  Try: {_try(config, address)}", ""])


def _file(loaded: Loaded) -> str:
    reason = f" ({loaded.implicit})" if loaded.implicit else ""
    return f"{loaded.path or 'no file'}{reason}"


def _facts(config: Config, loaded: Loaded) -> Iterator[tuple[str, str]]:
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


def _provider(provider: ProviderConfig, loaded: Loaded) -> str:
    from llmproxy.providers.base import HttpProvider

    if not isinstance(provider, HttpProvider.Config):
        return provider.type
    url = urlsplit(provider.address())
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    return f"{provider.type} at {address}, key: {loaded.key_sources[provider.name]}"


def _try(config: Config, address: str) -> str:
    """Return a chat with the stub if it is configured, else a request for the list of models."""
    stub = next((each for each in config.providers if each.enabled and each.type == "stub"), None)
    if stub is None:
        return f"curl {address}/v1/models"
    model = "stub" if stub.models == ["*"] else f"{stub.name}/stub"
    dialect = catalog.default()
    assert dialect.codec is not None, "the default dialect can be translated"
    body = json.dumps(json.loads(example_request(dialect.codec, model, "Hello")))
    quoted = '"' + body.replace('"', '\\"') + '"' if os.name == "nt" else f"'{body}'"
    return f'curl {address}/v1{dialect.paths[0]} -H "content-type: application/json" -d {quoted}'
