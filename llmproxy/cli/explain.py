"""`explain` and `translate`: show where a request would be sent, and its translation. Nothing goes to a provider."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import Url, fail, print_error, print_problems, print_text
from llmproxy.cli.request_file import call_in, decode_as_served, exchange_with, read_file, translator

if TYPE_CHECKING:
    from llmproxy.exchange import Exchange
    from llmproxy.route import Route
    from llmproxy.routing.health import Health
    from llmproxy.routing.router import Router
    from llmproxy.target import Provider, Target
    from llmproxy.target_health import TargetHealth


def read_dialect(name: str | None) -> str | None:
    """Return the dialect that the user means: by its name, or by a type of provider that speaks only this one. Raises
    BadParameter for what cannot be translated."""
    from llmproxy.config.provider_types import service_of
    from llmproxy.dialects.catalog import codecs

    if name is None or name in codecs():
        return name
    service = service_of(name)
    spoken = [each for each in codecs() if service is not None and each in service.speaks]
    if len(spoken) == 1:
        return spoken[0]
    if spoken:
        raise typer.BadParameter(f"{name!r} speaks several dialects; choose {_either(spoken)}.")
    raise typer.BadParameter(f"Unknown dialect {name!r}; choose {_either([*codecs()])}.")


def _either(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]])


_File = Annotated[str, typer.Argument(metavar="FILE", help="A request body (JSON); - reads standard input.")]


def translate(
    file: _File,
    source: Annotated[
        str, typer.Option("--from", metavar="DIALECT", callback=read_dialect, help="The dialect of FILE.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="DIALECT", callback=read_dialect, help="The dialect to translate into.")
    ],
    model: Annotated[str | None, typer.Option(metavar="NAME", help="The provider's name for the model.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail instead of dropping fields.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object with `request` and `dropped`.")] = False,
) -> None:
    """Show a request translated into another dialect.

    Also which fields are dropped.
    """
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
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model name as a client would send it, or a path such as /v1/files."),
    ],
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
            metavar="DIALECT", callback=read_dialect, help="Only for clients of this dialect: the dialect of FILE."
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Show who answers a model, and why.

    Shows the route, its targets, their health, their order now and their URLs, and what is translated.
    Sends nothing to providers. Health and order are those of the running server with this configuration, or at --url.
    """
    from llmproxy.config.load import load
    from llmproxy.dialects.catalog import codecs
    from llmproxy.errors import ProxyError
    from llmproxy.registry import RegistryError
    from llmproxy.routes import build_routing
    from llmproxy.routing.health import Health

    loaded = load(config)
    print_problems(loaded.problems)
    if loaded.config is None:
        raise typer.Exit(1)
    if request is not None and dialect is None:
        fail("--request needs --dialect: the dialect of the file", code=2)
    try:
        health = Health()
        router, _ = build_routing(loaded, health)
        if model.startswith("/"):
            _explain_path(router, model)
            return
        explained = Explained(router=router, live=_take_over(router, model, health, url, loaded.path))
        headings: dict[tuple[str, ...], list[str]] = {}  # those of the dialects with the same lines
        for each in [dialect] if dialect else codecs():
            heading, lines = _explain(explained, model, each, request, loaded.config.translation.strict)
            headings.setdefault(tuple(lines), []).append(heading)
        for same_lines, above in headings.items():
            print_text("\n".join([*above, *same_lines]))
    except (ProxyError, RegistryError) as error:
        fail(str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The routing to explain. `live` says that the health of its targets is that of a running server. `orders` keeps
    the order of targets: strategies that take turns are asked once, so that all dialects show the same.
    """

    router: Router
    live: bool
    orders: dict[tuple[Target, ...], Sequence[Target]] = field(default_factory=dict)


def _take_over(router: Router, model: str, health: Health, url: str | None, path: str | None) -> bool:
    """Take over the health of a running server. Return whether there is one that tells it."""
    from llmproxy.cli.client import PageError, fetch_page, find_server, objects_in
    from llmproxy.errors import ProxyError

    if url is None and path is None:
        return False
    try:
        rows = objects_in(fetch_page(find_server(url, None if url else path), "/stats").get("targets"))
    except PageError as error:
        if url is not None:
            fail(str(error))
        return False
    with contextlib.suppress(ProxyError):  # targets of lists are known once somebody asks for a model
        router.choose(router.locate("POST", "/v1/chat/completions"), model)
    health.take_over(rows)
    return True


def _explain(explained: Explained, model: str, dialect: str, file: str | None, strict: bool) -> tuple[str, list[str]]:
    """Return the call of a client of the dialect, and the lines that say who answers it."""
    from llmproxy.dialects.derived import example_request
    from llmproxy.errors import ProxyError

    endpoint = call_in(dialect)
    codec = endpoint.dialect.codec
    assert codec is not None, "only dialects that can be translated are explained"
    exchange = exchange_with(
        endpoint, read_file(file) if file is not None else example_request(codec, model, "Hi"), model
    )
    heading = f"{dialect}: POST {exchange.path}"
    try:
        route = explained.router.choose(explained.router.locate("POST", exchange.path), model)
    except ProxyError as error:
        if error.code == "model_not_found":  # in all dialects
            raise
        return heading, [f"  {error.status}: {error.message}"]
    lines = [f"  route {route.name}"]
    exchange.route = route
    if len(route.targets) > 1:
        lines.append(f"  strategy {_name(route)}, order now: {_order(explained, route, exchange)}")
    for number, target in enumerate(route.targets, 1):
        lines += _target_lines(number, exchange, target, strict)
        if explained.live and target.health is not None:
            lines.append(f"     {describe_health(target.health)}")
            lines += [f"     {line}" for line in describe_limits(target.health)]
    return heading, lines


def _explain_path(router: Router, path: str) -> None:
    """Show who answers a path that names no model."""
    from llmproxy.dialects import catalog

    posted = catalog.find("POST", path)
    methods = ("POST",) if posted is not None and posted.model else ("GET", "POST", "DELETE", "PUT", "PATCH")
    method = next((each for each in methods if catalog.find(each, path)), "GET")
    resolved = router.locate(method, path)
    print_text(f"{method} {path}")
    if resolved.provider is not None:
        print_text(f"  {_named(resolved.provider)}, which the path names")
        return
    if resolved.endpoint is not None and resolved.endpoint.model:
        print_text("  by the model that the request names: llmproxy explain MODEL")
    print_text("  1. the provider that made what the request names, where that is known")
    print_text("  2. the provider in the header x-llmproxy-provider")
    print_text(f"  3. {_without_model(router, method, path, ())}")
    lines = {_without_model(router, method, path, ())}
    for dialect in catalog.DIALECTS:
        other = _without_model(router, method, path, dialect.markers)
        if other not in lines:
            lines.add(other)
            print_text(f"     {other}, for clients of the dialect {dialect.name}")


def _without_model(router: Router, method: str, path: str, headers: Sequence[str]) -> str:
    """Return who answers a request with these headers and without a model, or why nobody does."""
    from llmproxy.errors import ProxyError

    try:
        return _named(router.choose(router.locate(method, path, headers), None).targets[0].provider)
    except ProxyError as error:
        return f"{error.status}: {error.message}"


def _named(provider: Provider) -> str:
    return f"{provider.name} ({provider.type})"


def _name(route: Route) -> str:
    """Return the name of the route's strategy, as the configuration has it."""
    from llmproxy.registry import BUILTIN

    class_ = type(route.strategy).__name__
    names = {reference.rpartition(":")[2]: name for name, reference in BUILTIN["strategies"].builtin.items()}
    return names.get(class_, "priority" if class_ == "Strategy" else class_)


def _order(explained: Explained, route: Route, exchange: Exchange) -> str:
    """Return the targets that a request would go to, first to last, of those that are healthy and take it."""
    import asyncio
    import time

    from llmproxy.errors import ProxyError
    from llmproxy.routing.conditions import fitting

    try:
        targets = asyncio.run(fitting(route, exchange)) if route.conditional else route.targets
    except ProxyError as error:
        return error.message
    now_s = time.monotonic()
    healthy = [each for each in targets if each.health is None or each.health.breaker.admits(now_s)]
    if not healthy:
        return "none, all are out"
    healthy = [each for each in healthy if each.health is None or each.health.limits.rest_until_s <= now_s]
    if not healthy:
        return "none, all are at their limit"
    first = tuple(each for each in healthy if each.weight)
    if first and first not in explained.orders:
        explained.orders[first] = route.order(exchange, first)
    ordered = [*explained.orders.get(first, ()), *(each for each in healthy if not each.weight)]
    return ", ".join(each.name for each in ordered)


def describe_health(health: TargetHealth) -> str:
    """Return a line about the health of a target."""
    import time

    breaker = health.breaker
    if breaker.state == "closed":
        state = "healthy"
    elif breaker.state == "half_open":
        state = "out, and being tried"
    else:
        state = f"out, next try in {max(breaker.retry_s - time.monotonic(), 0.0):.0f} s"
    took_s = health.first_token_s(stream=True)
    first = "" if took_s is None else f", first token after {took_s * 1000:.0f} ms"
    return f"{state}, {health.running} calls under way{first}"


def describe_limits(health: TargetHealth) -> list[str]:
    """Return a line for each limit of a target of which something is known."""
    import time

    from llmproxy.console.formatting import sanitize

    now_s = time.monotonic()
    lines = []
    for each in health.limits.current(now_s):
        left = "unknown" if each.remaining is None else f"{each.remaining:g}"
        limit = "" if each.limit is None else f" of {each.limit:g}"
        reset = f", all again in {each.reset_s:.3g} s" if each.reset_s else ""
        lines.append(f"limit {sanitize(each.kind)}: {left}{limit} left{reset}")
    rest_s = health.limits.rest_until_s - now_s
    return [*lines, f"at its limit, next call in {rest_s:.0f} s"] if rest_s > 0 else lines


def _target_lines(number: int, exchange: Exchange, target: Target, strict: bool) -> Iterator[str]:
    """Yield what a target would be sent."""
    import asyncio

    from llmproxy.call import Call
    from llmproxy.errors import ProxyError
    from llmproxy.translation.translator import translation_endpoint

    translates = translator(strict=strict)
    name = target.model or exchange.model or ""
    yield f"  {number}. {target.provider.name} ({target.provider.type}), model {name}"
    call = Call(target=target, model=name)
    sent, how = exchange, "relayed unchanged"
    try:
        if translates.needed(exchange, target):
            endpoint = translation_endpoint(target.provider, name)
            how = f"translated into {endpoint.dialect.name}" if endpoint else how
            sent = asyncio.run(translates.prepare(exchange, call)).exchange
        else:
            sent = exchange.view()
            sent.body = exchange.held.copy()
            sent.write_model(name)
        prepared = target.provider.prepare(sent, target)
    except ProxyError as error:
        yield f"     {how}: refused with {error.status}: {error.message}"
        return
    where = (
        "answers by itself" if prepared is None else f"{sent.method} {prepared.origin.url}{_public(prepared.target)}"
    )
    yield f"     {where}"
    yield f"     {how}"
    for path in call.dropped:
        yield f"     dropped: {path}"


def _public(target: str) -> str:
    from llmproxy.redaction.names import redact_query

    path, mark, query = target.partition("?")
    return path + mark + redact_query(query) if mark else path
