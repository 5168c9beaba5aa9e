"""`env`: the variables or configuration lines that make a client call the proxy.

Standard output holds nothing but what a shell may evaluate; remarks go to standard error. Begin reading at `env`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import ConfigOfServer, Url, checked_key, fail, print_error, print_text

if TYPE_CHECKING:
    from llmproxy.cli.client_setups import ClientSetup

_PLACEHOLDER = "YOUR_CLIENT_KEY"


class ClientName(StrEnum):
    """Clients that `env` knows."""

    claude = "claude"
    codex = "codex"
    opencode = "opencode"
    aider = "aider"
    openai = "openai"
    anthropic = "anthropic"
    gemini = "gemini"
    bedrock = "bedrock"


class Shell(StrEnum):
    """Shells whose syntax `env` writes."""

    posix = "posix"
    fish = "fish"
    powershell = "powershell"
    cmd = "cmd"


def env(
    client: Annotated[
        ClientName,
        typer.Argument(metavar="CLIENT", help="claude, codex, opencode, aider, openai, anthropic, gemini or bedrock."),
    ],
    shell: Annotated[
        Shell | None, typer.Option(help="Syntax of the output; default: powershell on Windows, else posix.")
    ] = None,
    url: Url = None,
    config: ConfigOfServer = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", callback=checked_key, help="The client key, if the server needs one; see `llmproxy keys`."
        ),
    ] = None,
) -> None:
    """Print the settings with which a client calls the proxy."""
    from llmproxy.cli.client_setups import CLIENTS, KEY_VARIABLE, variables

    setup = CLIENTS[client.value]
    if setup.lines is not None and shell is not None:
        fail(f"{setup.title} reads its address from {setup.file}; --shell has no effect there", code=2)
    address, key_needed = _server(url, config)
    if key_needed and key is None:
        key = _PLACEHOLDER
        where = f"set {KEY_VARIABLE} to it" if setup.lines else f"pass it with --key, or replace {_PLACEHOLDER}"
        print_error(f"llmproxy: {address} needs a client key: {where} (`llmproxy keys new NAME` makes one)")
    if setup.lines is not None:
        print_text(f"# {setup.file}, above its first section\n{setup.lines(address, key is not None)}")
        return
    syntax = shell or (Shell.powershell if os.name == "nt" else Shell.posix)
    for name, value in variables(setup, address, key, os.environ).items():
        print_text(assignment(syntax, name, value))
    _warn_of_conflicts(setup)


def _warn_of_conflicts(setup: ClientSetup) -> None:
    for name in setup.conflicts:
        if os.environ.get(name):
            print_error(f"llmproxy: {name} is set too, and {setup.title} may use it instead; unset it")


def assignment(shell: Shell, name: str, value: str) -> str:
    """Return the line that sets an environment variable in the syntax of `shell`."""
    match shell:
        case Shell.posix:
            return f"export {name}='" + value.replace("'", "'\\''") + "'"
        case Shell.fish:
            return f"set -gx {name} '" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Shell.powershell:
            return f"$env:{name} = '" + value.replace("'", "''") + "'"
        case Shell.cmd:
            return f'set "{name}={value}"'


def _server(url: str | None, config: str | None) -> tuple[str, bool]:
    """Return the address of the server, and whether its clients need a key: of the running one, else of the one that
    the configuration describes."""
    from llmproxy.cli.client import PageError, find_server, wants_client_key

    try:
        address = find_server(url, config)
    except PageError as error:
        if url is not None:
            fail(str(error))
        return _configured(config)
    return address, wants_client_key(address)


def _configured(config: str | None) -> tuple[str, bool]:
    """Return the address at which `serve` would listen, and whether clients would need a key there."""
    from llmproxy.cli.output import print_problems
    from llmproxy.config.cross_checks import requires_keys
    from llmproxy.config.load import load
    from llmproxy.server.registration import announced_host

    loaded = load(config)
    if loaded.config is None:
        loaded = load(config, no_env=True)  # the shell of a client has not the variables of the server
    if loaded.config is None:
        print_problems(loaded.problems)
        raise typer.Exit(1)
    server = loaded.config.server
    host = announced_host(server.host, server.host.strip("[]"))
    address = f"{'https' if server.tls else 'http'}://{host}:{server.port}"
    origin = loaded.path or "`llmproxy serve`"
    print_error(f"llmproxy: no server of yours is running; this is the address of {origin}: {address}")
    return address, loaded.tree is not None and requires_keys(loaded.tree)
