"""The merged list of models: what the configuration names, and what the providers list themselves.

Providers list their models in parallel, and their lists are kept for a minute. One that fails is left out and named;
one that is slow delays nobody: its list is there for the next client. Each model is listed under the name that clients
use here: its own where that reaches the provider that lists it, else `provider/model`. A request for a model that
nobody lists goes to the provider that would answer that model, and where one provider answers everything, all requests
go to it. Begin reading at `ModelList.all`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from llmproxy.access.credentials import header_credentials
from llmproxy.access.permission import may_use
from llmproxy.answer import Answer, Headers
from llmproxy.body import iterate
from llmproxy.client_key import ClientKey
from llmproxy.dialects import catalog
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.model_list import ListedModel
from llmproxy.errors import BadRequest, ProxyError, UpstreamError
from llmproxy.exchange import Exchange
from llmproxy.fault_log import FaultLog
from llmproxy.redaction.echoes import hide_keys
from llmproxy.redaction.secrets import mask_text, with_credentials
from llmproxy.route import Route
from llmproxy.routing.router import ResolvedPath, Router
from llmproxy.target import OpenUpstream, Provider, Target, UpstreamRequest
from llmproxy.user_code import is_cancellation
from llmproxy.wire.compression import decompress
from llmproxy.wire.json import read_value

log = logging.getLogger(__name__)

Listed = dict[str, dict[str, object]]
"""The models of one provider: the members of each by its id."""


class Listing(NamedTuple):
    """The models for a client, and the names of the providers that are missing in it."""

    models: list[ListedModel]
    missing: list[str]


_TIMEOUT_S = 5.0
# How long clients wait for a provider, where there are others.
_PATIENCE_S = 1.5
_KEEP_S = 60.0
# Long enough that a provider that is down does not slow every call, short enough to see it come back.
_KEEP_FAILURE_S = 10.0
_MAX_REACHED = 10_000
_MAX_LIST_BYTES = 16 * 1024 * 1024


class ModelList:
    """All models of one configuration. The lists of `providers` are fetched through `open_`, each within `timeout_s`;
    clients wait for at most `patience_s`."""

    def __init__(
        self,
        router: Router,
        providers: Sequence[Provider],
        open_: OpenUpstream,
        *,
        timeout_s: float = _TIMEOUT_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._router = router
        self._providers = sorted(providers, key=lambda provider: provider.priority)
        self._open = open_
        self._timeout_s = timeout_s
        self._patience_s = patience_s if len(providers) > 1 else timeout_s
        self._fetching: dict[str, asyncio.Task[Listed | None]] = {}
        self._kept: dict[str, tuple[float, Listed | None]] = {}
        self._faults: dict[str, FaultLog] = {}
        self._reached: dict[tuple[str, str], bool] = {}

    async def start(self) -> None:
        """Do nothing: providers are asked when a client asks."""

    async def close(self) -> None:
        """Give up the lists that are being fetched."""
        running = list(self._fetching.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def all(self, exchange: Exchange, dialect: str) -> Listing:
        """Return every model, no name twice: those of the configuration first, then each provider's by name.

        `dialect` is what the client speaks: its credential goes to nobody else. Raises UpstreamError when
        there is nothing to list because providers failed.
        """
        listed = await self._list(exchange, dialect)
        models = {name: ListedModel(id=name, owner=owner, members={}) for name, owner in self._router.models().items()}
        for provider in self._providers:
            for name, members in sorted((listed[provider.name] or {}).items()):
                called = name if self._reaches(provider, name) else f"{provider.name}/{name}"
                known = models.get(called)
                if known is None or not known.members:
                    owner = known.owner if known else provider.name
                    models[called] = ListedModel(id=called, owner=owner, members=members)
        key = exchange.client.key
        if key is not None and key.restricted:
            models = {name: each for name, each in models.items() if self._permits(key, dialect, name)}
        failed = [name for name, found in listed.items() if found is None]
        if failed and not models:
            raise UpstreamError(
                f"No provider could list its models: {', '.join(failed)}. The server's log has the reason"
            )
        return Listing(list(models.values()), failed)

    async def relay_list(self, exchange: Exchange, dialect: Dialect) -> Answer | None:
        """Return the list of the only provider as it is, query and all; None where there is something to merge."""
        sole, key = self._router.sole, exchange.client.key
        if sole is None or dialect.name not in sole.speaks or (key is not None and key.restricted):
            return None
        return await self._ask(exchange, dialect, Target(provider=sole), "/v1/models")

    async def relay_model(self, exchange: Exchange, dialect: Dialect, name: str) -> ListedModel | Answer:
        """Return the model `name`: as the providers list it, else as the one that would answer it describes it.

        The latter is passed on as it is where that provider speaks `dialect` and knows the model by the same name.
        Raises a 404 when there is no such model, a 502 when it cannot be found out.
        """
        key = exchange.client.key
        if key is not None and not self._permits(key, dialect.name, name):
            raise _unknown_model(name)
        if self._router.sole is None:
            listed = await self.one(exchange, dialect.name, name)
            if listed is not None:
                return listed
        target = self._answerer(dialect.name, name)
        if target is None:
            raise _unknown_model(name)
        as_it_is = target.model is None and dialect.name in target.provider.speaks
        path = exchange.full_path if target.model is None else f"/v1/models/{quote(target.model, safe='')}"
        answer = await self._ask(exchange, dialect, target, path)
        if answer is None:
            return ListedModel(id=name, owner=target.provider.name, members={})
        return answer if as_it_is else await _read_model(answer, name, target.provider)

    def _permits(self, key: ClientKey, dialect: str, name: str) -> bool:
        """Return whether a client with `key` may use the model `name`."""
        if not key.restricted:
            return True
        route = self._route(dialect, name)
        return route is not None and may_use(key, route, name)

    def _answerer(self, dialect: str, name: str) -> Target | None:
        """Return who would get a request for the model `name`, in `dialect` or else in any other; None for nobody."""
        route = self._route(dialect, name)
        return None if route is None else route.targets[0]

    def _route(self, dialect: str, name: str) -> Route | None:
        """Return the route of the model `name`, in `dialect` or else in any other; None when there is none."""
        if not name:
            return None
        for endpoint in (*catalog.first_calls({dialect}), *catalog.first_calls(catalog.capabilities())):
            resolved = ResolvedPath(endpoint=endpoint, provider=None, path=endpoint.path, template=endpoint.template)
            try:
                return self._router.choose(resolved, name)
            except BadRequest as error:
                if error.status == 404:
                    return None
        return None

    async def _ask(self, exchange: Exchange, dialect: Dialect, target: Target, path: str) -> Answer | None:
        """Send a client's request for `path` to the provider of `target`; None when it answers by itself."""
        view = exchange.view()
        view.endpoint, view.path = dialect.relayed("/models", exchange.template), path
        if target.provider.refreshes:
            await target.provider.ready()
        request = target.provider.prepare(view, target)
        if request is None:
            return None
        answer = await self._open(request)
        if answer.status >= 300 and answer.stream is not None:
            answer.body, answer.stream = await _read_raw(answer), None
        hide_keys(answer, target.provider.secrets)
        return answer

    async def one(self, exchange: Exchange, dialect: str, name: str) -> ListedModel | None:
        """Return the model `name`; `provider/model` also finds models that are listed by their own name.

        None when nobody lists it.
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
                return ListedModel(id=name, owner=provider.name, members=(found or {}).get(spelled, {}))
        return None if owner is None else ListedModel(id=name, owner=owner, members={})

    async def _list(self, exchange: Exchange, dialect: str) -> dict[str, Listed | None]:
        """Return the models of each provider; None for one that failed."""
        trusted = self._trusted(dialect)
        async with asyncio.TaskGroup() as group:
            tasks = {
                provider.name: group.create_task(self._listed(provider, exchange if provider is trusted else None))
                for provider in self._providers
            }
        return {name: task.result() for name, task in tasks.items()}

    def _trusted(self, dialect: str) -> Provider | None:
        """Return who may see a client's credential: the first that answers plain names and speaks its dialect."""
        if len(self._providers) == 1:
            return self._providers[0]
        return next((each for each in self._providers if each.patterns and dialect in each.speaks), None)

    async def _listed(self, provider: Provider, exchange: Exchange | None) -> Listed | None:
        """Return the models of `provider`; a user's may fail in any way."""
        try:
            return await self._of(provider, exchange)
        except BaseException as error:
            if not provider.user_defined or is_cancellation(error):
                raise
            log.error("the models of provider %r are not listed", provider.name, exc_info=error)
            return None

    async def _of(self, provider: Provider, exchange: Exchange | None) -> Listed | None:
        if provider.refreshes and not await self._is_ready(provider):
            return None
        if exchange is not None:
            request = provider.list_models(exchange)
            if request is not None and _carries_credential(request.headers, exchange.headers):
                return await self._fetch(provider, request, self._patience_s)
        request = provider.list_models(None)
        if request is None:
            return {}
        until_s, listed = self._kept.get(provider.name, (0.0, None))
        if until_s > time.monotonic():
            return listed
        task = self._fetching.get(provider.name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._refresh(provider, request))
            task.add_done_callback(lambda each: each.cancelled() or each.exception())  # nobody may wait for it any more
            self._fetching[provider.name] = task
        await asyncio.wait((task,), timeout=self._patience_s)
        return task.result() if task.done() and not task.cancelled() else listed

    async def _refresh(self, provider: Provider, request: UpstreamRequest) -> Listed | None:
        """Fetch the list of a provider for all clients, and keep it."""
        try:
            listed = await self._fetch(provider, request, self._timeout_s)
            until_s = time.monotonic() + (_KEEP_FAILURE_S if listed is None else _KEEP_S)
            self._kept[provider.name] = (until_s, listed)
            return listed
        finally:
            self._fetching.pop(provider.name, None)

    async def _fetch(self, provider: Provider, request: UpstreamRequest, timeout_s: float) -> Listed | None:
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._open(request)
                body = await _read(answer)
        except TimeoutError:
            reason = f"it took longer than {timeout_s:g} s"
        except ProxyError as error:
            reason = error.message
        else:
            listed = _parse(body) if answer.status == 200 else None
            if listed is not None:
                return listed
            reason = f"it answered {answer.status}" if answer.status != 200 else "its answer is not a list of models"
        self._log_failure(provider, reason)
        return None

    def _log_failure(self, provider: Provider, reason: str) -> None:
        """Log why the models of a provider are not listed, once a minute: every request for the list may find it so."""
        faults = self._faults.setdefault(provider.name, FaultLog(log))
        masked = mask_text(reason, with_credentials((), provider.secrets))
        faults.failed(logging.WARNING, "the models of provider %r are not listed: %s", provider.name, masked)

    async def _is_ready(self, provider: Provider) -> bool:
        try:
            await provider.ready()
        except ProxyError as error:
            self._log_failure(provider, error.message)
            return False
        return True

    def _reaches(self, provider: Provider, name: str) -> bool:
        """Return whether `provider` answers `name` by itself, in a dialect that it speaks."""
        reached = self._reached.get((provider.name, name))
        if reached is None:
            if len(self._reached) >= _MAX_REACHED:
                self._reached.clear()
            reached = self._reached[provider.name, name] = self._finds(provider, name)
        return reached

    def _finds(self, provider: Provider, name: str) -> bool:
        for endpoint in catalog.first_calls(provider.speaks):
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


