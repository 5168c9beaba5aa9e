from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import Client
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.metrics.counters import Metrics
from llmproxy.middleware.base import Middleware
from llmproxy.routing.router import Router
from llmproxy.server.pages.admin import Admin
from llmproxy.server.pages.models import ModelList
from llmproxy.server.pages.openapi import OpenApi
from llmproxy.server.pages.page_state import EffectiveConfig, ProcessState
from llmproxy.target import Provider
from tests.metrics.test_counters import ended
from tests.server.pages.test_models import Place, Upstreams

CONFIG: dict[str, object] = {
    "server": {"host": "127.0.0.1", "max_body_size": 64},
    "providers": [
        {"name": "openai", "type": "place", "api_key": SecretStr("sk-secret"), "proxy": "http://u:p@proxy:1"},
        {"name": "idle", "type": "place", "base_url": "https://u:p@x/v1?key=k", "priority": 3, "enabled": False},
    ],
    "middlewares": [{"type": "tag", "enabled": False, "config": {"token": "t", "team": "blue", "max_tokens": 5}}],
}


def admin_of(
    *providers: Provider,
    upstreams: Upstreams | None = None,
    metrics: Metrics | None = None,
    stopping: Callable[[], bool] = lambda: False,
    middlewares: Sequence[tuple[str, Middleware]] = (),
    running: Mapping[str, Exchange] | None = None,
) -> Admin:
    asked = upstreams or Upstreams(openai=["gpt-4o", "o/p"])
    enabled = providers or (Place("openai", "gpt-*", "o*"),)
    return Admin(
        ProcessState(
            version="1.2.3",
            started_s=time.monotonic() - 60,
            metrics=metrics or Metrics(),
            stopping=stopping,
            running=lambda: running or {},
        ),
        EffectiveConfig(
            file="llmproxy.yaml",
            values=CONFIG,
            key_sources={"openai": "OPENAI_API_KEY"},
            providers=enabled,
            middlewares=middlewares,
        ),
        ModelList(Router(enabled), enabled, asked.ask),
        OpenApi(Router(enabled), version="1.2.3"),
    )


def asking(target: str, method: str = "GET", **headers: str) -> Exchange:
    path, _, query = target.partition("?")
    return Exchange(
        id="1",
        method=method,
        full_path=path,
        path=path,
        query=query,
        headers=Headers({name.replace("_", "-"): value for name, value in headers.items()}),
        client=Client(address="127.0.0.1"),
        started_s=0.0,
        began_s=0.0,
    )


async def answered(admin: Admin, exchange: Exchange) -> Answer:
    handler = admin.find(exchange.method, exchange.full_path)
    assert handler is not None
    exchange.template, exchange.own = handler.template, True
    return await handler(exchange)


