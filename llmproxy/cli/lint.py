"""`lint`: what a model will refuse of a request, and what is dropped or approximated on the way. Sends nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from llmproxy.cli.explain import read_dialect
from llmproxy.cli.output import fail, print_problems, print_text
from llmproxy.cli.request_file import call_in, decode_as_served, exchange_with, read_file, translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llmproxy.config.load import Loaded
    from llmproxy.dialects.codec import Codec
    from llmproxy.dialects.encode_context import Losses, Options

_CONFIG = typer.Option("--config", "-c", metavar="FILE", help="Ask the targets that this configuration has for it.")


class _Check(NamedTuple):
    """One model that the request is checked for: its own `name`, the `codec` of its dialect, `relayed` when that is the
    client's."""

    title: str
    name: str
    codec: Codec
    options: Options
    relayed: bool


def lint(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="A request body (JSON); - reads standard input.")],
    dialect: Annotated[str, typer.Option(metavar="DIALECT", callback=read_dialect, help="The dialect of REQUEST.")],
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The provider's name for the model; with --config, the client's.")
    ],
    config: Annotated[str | None, _CONFIG] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the targets of this provider; needs --config.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="As with `translation: strict`.")] = False,
) -> None:
    """Show what a model will refuse of a request.

    Shows what is dropped or approximated on the way, too. Exit 1 when anything is refused.
    """
    from llmproxy.errors import BadRequest

    if provider is not None and config is None:
        fail("--provider needs --config", code=2)
    raw = read_file(request)
    if config is None:
        checks = [_by_name(dialect, model)]
    else:
        loaded = _load(config)
        strict = strict or (loaded.config is not None and loaded.config.translation.strict)
        checks = _by_config(loaded, dialect, model, provider)
    refused = False
    for each in checks:
        try:
            findings = list(_findings(each, dialect, raw, strict))
        except BadRequest as error:
            fail(f"{request}: {error.message}")
        for line in ([each.title] if each.title else []) + findings:
            print_text(line)
        refused = refused or any(finding.startswith("refused") for finding in findings)
    if refused:
        raise typer.Exit(1)


def _by_name(dialect: str, model: str) -> _Check:
    """Return the model as its maker serves it, as far as the name tells: otherwise in the client's dialect."""
    from llmproxy.dialects.catalog import codecs
    from llmproxy.dialects.encode_context import Options

    client = codecs()[dialect]
    speakers = [codec for codec in reversed([*codecs().values()]) if codec.knows_model(model)]
    relayed = client in speakers or not speakers
    return _Check("", model, client if relayed else speakers[0], Options(), relayed)


def _load(file: str) -> Loaded:
    from llmproxy.config.load import load

    loaded = load(file)
    print_problems(loaded.problems)
    if loaded.config is None:
        raise typer.Exit(2)
    return loaded


def _by_config(loaded: Loaded, dialect: str, model: str, provider: str | None) -> list[_Check]:
    """Return the targets that the configuration has for a model, in order."""
    from llmproxy.errors import ProxyError
    from llmproxy.registry import RegistryError
    from llmproxy.routes import build_routing
    from llmproxy.translation.translator import translation_endpoint

    exchange, translates = exchange_with(call_in(dialect), b"", model), translator()
    try:
        router, _ = build_routing(loaded)
        route = exchange.route = router.choose(router.locate("POST", exchange.path), model)
    except (ProxyError, RegistryError) as error:
        fail(str(error), code=2)
    checks = []
    for target in route.targets:
        relayed, name = not translates.needed(exchange, target), target.model or model
        endpoint = call_in(dialect) if relayed else translation_endpoint(target.provider, name)
        if endpoint is not None and endpoint.dialect.codec is not None and provider in (None, target.provider.name):
            how = "relayed" if relayed else f"translated into {endpoint.dialect.name}"
            title = f"{target.provider.name} ({target.provider.type}), model {name}, {how}:"
            checks.append(_Check(title, name, endpoint.dialect.codec, target.provider.options, relayed))
    if not checks:
        names = ", ".join(target.provider.name for target in route.targets)
        whose = f" of the provider {provider!r}" if provider else ""
        fail(f"No target{whose} for {model!r} can be checked. Providers: {names}.", code=2)
    return checks


def _findings(check: _Check, dialect: str, raw: bytes, strict: bool) -> Iterator[str]:
    """Yield a line for each finding. A relayed request is sent as it is, so nothing is mended in it. Raises BadRequest
    where `raw` is not a request."""
    from llmproxy.errors import BadRequest

    losses, judge = (_relay if check.relayed else _translation)(check, dialect, raw)
    refusal = ""
    try:
        judge()
    except BadRequest as error:
        refusal = f"refused: {error.message}"
    yield from _lines(losses, refused=check.relayed or strict)
    if refusal:
        yield refusal


def _relay(check: _Check, dialect: str, raw: bytes) -> tuple[Losses, Callable[[], object]]:
    """Return where the findings of a relayed request will stand, and what finds them."""
    import msgspec

    from llmproxy.dialects.encode_context import EncodeContext, Losses
    from llmproxy.translation.translation import read_request

    losses = Losses()
    context = EncodeContext(losses=losses, options=check.options, own=True)
    request = msgspec.structs.replace(read_request(check.codec, raw), model=check.name)
    return losses, partial(check.codec.fit_request, request, context)


def _translation(check: _Check, dialect: str, raw: bytes) -> tuple[Losses, Callable[[], object]]:
    """Return where the findings of a translated request will stand, and what finds them."""
    from llmproxy.dialects.catalog import codecs
    from llmproxy.translation.translation import Translation

    request = decode_as_served(dialect, raw)
    translation = Translation(request, codecs()[dialect], check.codec, options=check.options, strict=False)
    return translation.losses, partial(translation.request, check.name)


def _lines(losses: Losses, *, refused: bool) -> Iterator[str]:
    for path in losses.dropped:
        adapted = losses.adapted.get(path)
        why = "" if adapted is None else f": {adapted.why}"
        if refused:
            yield f"refused: {path}{why}"
        elif adapted is not None and adapted.sent:
            yield f"approximated: {path}{why}; sent: {adapted.sent}"
        else:
            yield f"dropped: {path}{why}"
