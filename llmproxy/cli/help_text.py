"""Describe what `--help` shows beside options: examples and environment variables of each command, and panels on a
terminal.

Only asking for help reads this. Begin reading at `complete_help`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from typer.core import TyperArgument, TyperGroup, TyperOption

from llmproxy.cli.output import STANDARD_OUTPUT

if TYPE_CHECKING:
    from typer.core import TyperCommand

_KEYS = {"OPENAI_API_KEY ...": "keys of providers, see `llmproxy docs providers`"}
_CONFIG = {"LLMPROXY_CONFIG": "the configuration file, unless one is named"}
_ADMIN = {"LLMPROXY_ADMIN_KEY": "the server.admin_key of a server on another machine"}
_COLOURS = {"NO_COLOR": "any value: no colours"}


class _Help(NamedTuple):
    examples: tuple[str, ...]
    environment: Mapping[str, str] = {}


HELP: Mapping[str, _Help] = {
    "": _Help(
        ("llmproxy", "llmproxy serve llmproxy.yaml", "llmproxy help serve", "llmproxy docs"),
        _CONFIG | _KEYS,
    ),
    "serve": _Help(
        (
            "llmproxy serve llmproxy.yaml",
            "llmproxy serve --print --trace",
            "llmproxy --base-url http://127.0.0.1:11434",
        ),
        _CONFIG | _KEYS | {"LOG_LEVEL": "as --log-level"} | _COLOURS,
    ),
    "generate-config": _Help(("llmproxy generate-config llmproxy.yaml", "llmproxy generate-config --preset full")),
    "validate-config": _Help(
        ("llmproxy validate-config", "llmproxy validate-config --no-env --format github configs/*.yaml"), _CONFIG
    ),
    "schema": _Help(("llmproxy schema llmproxy.schema.json",)),
    "doctor": _Help(("llmproxy doctor", "llmproxy doctor --config llmproxy.yaml"), _CONFIG | _KEYS),
    "check-live": _Help(("llmproxy check-live", "llmproxy check-live --url http://127.0.0.1:3000 --quick"), _ADMIN),
    "explain": _Help(("llmproxy explain gpt-4o", "llmproxy explain fast --config llmproxy.yaml"), _CONFIG | _ADMIN),
    "translate": _Help(("llmproxy translate request.json --from chat --to messages",)),
    "lint": _Help(("llmproxy lint request.json --dialect chat --model gpt-5",)),
    "import": _Help(("llmproxy import litellm.yaml --output llmproxy.yaml",)),
    "env": _Help(('eval "$(llmproxy env claude)"', "llmproxy env codex", "llmproxy env openai --shell fish"), _CONFIG),
    "docs": _Help(("llmproxy docs", "llmproxy docs routing")),
    "stats": _Help(("llmproxy stats", "llmproxy stats --by client --once"), _ADMIN | _COLOURS),
    "reload": _Help(("llmproxy reload", "llmproxy reload --config llmproxy.yaml"), _ADMIN),
    "sessions": _Help(("llmproxy sessions -n 5", "llmproxy sessions s_3f2a"), _ADMIN | _COLOURS),
    "cache": _Help(("llmproxy cache stats", "llmproxy cache clear --model gpt-4o"), _ADMIN),
    "cache stats": _Help(("llmproxy cache stats", "llmproxy cache stats --json"), _ADMIN),
    "cache clear": _Help(("llmproxy cache clear --model gpt-4o",), _ADMIN),
    "keys": _Help(("llmproxy keys new anna", "llmproxy keys list"), _CONFIG),
    "keys new": _Help(("llmproxy keys new anna --team search --model 'gpt-*'",)),
    "keys rotate": _Help(("llmproxy keys rotate anna --grace 24h",), _CONFIG),
    "keys list": _Help(("llmproxy keys list --json",), _CONFIG),
    "keys check": _Help(("llmproxy keys check < key.txt",), _CONFIG),
    "prices": _Help(("llmproxy prices show gpt-4o", "llmproxy prices update --from data.json")),
    "prices show": _Help(("llmproxy prices show gpt-4o --provider azure",)),
    "prices update": _Help(("llmproxy prices update --from data.json",)),
    "trace": _Help(("llmproxy trace tail", "llmproxy trace show"), _CONFIG | _COLOURS),
    "trace tail": _Help(("llmproxy trace tail", "llmproxy trace tail --filter failed=true"), _CONFIG | _COLOURS),
    "trace ls": _Help(("llmproxy trace ls --since 1h --sort cost", "llmproxy trace ls --filter status=4xx"), _CONFIG),
    "trace show": _Help(
        ("llmproxy trace show", "llmproxy trace show 3f2a", "llmproxy trace show --session s_3f2a"), _CONFIG | _COLOURS
    ),
    "trace export": _Help(
        ("llmproxy trace export --since 1h | jq .usage", "llmproxy trace export --format json"), _CONFIG
    ),
    "trace stats": _Help(("llmproxy trace stats --filter model=gpt-*",), _CONFIG),
    "help": _Help(("llmproxy help serve", "llmproxy help trace show")),
}
"""By the words of a command; "" is the program itself."""

_COMPLETION_HELP = {
    "install_completion": "Install completion for this shell: bash, zsh, fish or PowerShell.",
    "show_completion": "Print the script of that completion.",
}
_PANELS = {
    "Configuration": ("generate-config", "validate-config", "schema", "import", "keys", "prices"),
    "Watch a running server": ("stats", "sessions", "trace", "cache", "reload"),
    "Find out": ("doctor", "check-live", "explain", "translate", "lint", "docs", "help"),
}
_PANEL_OF = {command: panel for panel, commands in _PANELS.items() for command in commands}
_SERVE_PANELS = {"base_url": "One upstream", "type": "One upstream", "api_key": "One upstream"} | dict.fromkeys(
    ("trace", "print_", "log_level"), "Watching"
)


def on_terminal() -> bool:
    """Return whether help can be drawn, which rich does: panels take 60 ms more than plain text."""
    import os

    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def complete_help(command: TyperCommand | TyperGroup, *, drawn: bool, words: tuple[str, ...] = ()) -> None:
    """Add examples and variables to a command and those below it. `drawn` help has panels, and no brackets that rich
    takes for markup.
    """
    found = HELP.get(" ".join(words))
    for param in command.params:
        _shorten_parameter(param)
    if found is not None:
        command.epilog = "\n\n".join(_sections(found))
    if drawn:
        _prepare_panels(command, words)
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            complete_help(each, drawn=drawn, words=(*words, name))  # type: ignore[arg-type] # typer makes no others


def _shorten_parameter(param: Any) -> None:
    """Leave out types, ranges and `-` for standard output, which metavar and help say in words; list choices there."""
    param.min = param.max = None
    if param.default == STANDARD_OUTPUT:
        param.show_default = False
    if isinstance(param, TyperArgument):
        vars(param)["display_type_rich"] = lambda ctx: ""
    choices = param.type_descriptor.choices
    if choices and not param.metavar:
        param.metavar = param.name.upper()
        names = [str(getattr(each, "value", each)) for each in choices]
        param.help = f"{param.help} One of {', '.join(names)}."
    if param.name in _COMPLETION_HELP:
        param.help = _COMPLETION_HELP[param.name]


def _sections(found: _Help) -> Iterator[str]:
    """Yield paragraphs whose lines stay as they are, which the first character says to typer."""
    yield "\b\nExamples:\n" + "\n".join(f"  {each}" for each in found.examples)
    if found.environment:
        width = max(map(len, found.environment))
        lines = [f"  {name:{width}}  {meaning}" for name, meaning in found.environment.items()]
        yield "\b\nEnvironment:\n" + "\n".join(lines)


def _prepare_panels(command: TyperCommand | TyperGroup, words: tuple[str, ...]) -> None:
    from rich.markup import escape
    from typer import rich_utils

    rich_utils.STYLE_TYPES = rich_utils.STYLE_USAGE = "magenta"  # yellow and cyan cannot be read on white
    rich_utils.STYLE_TYPES_SEPARATOR = ""  # dim magenta on neither
    rich_utils.STYLE_OPTION = rich_utils.STYLE_SWITCH = rich_utils.STYLE_COMMANDS_TABLE_FIRST_COLUMN = "bold"
    command.help, command.epilog = escape(command.help or ""), escape(command.epilog or "").replace("\b\n", "")
    if len(words) == 1:
        command.rich_help_panel = _PANEL_OF.get(words[0])
    for param in command.params:
        if isinstance(param, TyperOption):
            param.help = escape(param.help or "")
            if words == ("serve",):
                param.rich_help_panel = _SERVE_PANELS.get(param.name)
