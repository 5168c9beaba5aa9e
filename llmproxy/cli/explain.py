"""`explain` and `translate`: show where a request would be sent, and its translation. Both send nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import fail, print_error, print_problems, print_text
from llmproxy.cli.request_file import call_in, decode_as_served, exchange_with, read_file, translator

if TYPE_CHECKING:
    from llmproxy.exchange import Exchange
    from llmproxy.routing.router import Router
    from llmproxy.target import Target


def check_dialect(name: str | None) -> str | None:
    """Refuse a dialect that cannot be translated."""
    from llmproxy.dialects.catalog import codecs

    if name is not None and name not in codecs():
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, codecs()))}.")
    return name


_File = Annotated[str, typer.Argument(metavar="FILE", help="A request body (JSON); - reads standard input.")]


def translate(
    file: _File,
    source: Annotated[
        str, typer.Option("--from", metavar="DIALECT", callback=check_dialect, help="The dialect of FILE.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="DIALECT", callback=check_dialect, help="The dialect to translate into.")
    ],
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The provider's name for the model.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail instead of dropping fields.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object with `request` and `dropped`.")] = False,
) -> None:
    """Show a request translated into another dialect, and which fields are dropped."""
    import msgspec

    from llmproxy.cli.trace.json_output import escape_json
    from llmproxy.dialects.catalog import codecs
    from llmproxy.dialects.encode_context import Options
    from llmproxy.errors import ProxyError
    from llmproxy.translation.translation import Translation

    raw = read_file(file)
    try:
        client = codecs()[source]
        request = decode_as_served(source, raw)
        options = Options(prompt_cache="auto")
        translation = Translation(request, client, codecs()[target], options=options, strict=strict)
        body = msgspec.json.decode(translation.request(request.model if model is None else model))
    except ProxyError as error:
        fail(f"{file}: {error.message}")
    output: object = {"request": body, "dropped": translation.losses.dropped} if as_json else body
    print(escape_json(msgspec.json.format(msgspec.json.encode(output), indent=2).decode(), sys.stdout.encoding))
    if not as_json:
        for path in translation.losses.dropped:
            print_error(f"dropped: {path}")


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model name as a client would send it.")],
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration; default as for serve.")
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="A request body, to see which fields would be dropped; - reads standard input."
        ),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="DIALECT", callback=check_dialect, help="Only for clients of this dialect: the dialect of FILE."
        ),
    ] = None,
) -> None:
    """Show who answers a model: route, targets in order, URLs, relayed or translated. Sends nothing."""
    from llmproxy.config.load import load
    from llmproxy.dialects.catalog import codecs
    from llmproxy.errors import ProxyError
    from llmproxy.registry import RegistryError
    from llmproxy.routes import build_routing

    loaded = load(config)
    print_problems(loaded.problems)
    if loaded.config is None:
        raise typer.Exit(1)
    if request is not None and dialect is None:
        fail("--request needs --dialect: the dialect of the file", code=2)
    try:
        router, _ = build_routing(loaded)
        for each in [dialect] if dialect else codecs():
            _explain(router, model, each, request, loaded.config.translation.strict)
    except (ProxyError, RegistryError) as error:
        fail(str(error))


def _explain(router: Router, model: str, dialect: str, file: str | None, strict: bool) -> None:
    from llmproxy.dialects.derived import example_request
    from llmproxy.errors import ProxyError

    endpoint = call_in(dialect)
    codec = endpoint.dialect.codec
    assert codec is not None, "only dialects that can be translated are explained"
    exchange = exchange_with(
        endpoint, read_file(file) if file is not None else example_request(codec, model, "Hi"), model
    )
    print_text(f"{dialect}: POST {exchange.path}")
    try:
        route = router.choose(router.locate("POST", exchange.path), model)
    except ProxyError as error:
        print_text(f"  {error.status}: {error.message}")
        return
    print_text(f"  route {route.name}")
    exchange.route = route
    for number, target in enumerate(route.targets, 1):
        _show_target(number, exchange, target, strict)


def _show_target(number: int, exchange: Exchange, target: Target, strict: bool) -> None:
    import asyncio

    from llmproxy.call import Call
    from llmproxy.errors import ProxyError
    from llmproxy.translation.translator import translation_endpoint

    translates = translator(strict=strict)
    name = target.model or exchange.model or ""
    print_text(f"  {number}. {target.provider.name} ({target.provider.type}), model {name}")
    call = Call(target=target, model=name)
    sent, how = exchange, "relayed unchanged"
    try:
        if translates.needed(exchange, target):
            endpoint = translation_endpoint(target.provider, name)
            how = f"translated into {endpoint.dialect.name}" if endpoint else how
            sent = asyncio.run(translates.prepare(exchange, call)).exchange
        prepared = target.provider.prepare(sent, target)
    except ProxyError as error:
        print_text(f"     {how}: refused with {error.status}: {error.message}")
        return
    where = (
        "answers by itself" if prepared is None else f"{sent.method} {prepared.origin.url}{_public(prepared.target)}"
    )
    print_text(f"     {where}\n     {how}")
    for path in call.dropped:
        print_text(f"     dropped: {path}")


def _public(target: str) -> str:
    from llmproxy.redaction.names import redact_query

    path, mark, query = target.partition("?")
    return path + mark + redact_query(query) if mark else path
