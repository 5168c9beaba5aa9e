"""The merged list of models: what the configuration names, and what the providers list themselves.

Providers are asked in parallel and their lists kept for a minute; one that fails or is slow is left out. Each model is
listed under the name by which it is called here: its own where that reaches the provider that lists it, else
`provider/model`. Begin reading at `ModelList.all`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec

from llmproxy.access.credentials import header_credentials
from llmproxy.answer import Answer, Headers
from llmproxy.body import iterate
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.routing.router import ResolvedPath, Router
from llmproxy.target import Provider, UpstreamRequest
from llmproxy.wire.compression import decompress

log = logging.getLogger(__name__)

Ask = Callable[[UpstreamRequest], Awaitable[Answer]]
Listed = dict[str, dict[str, object]]
"""What one provider lists: the members of each model by its id."""

TIMEOUT_S = 5.0
_KEEP_S = 60.0
# Long enough that a provider that is down does not slow every call, short enough to see it come back.
_KEEP_FAILURE_S = 10.0
_MAX_REACHED = 10_000
_MAX_LIST_BYTES = 16 * 1024 * 1024
_YEAR_9999_S = 253_370_764_800
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model under the name by which it is called here. `told` are the members that its provider gave, if it did."""

    id: str
    owner: str
    told: Mapping[str, object]


