"""Our own pages: health, configuration, providers, metrics, and the merged list of models.

`Admin.find` runs for every request: a dict lookup says whether a path is ours. Pages are read-only, and nothing secret
is in them. Errors are raised as ProxyErrors, which the caller renders. Begin reading at `Admin`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from llmproxy.access.admission import Audience
from llmproxy.answer import Answer
from llmproxy.dialects import catalog
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import Metrics
from llmproxy.metrics.process_samples import process_samples
from llmproxy.metrics.provider_json import providers_json
from llmproxy.metrics.sample import Sample
from llmproxy.metrics.stats import GROUPS, running_exchanges
from llmproxy.metrics.transfer import state_of
from llmproxy.redaction.names import redact
from llmproxy.server.pages.health import HealthPages, States, record_samples
from llmproxy.server.pages.json_page import json_page, page_headers, prefers_json
from llmproxy.server.pages.middleware_pages import MiddlewarePages
from llmproxy.server.pages.model_answers import take_list_dialect, write_model, write_models
from llmproxy.server.pages.models import ModelList
from llmproxy.server.pages.openapi import DescribedPage, OpenApi
from llmproxy.server.pages.operations import JSON
from llmproxy.server.pages.page import READING, Handler, Page
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.server.pages.reference import ASSETS, reference_page
from llmproxy.server.pages.stats import read_groups, stats_page
from llmproxy.server.peers import (
    Counters,
    HealthPart,
    PagePart,
    PageQuestion,
    Peers,
    StatsPart,
    merge_counters,
    merge_stats,
)
from llmproxy.wire.json import write_value
from llmproxy.wire.query import check_query, parse_query

_MODEL_PATHS = tuple(f"{path}/" for path in catalog.model_paths())
_READ_TYPES = (JSON, "text/plain", "text/html")  # of pages, not of their files


@dataclass(frozen=True, slots=True, kw_only=True)
class _MiddlewarePage:
    """A page that a middleware writes, or something below it."""

    pages: MiddlewarePages
    page: str
    template: str
    peers: Peers | None
    audience: Audience = Audience.OPERATORS

    async def __call__(self, exchange: Exchange) -> Answer:
        return await self.pages.write(exchange, self.page, self.peers)


class Admin:
    """The pages of one configuration, whose secrets are masked here. `openapi` describes what else is served."""

    def __init__(self, process: ProcessState, config: EffectiveConfig, models: ModelList, openapi: OpenApi) -> None:
        self._process = process
        self._config = config
        self._masked = redact({"file": config.file, **config.values})
        self._disabled = _disabled(config.values)
        self._openapi = openapi
        self._document: bytes | None = None
        self._middleware_pages = MiddlewarePages(config.middlewares)
        self._probes = HealthPages(process, config, self._states)
        self._model = Page(
            template="/v1/models/{id}",
            write=partial(write_model, models),
            audience=Audience.CLIENTS,
            summary="Read a model",
        )
        self._pages = self._all_pages(models)

    def _all_pages(self, models: ModelList) -> Mapping[str, Page]:
        """Return the pages by path."""
        list_page = Page(
            template="/v1/models",
            write=partial(write_models, models),
            audience=Audience.CLIENTS,
            summary="List the models",
        )
        pages = [
            *(
                Page(template=path, write=write, audience=Audience.EVERYBODY, summary=summary)
                for path, write, summary in (
                    ("/health", self._probes.health, "Read the state"),
                    ("/healthz", self._probes.healthz, "Check it, in short"),
                    ("/livez", self._probes.livez, "Check whether it runs"),
                    ("/readyz", self._probes.readyz, "Check whether it serves"),
                )
            ),
            Page(template="/config", write=self._write_config, summary="Read the configuration, without secrets"),
            Page(template="/providers", write=self._write_providers, summary="Read the providers and their targets"),
            Page(
                template="/metrics",
                write=self._write_metrics,
                summary="Read the metrics, for Prometheus or as JSON",
                content_types=("text/plain", JSON),
                query={"format": {"type": "string", "enum": ["json", "text"]}},
            ),
            Page(template="/metrics/json", write=self._write_metrics_json, summary="Read the metrics as JSON"),
            Page(
                template="/stats",
                write=self._write_stats,
                summary="Read the statistics",
                query={"by": {"type": "string", "enum": list(GROUPS)}},
            ),
            Page(
                template="/admin/reload",
                write=self._write_reload,
                methods=("POST",),
                summary="Read the configuration file again",
            ),
            Page(template="/openapi.json", write=self._write_openapi, summary="Read the description of this API"),
            *(
                Page(
                    template=path,
                    write=partial(_write_asset, path),
                    audience=Audience.EVERYBODY,
                    summary="Read the description of this API in a browser",
                    content_types=(content_type.partition(";")[0],),
                )
                for path, (_, content_type) in ASSETS.items()
            ),
        ]
        return {
            **{page.template: page for page in pages},
            **dict.fromkeys(catalog.model_paths(), list_page),
            "/openai-proxy/models": list_page,
            "/openai-proxy/v1/models": list_page,
        }

    def _described(self) -> Iterator[DescribedPage]:
        """Yield what `/openapi.json` says of the pages. The files of a page are no pages, and paths without a version
        are the same pages."""
        for path, page in self._pages.items():
            if page.content_types[0] in _READ_TYPES and page.audience is not Audience.CLIENTS:
                yield page.described(path)
        for path in [path for path in catalog.model_paths() if path.count("/") > 1]:
            yield self._pages[path].described(path)
            yield self._model.described(f"{path}/{{id}}")
        yield from self._middleware_pages.described()

    def find(self, method: str, path: str) -> Handler | None:
        """Return what answers a request for `path`; None when it is not one of our pages.

        Below `/v1/models/` only reading a model is ours: deleting one, or reading its operations, goes to the provider.
        """
        page = self._pages.get(path)
        if path == "/" and method == "HEAD":  # agents look with it whether the address answers
            return self._pages["/health"]
        if page is None and method in READING and path.startswith(_MODEL_PATHS) and catalog.is_model(path):
            page = self._model
        if page is None and (owner := self._middleware_pages.owns(path)) is not None:
            template = owner if len(path) <= len(owner) + 1 else f"{owner}/{{name}}"
            return _MiddlewarePage(
                pages=self._middleware_pages, page=owner, template=template, peers=self._process.peers
            )
        return page

    def take_dialect(self, exchange: Exchange) -> None:
        """Find out which dialect the client of a list of models speaks: in that one it is refused, too."""
        take_list_dialect(exchange)

    async def _write_reload(self, exchange: Exchange) -> Answer:
        reason = "POST /admin/reload"
        if self._process.peers is not None:
            report = (await self._process.peers.reload(reason)).check()
            return json_page({"changes": report.changes, "ignored": report.ignored})
        if self._process.reloader is None:
            raise ProxyError("This server cannot reload its configuration", status=501, code="not_reloadable")
        done = await self._process.reloader.reload(reason)
        return json_page({"changes": done.changes, "ignored": done.ignored})

    async def _write_openapi(self, exchange: Exchange) -> Answer:
        if self._document is None:
            self._document = await asyncio.to_thread(lambda: write_value(self._openapi.document(self._described())))
        return Answer(status=200, headers=page_headers(JSON), body=self._document)

    async def _write_config(self, exchange: Exchange) -> Answer:
        return json_page(self._masked)

    async def _write_providers(self, exchange: Exchange) -> Answer:
        rows = (await self._stats()).targets
        enabled = [
            {
                **provider.describe(),
                "priority": provider.priority,
                "enabled": True,
                "key_from": self._config.key_sources.get(provider.name),
                "targets": [row for row in rows if row["provider"] == provider.name],
            }
            for provider in self._config.providers
        ]
        return json_page({"providers": redact([*enabled, *self._disabled])})

    async def _write_metrics(self, exchange: Exchange) -> Answer:
        accept = ",".join(exchange.headers.getall("Accept", ()))
        parameters = parse_query(exchange.query)
        check_query(parameters, ("format",))
        format_ = parameters.get("format")
        if format_ not in (None, "json", "text"):
            raise BadRequest(f"Unknown format {format_[:50]!r}. Use format=json or format=text", param="format")
        if format_ == "json" or (format_ is None and prefers_json(accept)):
            return await self._write_metrics_json(exchange)
        text, content_type = await self.prometheus(accept)
        return Answer(status=200, headers=page_headers(content_type), body=text)

    async def prometheus(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text for an Accept header, and its content type."""
        if self._process.peers is None:
            metrics, samples = self._process.metrics, await self._samples()
        else:
            metrics, samples = await self._merged_counters(activity=False)
        return await asyncio.to_thread(_render, metrics, self._process.version, accept, samples)

    @property
    def recorded(self) -> int:
        """Return how many exchanges this process has counted."""
        return self._process.metrics.recorded

    async def counters(self, *, activity: bool) -> Counters:
        """Return what this process has counted, for the page of all workers."""
        return Counters(metrics=state_of(self._process.metrics, activity=activity), samples=await self._samples())

    async def stats(self) -> StatsPart:
        """Return what else `/stats` shows of this process."""
        return StatsPart(
            running=running_exchanges(self._process.running().values()),
            middlewares=await self._middleware_pages.stats(),
            targets=self._process.health.rows(),
        )

    def health(self) -> HealthPart:
        """Return what `/health` shows of this process."""
        return self._probes.part()

    async def page(self, question: PageQuestion) -> PagePart:
        """Return the page of a middleware as it is in this process."""
        return await self._middleware_pages.part(question)

    async def _samples(self) -> list[Sample]:
        states = self._states()
        waiting = Sample(
            name="llmproxy_waiting_requests",
            help="Client requests that wait for their turn.",
            value=self._process.waiting(),
        )
        process = await asyncio.to_thread(process_samples)
        return [
            *await self._middleware_pages.metrics(),
            *self._process.health.samples(),
            *record_samples(states),
            waiting,
            *process,
        ]

    async def _merged_counters(self, *, activity: bool) -> tuple[Metrics, list[Sample]]:
        """Return the counters of all workers."""
        assert self._process.peers is not None
        return await asyncio.to_thread(merge_counters, await self._process.peers.counters(activity=activity))

    async def _all_counted(self) -> Metrics:
        return self._process.metrics if self._process.peers is None else (await self._merged_counters(activity=True))[0]

    async def _stats(self) -> StatsPart:
        own = await self.stats()
        if self._process.peers is None:
            return own
        return merge_stats([own, *await self._process.peers.stats()], self._middleware_pages.merges())

    async def _write_metrics_json(self, exchange: Exchange) -> Answer:
        metrics = await self._all_counted()
        activity = metrics.activity
        sessions = {"active": activity.active_sessions(time.monotonic()), "created": activity.sessions_begun}
        return json_page(
            {**providers_json(metrics, self._names()), "sessions": sessions, **(await self._stats()).middlewares}
        )

    async def _write_stats(self, exchange: Exchange) -> Answer:
        by = read_groups(exchange.query)
        stats = await self._stats()
        content = await stats_page(
            await self._all_counted(),
            stats.running,
            version=self._process.version,
            pid=self._process.pid,
            started_s=self._process.started_s,
            providers=self._names(),
            by=by,
        )
        return await asyncio.to_thread(json_page, {**stats.middlewares, **content, "targets": stats.targets})

    def _states(self) -> States:
        """Return what middlewares and reporters say of their state."""
        return [*self._middleware_pages.states(), *((name, describe()) for name, describe in self._config.reporters)]

    def _names(self) -> list[str]:
        return [provider.name for provider in self._config.providers]


async def _write_asset(path: str, exchange: Exchange) -> Answer:
    return await reference_page(path)


def _disabled(config: Mapping[str, object]) -> list[dict[str, object]]:
    """Return what `/providers` shows of the disabled providers."""
    entries = config.get("providers")
    return [
        {name: entry.get(name) for name in ("name", "type", "base_url", "models", "priority", "enabled")}
        for entry in (entries if isinstance(entries, (list, tuple)) else ())
        if isinstance(entry, Mapping) and entry.get("enabled") is False
    ]


def _render(metrics: Metrics, version: str, accept: str, samples: Sequence[Sample]) -> tuple[bytes, str]:
    from llmproxy.metrics.prometheus import render  # when it is needed: 5 ms and 1 MB

    return render(metrics, version, accept, samples)
