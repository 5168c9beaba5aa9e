"""`keys`: make client keys, list them, find out whose a key is, and change to a new one without a break.

Nothing here talks to a server or changes a file: what is printed is for the configuration, or the file of
`auth.keys_file`, which a server reads again by itself. A key is printed once and kept nowhere.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import fail, print_problems, print_text

if TYPE_CHECKING:
    from llmproxy.config.auth import KeyConfig
    from llmproxy.config.load import Loaded

_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # with another meaning in YAML

keys_app = typer.Typer(no_args_is_help=True, help="Make and list the keys of clients.")

ConfigFile = Annotated[str | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.")]


@keys_app.command("new")
def new_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client.")],
    team: Annotated[str | None, typer.Option(metavar="NAME", help="The team of the client.")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="PATTERN", help="A model that it may use; may be repeated.")
    ] = None,
) -> None:
    """Print a new key once, and the line that lets it in."""
    from llmproxy.access.keys import NewKey

    key = NewKey.generate()
    entry: dict[str, object] = {"name": name, "id": key.id, "sha256": key.sha256}
    if team:
        entry["team"] = team
    if models:
        entry["models"] = models
    _check(entry)
    _print_new(key.text, entry)


@keys_app.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client.")],
    grace: Annotated[str, typer.Option(metavar="TIME", help="How long the old key works beside it.")] = "24h",
    config: ConfigFile = None,
) -> None:
    """Print a new key for a client; the old one works for a while."""
    from llmproxy.access.keys import NewKey
    from llmproxy.config.auth import write_time
    from llmproxy.settings import parse_duration

    old = [each for each in _keys(_loaded(config)) if each.name == name]
    current = [each for each in old if each.expires is None] or old
    if not current:
        fail(f"there is no key {name!r}; `llmproxy keys list` shows them, `llmproxy keys new` makes one")
    try:
        until_s = time.time() + parse_duration(grace)
    except ValueError as error:
        fail(f"--grace: {error}")
    key, last = NewKey.generate(), current[-1]
    shared = last.model_dump(mode="json", exclude_defaults=True, exclude={"key", "id", "sha256", "subject", "expires"})
    _print_new(key.text, {"name": name, "id": key.id, "sha256": key.sha256, **shared})
    until = write_time(until_s if last.expires is None else min(until_s, last.expires))
    print_text(f"\nAdd to the old entry of {name!r}, and remove that entry afterwards:\n\n  expires: {until}")


def _check(entry: dict[str, object]) -> None:
    """End with the mistakes when a configuration would refuse this entry."""
    from pydantic import ValidationError

    from llmproxy.config.auth import KeyConfig

    try:
        KeyConfig.model_validate(entry)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        message = problem["msg"].removeprefix("Value error, ")
        fail(f"{problem['loc'][0]}: {message[:1].lower()}{message[1:]}")


def _print_new(key: str, entry: dict[str, object]) -> None:
    print_text("The key, for its owner. It is shown only now:\n")
    print(f"  {key}")
    print_text("\nAdd to `auth.keys`, or to the file of `auth.keys_file`:\n")
    members = ", ".join(f"{name}: {_yaml(value)}" for name, value in entry.items())
    print_text(f"  - {{{members}}}")


def _yaml(value: object) -> str:
    """Return a value as YAML in one line, which JSON is; words need no quotes, but digests of digits do."""
    if isinstance(value, str) and value.isidentifier() and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


@keys_app.command("list")
def list_keys(
    config: ConfigFile = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the keys of a configuration and its keys file."""
    keys = _keys(_loaded(config))
    rows = [_row(each) for each in keys]
    if json_:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print_text("There are no keys; `llmproxy keys new NAME` makes one.")
        return
    titles = list(rows[0])
    widths = [max(len(title), *(len(row[title]) for row in rows)) for title in titles]
    for cells in (titles, *([row[title] for title in titles] for row in rows)):
        print_text("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _row(key: KeyConfig) -> dict[str, str]:
    from llmproxy.config.auth import write_time

    over = key.expires is not None and key.expires <= time.time()
    return {
        "name": key.name,
        "team": key.team or "-",
        "id": key.id or "-",
        "proof": "sha256" if key.sha256 else "key" if key.key else "certificate",
        "models": ", ".join(key.models) or "all",
        "providers": ", ".join(key.providers) or "all",
        "expires": f"{write_time(key.expires)}{' (expired)' if over else ''}" if key.expires is not None else "never",
    }


@keys_app.command("check")
def check_key(config: ConfigFile = None) -> None:
    """Show which client a key belongs to.

    It is read from standard input: a command line stays in the history of the shell.
    """
    from llmproxy.config.auth import write_time

    keys = _keys(_loaded(config))
    text = typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline(4096)
    found = next((each for each in keys if _fits(each, text.strip())), None)
    if found is None:
        fail("no client of this configuration has this key")
    if found.expires is not None and found.expires <= time.time():
        fail(f"it is the key of {found.name!r}, and has expired: {write_time(found.expires)}")
    until = "" if found.expires is None else f", until {write_time(found.expires)}"
    print_text(f"It is the key of {found.name!r}{until}.")


def _fits(key: KeyConfig, text: str) -> bool:
    from hmac import compare_digest

    from llmproxy.access.keys import digest_of

    digest = key.sha256 or ("" if key.key is None else digest_of(key.key.get_secret_value()).hex())
    return bool(text) and compare_digest(digest, digest_of(text).hex())


def _loaded(config: str | None) -> Loaded:
    """Return the configuration; print its problems and end when there are errors."""
    from llmproxy.config.load import load

    loaded = load(config)
    if loaded.config is None:
        print_problems(loaded.problems)
        raise typer.Exit(1)
    return loaded


def _keys(loaded: Loaded) -> list[KeyConfig]:
    return [*loaded.checked().auth.keys, *loaded.file_keys]
