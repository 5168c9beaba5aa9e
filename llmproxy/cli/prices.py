"""`prices`: shows what a model costs, and replaces the table of prices. Neither asks anybody on the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import QuietExit, fail, print_problems, print_text
from llmproxy.system_errors import explain_fault

if TYPE_CHECKING:
    from llmproxy.pricing.price import Price
    from llmproxy.pricing.price_table import PriceTable

prices_app = typer.Typer(help="Show the prices of models, or replace their table.", no_args_is_help=True)


@prices_app.command("show")
def prices_show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The provider's name for a model.")],
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only of this provider: its type, or with --config its name there."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="Show the prices of the providers of a configuration."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a model costs, and where that price is from."""
    from llmproxy.cli.prices_view import price_json, price_lines

    found = _in_table(model, provider) if config is None else _in_config(model, provider, config)
    if not found:
        where = "" if provider is None else f" at {provider!r}"
        fail(f"no price of the model {model!r}{where} is known. Set one in the section `prices` of the configuration")
    with QuietExit():
        if as_json:
            from llmproxy.cli.trace.json_output import print_json

            print_json({"model": model, "prices": [price_json(name, price) for name, price in found.items()]})
        else:
            print_text("\n".join(line for name, price in found.items() for line in price_lines(name, price)))


@prices_app.command("update")
def prices_update(
    file: Annotated[
        str,
        typer.Option("--from", metavar="FILE", help="A table of llmproxy, or the data of genai-prices (data.json)."),
    ],
) -> None:
    """Replace the table of prices by that of a file.

    A running server reads it when it reloads or starts again. Delete the written file to undo this.
    """
    from pathlib import Path

    from llmproxy.pricing.price_table import PriceTable, user_table

    content = _table_in(file)
    try:
        table = PriceTable(content)
        count = table.check()
    except ValueError as error:
        fail(f"{file} is not a table of prices: {error}")
    try:
        path: Path = user_table()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        fail(f"the table cannot be written: {explain_fault(error)}")
    print_text(f"{path}: {count} models, from {table.source}, {table.date}")


def _table_in(file: str) -> bytes:
    """Return the table in a file, in our form."""
    from datetime import UTC, datetime
    from pathlib import Path

    import msgspec

    from llmproxy.pricing.genai_prices import convert, is_genai_prices

    try:
        content = Path(file).read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {explain_fault(error)}")
    try:
        value = msgspec.json.decode(content)
        if is_genai_prices(value):
            table = convert(value, f"genai-prices, {Path(file).name}", datetime.now(UTC).date())
            return msgspec.json.encode(table)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fail(f"{file} is not a table of prices: {error}")
    return content


def _in_table(model: str, provider: str | None) -> dict[str, Price]:
    """Return the prices of all lists that know the model, by name of the list."""
    from llmproxy.pricing.price_table import read_table

    table: PriceTable = read_table()
    if provider is None:
        names = table.names()
    else:
        known = table.list_for(provider, None)
        names = [] if known is None else [known]
    own = {name: price for name in names if (price := table.price(name, model)) is not None}
    # A list that sells the models of others has their price only when it is asked for.
    return {name: each for name, each in own.items() if provider is not None or each.source.startswith(f"{name},")}


def _in_config(model: str, provider: str | None, file: str) -> dict[str, Price]:
    from llmproxy.config.configured_prices import configured_prices
    from llmproxy.config.load import load
    from llmproxy.registry import RegistryError
    from llmproxy.routes import build_routing

    loaded = load(file)
    print_problems(loaded.problems)
    if loaded.config is None:
        raise typer.Exit(1)
    try:
        _, providers = build_routing(loaded)
    except RegistryError as error:
        fail(str(error))
    prices = configured_prices(loaded.config)
    chosen = [each for each in providers if provider in (None, each.name, each.type)]
    return {each.name: price for each in chosen if (price := prices.find(each, model)) is not None}