async def shown(admin: Admin, target: str, **headers: str) -> Any:
    answer = await answered(admin, asking(target, **headers))
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/healthy"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/models/gpt-4o:verb"),
        ("DELETE", "/v1/models/ft:gpt-4o"),
        ("GET", "/openai/v1/models"),
        ("GET", "/v1/modelsx"),
    ],
)
def test_paths_that_are_not_ours_are_left_to_the_router(method: str, path: str) -> None:
    assert admin_of().find(method, path) is None


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/health", "/health"),
        ("/config", "/config"),
        ("/providers", "/providers"),
        ("/metrics", "/metrics"),
        ("/metrics/json", "/metrics/json"),
        ("/stats", "/stats"),
        ("/v1/models", "/v1/models"),
        ("/models", "/v1/models"),
        ("/v1/models/gpt-4o", "/v1/models/{id}"),
        ("/models/o%2Fp", "/v1/models/{id}"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_each_page_can_be_read_and_counts_under_its_template(path: str, template: str, method: str) -> None:
    exchange = asking(path, method)

    answer = await answered(admin_of(), exchange)

    assert answer.status == 200
    assert exchange.template == template
    assert answer.body and not answer.bodiless


@pytest.mark.parametrize(("path", "template"), [("/sessions", "/sessions"), ("/sessions/", "/sessions")])
def test_pages_of_middlewares_count_under_templates_that_hold_no_names(path: str, template: str) -> None:
    found = [admin_of().find("GET", each) for each in (path, "/sessions/a", "/sessions/a/b")]
    assert [each and each.template for each in found] == [template, "/sessions/{name}", "/sessions/{name}"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/health", "/config", "/v1/models"])
async def test_any_other_method_is_refused_with_those_that_are_allowed(method: str, path: str) -> None:
    exchange = asking(path, method)

    with pytest.raises(ProxyError) as caught:
        await answered(admin_of(), exchange)

    assert (caught.value.status, caught.value.headers) == (405, (("Allow", "GET, HEAD"),))
    assert exchange.template == path


async def test_health_says_that_all_is_well_since_when_and_with_how_many_providers() -> None:
    metrics = Metrics()
    metrics.begin()

    health = await shown(admin_of(metrics=metrics), "/health")

    assert (health["status"], health["version"], health["providers"]) == ("ok", "1.2.3", 1)
    assert health["requests_in_flight"] == 1
    assert health["pid"] == os.getpid()
    assert health["uptime_seconds"] >= 60


class Faulty(Middleware):
    """A middleware whose state has a fault or none."""

    def __init__(self, fault: str | None) -> None:
        self._fault = fault

    def describe(self) -> dict[str, object]:
        return {"lost": 3, "fault": self._fault}


async def test_health_is_degraded_while_something_that_is_configured_does_not_work() -> None:
    full = await shown(admin_of(middlewares=[("trace", Faulty("no room")), ("audit", Faulty(None))]), "/health")
    well = await shown(admin_of(middlewares=[("audit", Faulty(None))]), "/health")

    assert (full["status"], full["faults"]) == ("degraded", ["trace: no room"])
    assert (well["status"], well["faults"]) == ("ok", [])
    assert well["middlewares"] == [{"type": "audit", "lost": 3, "fault": None}]


async def test_health_is_503_while_the_server_stops_so_that_balancers_look_elsewhere() -> None:
    answer = await answered(admin_of(stopping=lambda: True), asking("/health"))

    assert answer.status == 503
    assert json.loads(answer.body)["status"] == "stopping"


async def test_config_shows_everything_but_secrets() -> None:
    mask = "**********"

    assert await shown(admin_of(), "/config") == {
        "file": "llmproxy.yaml",
        "server": {"host": "127.0.0.1", "max_body_size": 64},
        "providers": [
            {"name": "openai", "type": "place", "api_key": mask, "proxy": f"http://{mask}@proxy:1"},
            {
                "name": "idle",
                "type": "place",
                "base_url": f"https://{mask}@x/v1?key={mask}",
                "priority": 3,
                "enabled": False,
            },
        ],
        "middlewares": [{"type": "tag", "enabled": False, "config": {"token": mask, "team": "blue", "max_tokens": 5}}],
    }


async def test_pages_are_laid_out_to_be_read_and_never_cached() -> None:
    answer = await answered(admin_of(), asking("/config"))

    assert b'{\n  "file": "llmproxy.yaml",\n' in answer.body
    assert answer.headers["Cache-Control"] == "no-store"


async def test_providers_tells_who_there_is_and_where_keys_came_from() -> None:
    admin = admin_of(Place("openai", "gpt-*"), Place("local", "l*", key=None, priority=2))

    listed = (await shown(admin, "/providers"))["providers"]

    assert listed[0] == {
        "name": "openai",
        "type": "place",
        "dialects": ["chat"],
        "models": ["gpt-*"],
        "priority": 1,
        "enabled": True,
        "key_from": "OPENAI_API_KEY",
        "targets": [],
    }
    assert (listed[1]["name"], listed[1]["priority"], listed[1]["key_from"]) == ("local", 2, None)


async def test_providers_that_are_switched_off_are_shown_as_such_without_their_credentials() -> None:
    idle = (await shown(admin_of(), "/providers"))["providers"][-1]

    assert (idle["name"], idle["enabled"]) == ("idle", False)
    assert "u:p" not in idle["base_url"] and "key=k" not in idle["base_url"]


@pytest.mark.parametrize(
    ("target", "accept"),
    [
        ("/metrics", "application/json"),
        ("/metrics", "application/json, text/plain, */*"),
        ("/metrics", "text/plain;q=0.5, Application/JSON"),
        ("/metrics?format=json", "text/plain"),
        ("/metrics/json", "*/*"),
    ],
)
async def test_metrics_come_as_json_where_that_is_asked_for(target: str, accept: str) -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.record(ended())

    figures = await shown(admin_of(metrics=metrics), target, Accept=accept)

    assert figures["openai"]["total_requests"] == 1


@pytest.mark.parametrize(
    ("target", "accept", "content_type"),
    [
        ("/metrics", "", "text/plain"),
        ("/metrics", "*/*", "text/plain"),
        ("/metrics", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"),
        ("/metrics", "application/json;q=0, */*", "text/plain"),
        ("/metrics", "application/json;q=0.1, text/plain", "text/plain"),
        ("/metrics", "application/json;q=oops", "text/plain"),
        ("/metrics?format=text", "application/json", "text/plain"),
        (
            "/metrics",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            "application/openmetrics-text",
        ),
    ],
)
async def test_metrics_come_as_text_otherwise(target: str, accept: str, content_type: str) -> None:
    metrics = Metrics()
    metrics.begin()
    metrics.record(ended())

    answer = await answered(admin_of(metrics=metrics), asking(target, Accept=accept))

    assert answer.headers["Content-Type"].startswith(content_type)
    assert b'http_requests_total{method="POST",path="/v1/chat/completions",status="200"} 1.0\n' in answer.body


async def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ProxyError, match="'xml'") as caught:
        await answered(admin_of(), asking("/metrics?format=xml"))
    for query in ("fromat=json", "format=", "format", "format=json&x=1", "format=text&format=json"):
        with pytest.raises(ProxyError, match="parameter"):
            await answered(admin_of(), asking(f"/metrics?{query}"))
    assert caught.value.status == 400


class Losing(Middleware):
    """Says that it lost records."""

    def __init__(self, **state: object) -> None:
        super().__init__(self.Config())
        self.state = state

    def describe(self) -> dict[str, object]:
        return self.state


async def test_lost_records_become_a_metric_by_the_type_of_middleware() -> None:
    middlewares = [("trace", Losing(lost=2)), ("trace", Losing(lost=1)), ("printer", Losing(lines=9))]

    answer = await answered(admin_of(middlewares=middlewares), asking("/metrics"))

    assert b'llmproxy_records_lost_total{middleware="trace"} 3.0' in answer.body
    assert b"printer" not in answer.body


async def test_the_json_form_of_the_metrics_tells_of_sessions_beside_providers() -> None:
    metrics = Metrics()
    now_s = time.monotonic()
    for session, ago_s in (("old", 7200), ("new", 60), ("new", 1)):
        metrics.begin()
        headers = Headers({"x-session-id": session})
        metrics.record(ended(headers=headers, started_s=now_s - ago_s, ended_s=now_s - ago_s))

    figures = await shown(admin_of(metrics=metrics), "/metrics/json")

    assert list(figures) == ["openai", "sessions"]
    assert figures["sessions"] == {"active": 1, "created": 2}


async def test_stats_show_what_runs() -> None:
    exchange = ended(id="7", outcome="", ended_s=None, started_s=time.monotonic())

    page = await shown(admin_of(running={"7": exchange}), "/stats?by=client")

    assert [each["id"] for each in page["running"]["exchanges"]] == ["7"]
    assert (page["version"], page["clients"][0]["in_flight"]) == ("1.2.3", 1)
    assert page["uptime_seconds"] >= 60
