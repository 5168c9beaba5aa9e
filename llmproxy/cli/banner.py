"""The text that `serve` prints when it listens: plain lines, no key, and one `curl` command that works at once."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmproxy import __version__
from llmproxy.dialects import catalog
from llmproxy.dialects.derived import example_request

_AGENTS = ("claude", "codex", "opencode", "aider")  # commands, as `llmproxy env` names them

_NAME = "llmproxy"
_EVERY_INTERFACE = ("0.0.0.0", "::")
_LEAST_FACT = 30  # columns

if TYPE_CHECKING:
    from llmproxy.config.load import Loaded
    from llmproxy.config.schema import Config
    from llmproxy.providers.base import ProviderConfig


def banner(loaded: Loaded, address: str, width: int | None = None) -> str:
    """Return the text for a proxy that listens at `address`, such as http://127.0.0.1:3000; for a terminal of `width`
    columns, if it is one."""
    config = loaded.checked()
    lines = [f"llmproxy {__version__} listens on {address}", ""]
    before = ""
    for name, fact in [("config", _file(loaded)), *_facts(config, loaded)]:
        lines += _fact_lines(f"  {'' if name == before else name:<12} ", fact, width)
        before = name
    return "\n".join([*lines, "", f"  Try: {_try(config, address)}", *_next_steps(), ""])


def _fact_lines(head: str, fact: str, width: int | None) -> list[str]:
    """Return a fact behind its name, wrapped by words below that. A name that is longer than a line is not cut."""
    room = max((width or 0) - len(head), _LEAST_FACT)
    texts = [fact] if width is None else textwrap.wrap(fact, room, break_long_words=False, break_on_hyphens=False)
    return [f"{' ' * len(head) if number else head}{text}" for number, text in enumerate(texts)]


def _next_steps() -> Iterator[str]:
    """Yield a line for each coding agent that is installed: how it comes to call this proxy."""
    from shutil import which

    from llmproxy.cli.client_setups import CLIENTS

    program = _program()
    for name in _AGENTS:
        if which(name) is not None:
            setup = CLIENTS[name]
            if setup.file:
                command = f"{program} env {name}   (lines for {setup.file})"
            elif os.name == "nt":
                command = f"{program} env {name} | Out-String | Invoke-Expression; {name}"
            else:
                command = f'eval "$({program} env {name})" && {name}'
            yield f"  {setup.title}: {command}"


def _program() -> str:
    """Return how to call this program in another terminal: by its name where that is found, else by its path."""
    import shlex
    import sys
    from shutil import which

    path = os.path.abspath(sys.argv[0])
    # With `python -m llmproxy` there is no program to name.
    is_program = os.path.basename(path).startswith(_NAME) and os.access(path, os.X_OK)
    if which(_NAME) is not None or not is_program:
        return _NAME
    return f'& "{path}"' if os.name == "nt" else shlex.quote(path)


def _file(loaded: Loaded) -> str:
    reason = f" ({loaded.implicit})" if loaded.implicit else ""
    return f"{loaded.path or 'no file'}{reason}"


def _facts(config: Config, loaded: Loaded) -> Iterator[tuple[str, str]]:
    if config.server.host in _EVERY_INTERFACE:
        yield "host", f"{config.server.host}: every interface of this machine"
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
    if middlewares:
        yield "middlewares", ", ".join(middlewares)


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
    """Return a call of the stub if it is configured, the shortest that it answers, else one for the list of models."""
    options = ["-k"] if config.server.tls is not None else []
    if config.auth.uses_keys or config.auth.uses_tokens:
        options.append('-H "authorization: Bearer $KEY"')
    stub = next((each for each in config.providers if each.enabled and each.type == "stub"), None)
    if stub is None:
        return " ".join(["curl", f"{address}/v1/models", *options])
    model = "stub" if stub.models == ["*"] else f"{stub.name}/stub"
    path, body = min(_calls(model), key=lambda call: len("".join(call)))
    quoted = '"' + body.replace('"', '\\"') + '"' if os.name == "nt" else f"'{body}'"
    return " ".join(["curl", f"{address}{path}", *options, "-d", quoted])


def _calls(model: str) -> Iterator[tuple[str, str]]:
    """Yield path and body of a call that says hello, in each dialect that names the model in its body."""
    for dialect in catalog.DIALECTS:
        if dialect.codec is not None and "{model}" not in dialect.paths[0]:
            body = json.loads(example_request(dialect.codec, model, "Hi"))
            yield dialect.paths[0], json.dumps(body, separators=(",", ":"))
