"""`lint`: what a model will refuse of a request, and what is dropped or approximated on the way. Sends nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmproxy.cli.output import fail, print_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmproxy.dialects.codec import Codec
    from llmproxy.dialects.encode_context import Losses
    from llmproxy.dialects.model import Request


def lint(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="A request body (JSON); - reads standard input.")],
    dialect: Annotated[str, typer.Option(metavar="DIALECT", help="The dialect of REQUEST.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="The provider's name for the model.")],
    strict: Annotated[bool, typer.Option("--strict", help="As with `translation: strict`.")] = False,
) -> None:
    """Say what a model will refuse, and what is dropped or approximated. Exit 1 when anything is refused."""
    import msgspec

    from llmproxy.dialects.catalog import codecs
    from llmproxy.errors import BadRequest
    from llmproxy.translation.translation import read_request

    if dialect not in codecs():
        raise typer.BadParameter(f"{dialect!r} is not one of {', '.join(map(repr, codecs()))}.")
    try:
        body = sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes()
        decoded = msgspec.structs.replace(read_request(codecs()[dialect], body), model=model)
    except OSError as error:
        fail(f"{request}: {(error.strerror or str(error)).lower()}", code=2)
    except BadRequest as error:
        fail(f"{request}: {error.message}")
    findings = list(_findings(decoded, codecs()[dialect], model, strict))
    for finding in findings:
        print_text(finding)
    if any(finding.startswith("refused") for finding in findings):
        raise typer.Exit(1)


def _findings(request: Request, client: Codec, model: str, strict: bool) -> Iterator[str]:
    """Yield a line for each. A request of the model's own dialect is sent as it is, so nothing is mended in it."""
    from llmproxy.dialects.catalog import codecs
    from llmproxy.dialects.encode_context import EncodeContext, Losses
    from llmproxy.errors import BadRequest

    losses = Losses()
    context = EncodeContext(losses=losses)
    speakers = [codec for codec in reversed([*codecs().values()]) if codec.knows_model(model)]
    relayed = client in speakers or not speakers
    refusal = ""
    try:
        if relayed:
            client.fit_request(request, context)
        else:
            speakers[0].encode_request(request, context)
    except BadRequest as error:
        refusal = f"refused: {error.message}"
    yield from _lines(losses, refused=relayed or strict)
    if refusal:
        yield refusal


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
