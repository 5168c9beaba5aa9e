"""The list of models and its entries, in the shape of the dialect that the client speaks.

`models.py` knows which models there are. Begin reading at `write_models`.
"""

from __future__ import annotations

from urllib.parse import unquote

from llmproxy.answer import Answer
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.model_list import ModelPages
from llmproxy.exchange import Exchange
from llmproxy.server.pages.json_page import json_page
from llmproxy.server.pages.models import ModelList


async def write_models(models: ModelList, exchange: Exchange) -> Answer:
    """Return the list of models."""
    dialect, pages = take_list_dialect(exchange)
    relayed = await models.relay_list(exchange, dialect)
    if relayed is not None:
        return relayed
    listing = await models.all(exchange, dialect.name)
    page = json_page(pages.all(listing.models, exchange.query))
    if listing.missing:
        page.headers["x-llmproxy-unlisted"] = ", ".join(listing.missing)
    return page


async def write_model(models: ModelList, exchange: Exchange) -> Answer:
    """Return the model that the path names."""
    dialect, pages = take_list_dialect(exchange)
    name = unquote(exchange.full_path.partition("/models/")[2])
    found = await models.relay_model(exchange, dialect, name)
    return found if isinstance(found, Answer) else json_page(pages.one(found))


def take_list_dialect(exchange: Exchange) -> tuple[Dialect, ModelPages]:
    """Return the dialect of a client that asks for models, and how it lists them. From then on the exchange gets errors
    in that dialect, too."""
    dialect = catalog.listing(exchange.headers, exchange.full_path)
    assert dialect.models is not None, "the catalog gives one that lists models"
    if dialect is not catalog.default():
        exchange.endpoint = dialect.relayed("/models", exchange.template)
    return dialect, dialect.models