def _unknown_model(name: str) -> BadRequest:
    message = f"Unknown model {name[:200]!r}. GET /v1/models lists all models"
    return BadRequest(message, status=404, code="model_not_found", param="model")


def _carries_credential(sent: Headers, clients: Headers) -> bool:
    """Return whether the request sends a credential of the client, so that its answer is for this client alone."""
    return any(sent.get(name) == value for name, value in header_credentials(clients) if value)


async def _read_model(answer: Answer, name: str, provider: Provider) -> ListedModel:
    """Read the model `name` from the answer of `provider`, which calls it otherwise or speaks another dialect."""
    body = await _read(answer)
    if answer.status == 404:
        message = f"Unknown model {name[:200]!r}: the provider {provider.name!r} does not have it"
        raise BadRequest(message, status=404, code="model_not_found", param="model")
    members = read_value(body) if answer.status == 200 else None
    if not isinstance(members, dict):
        message = (
            f"The provider {provider.name!r} did not describe the model {name[:200]!r}: it answered {answer.status}"
        )
        raise UpstreamError(message)
    return ListedModel(id=name, owner=provider.name, members=members)


async def _read(answer: Answer) -> bytes:
    return decompress(await _read_raw(answer), answer.headers.get("Content-Encoding", ""), _MAX_LIST_BYTES)


async def _read_raw(answer: Answer) -> bytes:
    body = answer.body
    try:
        if answer.stream is not None:
            async for data in iterate(answer.stream):
                body += data
                if len(body) > _MAX_LIST_BYTES:
                    raise UpstreamError("its list is too long")
    finally:
        answer.close()
    return body


def _parse(body: bytes) -> Listed | None:
    """Return the models of a reply, by id: `{"data": [{"id": ...}, ...]}`, the bare list that some services give, or
    `{"models": [{"name": "models/..."}, ...]}`, as Google lists them."""
    try:
        reply: object = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    entries: object = reply.get("data", reply.get("models")) if isinstance(reply, dict) else reply
    if not isinstance(entries, list):
        return None
    named = ((_id_of(entry), entry) for entry in _dicts(entries))
    return {name: entry for name, entry in named if isinstance(name, str) and name}


def _id_of(entry: dict[str, object]) -> object:
    name = entry.get("name")
    return name.removeprefix("models/") if "id" not in entry and isinstance(name, str) else entry.get("id")


def _dicts(entries: Iterable[object]) -> Iterable[dict[str, object]]:
    return (entry for entry in entries if isinstance(entry, dict))
