"""The cases of scripts/bench: kinds of traffic, and the configurations of llmproxy that they are driven through."""

from __future__ import annotations

from dataclasses import replace

from scripts.overhead import accounting
from scripts.overhead.load import Case

RELAYED = "chat 1 KB, 32 connections"
RELAYED_STREAM = "stream of 40 chunks, 16 connections"


def _short(name: str, limit: float, *, distinct: bool = False) -> Case:
    """Return a case of requests of 1 KB."""
    return Case(
        name=f"{name}, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=limit,
        distinct=distinct,
    )


def _agent(name: str, limit: float) -> Case:
    """Return a case of an agent's turns of 300 KB."""
    return Case(
        name=f"{name}, 300 KB turns, 8 connections",
        body_bytes=300_000,
        stream=False,
        connections=8,
        limit=limit,
        agent=True,
    )


CASES = (
    Case(name="chat 1 KB, 1 connection", body_bytes=1_000, stream=False, connections=1, limit=4),
    Case(name=RELAYED, body_bytes=1_000, stream=False, connections=32, limit=5),
    Case(name="chat 30 KB, 32 connections", body_bytes=30_000, stream=False, connections=32, limit=7),
    Case(name=RELAYED_STREAM, body_bytes=1_000, stream=True, connections=16, limit=1.5),
)
WATCHED = (
    Case(
        name="trace, printer and audit, 1 KB, 32 connections", body_bytes=1_000, stream=False, connections=32, limit=8
    ),
)
TRANSLATED = (
    Case(
        name="chat translated into messages, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=6,
    ),
    Case(
        name="stream translated, 16 connections",
        body_bytes=1_000,
        stream=True,
        connections=16,
        limit=4,
        of=RELAYED_STREAM,
    ),
)
CACHED = (
    Case(name="cache hit, 1 KB, 1 connection", body_bytes=1_000, stream=False, connections=1, limit=4, cached=True),
    Case(name="cache hit, 1 KB, 32 connections", body_bytes=1_000, stream=False, connections=32, limit=4, cached=True),
    Case(name="cached stream, 16 connections", body_bytes=1_000, stream=True, connections=16, limit=1, cached=True),
)
GEMINI = (
    Case(
        name="gemini 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.1,
        of=RELAYED,
        dialect="gemini",
    ),
    Case(
        name="gemini, stream of 40 chunks, 16 connections",
        body_bytes=1_000,
        stream=True,
        connections=16,
        limit=1.1,
        of=RELAYED_STREAM,
        dialect="gemini",
    ),
)
CONVERSE = (
    Case(
        name="converse 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.1,
        of=RELAYED,
        dialect="converse",
    ),
    Case(
        name="converse, stream of 40 chunks, 16 connections",
        body_bytes=1_000,
        stream=True,
        connections=16,
        limit=1.1,
        of=RELAYED_STREAM,
        dialect="converse",
    ),
)
# A signature is half of what an unsigned request costs.
SIGNED = (replace(CONVERSE[0], name="converse signed, 1 KB, 32 connections", limit=1.6),)
LIMITED = (
    Case(
        name="key and limits in memory, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.3,
        of=RELAYED,
    ),
)
OBSERVED = (
    Case(
        name="request log and OpenTelemetry at 1 %, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.3,
        of=RELAYED,
    ),
)
TWO_WORKERS = (
    Case(
        name="two workers, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.15,
        of=RELAYED,
    ),
    Case(
        name="two workers, stream of 40 chunks, 16 connections",
        body_bytes=1_000,
        stream=True,
        connections=16,
        limit=1.15,
        of=RELAYED_STREAM,
    ),
)
TWO_WORKERS_LIMITED = (
    Case(
        name="two workers, key and limits in the parent, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=2,
        of=RELAYED,
    ),
)
LIMITED_IN_REDIS = (
    Case(
        name="key and limits in Redis, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=2,
        of=RELAYED,
    ),
)
ROUTED = (
    Case(
        name="weighted route, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=1.15,
        of=RELAYED,
    ),
)
ROUTED_IN_REDIS = (
    Case(
        name="route with limits in Redis, 1 KB, 32 connections",
        body_bytes=1_000,
        stream=False,
        connections=32,
        limit=2,
        of=RELAYED,
    ),
)
AGENT_RELAYED = (_agent("relay", 3.8),)
RECOGNISED = (_short("sessions", 6), _agent("sessions", 6))
TRACED = (_short("trace", 9), _agent("trace", 8))
PRINTED = (_short("printer, sessions and trace", 11), _agent("printer, sessions and trace", 10))
MISSED = (_short("cache, misses", 7, distinct=True), _agent("cache, misses", 6))
AGENT_TRANSLATED = (_agent("chat translated into messages", 12),)
_CACHING = """
middlewares:
  - {type: cache, config: {when: always}}
"""
_RECOGNISING = """
middlewares:
  - {type: sessions}
"""
_LIMITING = """
server: {admin_key: ADMIN}
auth: {keys: [{name: bench, key: sk-client}]}
limits:
  - {requests: 10000000, per: 1m}
  - {tokens: 10000000000, per: 1m}
  - {concurrent: 1000}
budgets:
  - {max_cost: 1000000, per: month}
""".replace("ADMIN", accounting.ADMIN_KEY)
_TWO = """
server: {workers: 2}
"""
_OBSERVING = """
logging: {format: json, file: ./requests.log, requests: true}
telemetry: {otlp: {endpoint: "http://127.0.0.1:%d", sample_ratio: 0.01, metrics_interval: 5s}}
"""
_IN_REDIS = """
quotas: {store: "redis://127.0.0.1:%d/0"}
"""
PROVIDER = """
providers:
  - {name: up, type: %(type)s, base_url: "http://127.0.0.1:%(port)d", %(key)s, models: ["*"]}
"""
_KEY = "api_key: sk-up"
_AWS_KEYS = "region: us-east-1, access_key_id: AKIDBENCH, secret_access_key: bench"
_TRACING = """
middlewares:
  - {type: trace, config: {directory: ./traces, max_total_size: 64MB}}
"""
_PRINTING = """
middlewares:
  - {type: printer}
  - {type: sessions}
  - {type: trace, config: {directory: ./traces, max_total_size: 64MB}}
"""
_ROUTING = """
models:
  - {name: "*", strategy: weighted, targets: [{provider: up, weight: 3}, {provider: up, model: gpt-4o, weight: 1}]}
"""
_ROUTING_IN_REDIS = """
routing: {store: "redis://127.0.0.1:%d/0"}
models:
  - name: "*"
    targets:
      - {provider: up, rpm: 100000000, tpm: 100000000000, concurrent: 1000}
      - {provider: up, model: other}
"""
_WATCHING = """
middlewares:
  - {type: trace, config: {directory: ./traces, max_total_size: 64MB}}
  - {type: printer}
  - {type: audit, config: {path: ./audit.jsonl}}
"""