class ModelList:
    """All models of one configuration. `providers` are those that may be asked, by `ask`."""

    def __init__(
        self, router: Router, providers: Sequence[Provider], ask: Ask, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._router = router
        self._providers = sorted(providers, key=lambda provider: provider.priority)
        self._ask = ask
        self._timeout_s = timeout_s
        self._chat = router.locate("POST", "/v1/chat/completions").endpoint
        self._locks = {provider.name: asyncio.Lock() for provider in providers}
        self._kept: dict[str, tuple[float, Listed | None]] = {}
        self._reached: dict[tuple[str, str], bool] = {}

    async def all(self, exchange: Exchange, dialect: str) -> list[Model]:
        """Every model, no name twice: those of the configuration first, then each provider's by name.

        `dialect` is what the client speaks: its credential goes to nobody else. Raises UpstreamError when nothing can
        be listed because nobody could be asked.
        """
        listed = await self._list(exchange, dialect)
        models = {name: Model(id=name, owner=owner, told={}) for name, owner in self._router.models().items()}
        for provider in self._providers:
            for name, told in sorted((listed[provider.name] or {}).items()):
                called = name if self._reaches(provider, name) else f"{provider.name}/{name}"
                known = models.get(called)
                if known is None or not known.told:
                    models[called] = Model(id=called, owner=known.owner if known else provider.name, told=told)
        failed = [name for name, found in listed.items() if found is None]
        if failed and not models:
            raise UpstreamError(f"No models are known: {', '.join(failed)} could not be asked, the log says why")
        return list(models.values())

    async def one(self, exchange: Exchange, dialect: str, name: str) -> Model:
        """The model called `name`; `provider/model` finds those too that are listed by their own name.

        Raises a 404 when there is none, a 502 when the provider that might have it could not be asked.
        """
        listed = await self._list(exchange, dialect)
        owner = self._router.models().get(name)
        for provider in self._providers:
            below = name.removeprefix(f"{provider.name}/")
            spelled = below if below != name else name if self._reaches(provider, name) else None
            if spelled is None:
                continue
            found = listed[provider.name]
            if spelled in provider.models or (found is not None and spelled in found):
                return Model(id=name, owner=provider.name, told=(found or {}).get(spelled, {}))
            if found is None and owner is None:
                raise UpstreamError(f"The provider {provider.name!r} could not be asked whether it has {name!r}")
        if owner is not None:
            return Model(id=name, owner=owner, told={})
        told = f"There is no model {name[:200]!r} here; GET /v1/models lists all"
        raise BadRequest(told, status=404, code="model_not_found", param="model")

    async def _list(self, exchange: Exchange, dialect: str) -> dict[str, Listed | None]:
        """What each provider lists; None for one that could not be asked."""
        trusted = self._trusted(dialect)
        async with asyncio.TaskGroup() as group:
            asked = {
                provider.name: group.create_task(self._of(provider, exchange if provider is trusted else None))
                for provider in self._providers
            }
        return {name: task.result() for name, task in asked.items()}

    def _trusted(self, dialect: str) -> Provider | None:
        """Who may see a client's credential: the first that answers plain names and speaks what the client does."""
        if len(self._providers) == 1:
            return self._providers[0]
        return next((each for each in self._providers if each.patterns and dialect in each.speaks), None)

    async def _of(self, provider: Provider, exchange: Exchange | None) -> Listed | None:
        if exchange is not None:
            request = provider.list_models(exchange)
            if request is not None and _carries_credential(request.headers, exchange.headers):
                return await self._fetch(provider, request)
        request = provider.list_models(None)
        if request is None:
            return {}
        async with self._locks[provider.name]:
            until_s, listed = self._kept.get(provider.name, (0.0, None))
            if until_s <= time.monotonic():
                listed = await self._fetch(provider, request)
                until_s = time.monotonic() + (_KEEP_FAILURE_S if listed is None else _KEEP_S)
                self._kept[provider.name] = (until_s, listed)
            return listed

    async def _fetch(self, provider: Provider, request: UpstreamRequest) -> Listed | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._ask(request)
                body = await _read(answer)
        except TimeoutError:
            reason = f"it took longer than {self._timeout_s:g} s"
        except ProxyError as error:
            reason = error.message
        else:
            listed = _parse(body) if answer.status == 200 else None
            if listed is not None:
                return listed
            reason = f"it answered {answer.status}" if answer.status != 200 else "its answer is no list of models"
        log.warning("the models of provider %r are not listed: %s", provider.name, reason)
        return None

    def _reaches(self, provider: Provider, name: str) -> bool:
        """Whether `name` by itself is answered by `provider`, in a dialect that it speaks."""
        reached = self._reached.get((provider.name, name))
        if reached is None:
            if len(self._reached) >= _MAX_REACHED:
                self._reached.clear()
            reached = self._reached[provider.name, name] = self._finds(provider, name)
        return reached

    def _finds(self, provider: Provider, name: str) -> bool:
        assert self._chat is not None
        for capability in sorted(provider.speaks):
            endpoint = replace(self._chat, capability=capability)
            resolved = ResolvedPath(endpoint=endpoint, provider=None, path=endpoint.path, template=endpoint.template)
            try:
                target = self._router.choose(resolved, name).targets[0]
            except BadRequest as error:
                if error.status == 404:
                    return False
                continue
            if target.provider is provider and target.model is None:
                return True
        return False


def as_chat(model: Model) -> dict[str, object]:
    """The model as OpenAI's API writes it; `created` is 0 where nobody said it."""
    owner = model.told.get("owned_by")
    told = {name: value for name, value in model.told.items() if name not in ("type", "created_at")}
    return told | {
        "id": model.id,
        "object": "model",
        "created": _created_s(model.told),
        "owned_by": owner if isinstance(owner, str) else model.owner,
    }


def as_messages(model: Model) -> dict[str, object]:
    """The model as Anthropic's API writes it; `created_at` is the epoch where nobody said it, as documented there."""
    created, title = model.told.get("created_at"), model.told.get("display_name")
    if not isinstance(created, str):
        created = datetime.fromtimestamp(_created_s(model.told), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {name: value for name, value in model.told.items() if name not in ("object", "created", "owned_by")}
    return told | {
        "type": "model",
        "id": model.id,
        "display_name": title if isinstance(title, str) else model.id,
        "created_at": created,
    }


def chat_page(models: Iterable[Model]) -> dict[str, object]:
    """The whole list as OpenAI's API writes it."""
    return {"object": "list", "data": [as_chat(model) for model in models]}


def messages_page(models: Sequence[Model], query: str | None) -> dict[str, object]:
    """The list as Anthropic's API writes it: all of it, unless `limit`, `after_id` or `before_id` ask for a part."""
    asked = dict(parse_qsl(query or ""))
    places = {model.id: place for place, model in enumerate(models)}
    start, end = 0, len(models)
    if "after_id" in asked:
        start = places.get(asked["after_id"], end - 1) + 1
    if "before_id" in asked:
        end = places.get(asked["before_id"], 0)
    limit = asked.get("limit", "")
    size = int(limit) if re.fullmatch(r"[0-9]{1,9}", limit) else end
    backwards = "before_id" in asked
    page = models[max(start, end - size) : end] if backwards else models[start : min(end, start + size)]
    return {
        "data": [as_messages(model) for model in page],
        "has_more": len(page) < max(0, end - start),
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _created_s(told: Mapping[str, object]) -> int:
    """When the model was made, in seconds since the epoch; 0 where its provider did not say it understandably."""
    seconds, text = told.get("created"), told.get("created_at")
    if isinstance(seconds, (int, float)):
        return int(seconds) if 0 <= seconds < _YEAR_9999_S else 0
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else _EPOCH
    except ValueError:
        return 0
    return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


def _carries_credential(sent: Headers, clients: Headers) -> bool:
    """Whether the request sends what the client identified itself with, so that its answer is for this client alone."""
    return any(sent.get(name) == value for name, value in header_credentials(clients) if value)


async def _read(answer: Answer) -> bytes:
    body = answer.body
    try:
        if answer.stream is not None:
            async for data in iterate(answer.stream):
                body += data
                if len(body) > _MAX_LIST_BYTES:
                    raise UpstreamError("its list is too long")
    finally:
        answer.close()
    return decompress(body, answer.headers.get("Content-Encoding", ""), _MAX_LIST_BYTES)


def _parse(body: bytes) -> Listed | None:
    """The models of a reply, by id: `{"data": [{"id": ...}, ...]}`, or the bare list that some services give."""
    try:
        reply: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    entries: object = reply.get("data") if isinstance(reply, dict) else reply
    if not isinstance(entries, list):
        return None
    return {name: entry for entry in _dicts(entries) if isinstance(name := entry.get("id"), str) and name}


def _dicts(entries: Iterable[object]) -> Iterable[dict[str, object]]:
    return (entry for entry in entries if isinstance(entry, dict))