IN_REDIS = (LIMITED_IN_REDIS, ROUTED_IN_REDIS)
"""The cases that need a Redis server."""


def configured_cases(collector_port: int, redis_port: int) -> list[tuple[tuple[Case, ...], str, str, str]]:
    """Return cases with the type and the key of their provider (`PROVIDER`) and the rest of their configuration."""
    return [
        (WATCHED, "openai", _KEY, _WATCHING),
        (TRANSLATED, "anthropic", _KEY, ""),
        (CACHED, "openai", _KEY, _CACHING),
        (ROUTED, "openai", _KEY, _ROUTING),
        (GEMINI, "gemini", _KEY, ""),
        (CONVERSE, "bedrock", _KEY, ""),
        (SIGNED, "bedrock", _AWS_KEYS, ""),
        (LIMITED, "openai", _KEY, _LIMITING),
        (OBSERVED, "openai", _KEY, _OBSERVING % collector_port),
        (TWO_WORKERS, "openai", _KEY, _TWO),
        (TWO_WORKERS_LIMITED, "openai", _KEY, _LIMITING.replace("server: {", "server: {workers: 2, ")),
        (AGENT_RELAYED, "openai", _KEY, ""),
        (RECOGNISED, "openai", _KEY, _RECOGNISING),
        (TRACED, "openai", _KEY, _TRACING),
        (PRINTED, "openai", _KEY, _PRINTING),
        (MISSED, "openai", _KEY, _CACHING),
        (AGENT_TRANSLATED, "anthropic", _KEY, ""),
        (LIMITED_IN_REDIS, "openai", _KEY, _LIMITING + _IN_REDIS % redis_port),
        (ROUTED_IN_REDIS, "openai", _KEY, _ROUTING_IN_REDIS % redis_port),
    ]
