from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import msgspec
import pytest
from pydantic import ValidationError

from llmproxy.answer import Headers
from llmproxy.client_request import Client
from llmproxy.dialects.summary import Summary
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange
from llmproxy.middleware.audit import Audit, audit_line
from llmproxy.records.audit_file import AuditLine
from tests.support.exchanges import BEGAN, ended, new_call
from tests.support.hooks import run_hooks
from tests.support.waiting import until_async

SCHEMA: dict[str, Any] = msgspec.json.schema(AuditLine)
UNKNOWN = Summary()


def audit_to(path: Path, **settings: Any) -> Audit:
    return Audit(Audit.Config.model_validate({"path": str(path), **settings}))


async def written(audit: Audit, *exchanges: Exchange) -> list[dict[str, Any]]:
    await run_hooks(audit, *exchanges)
    return [json.loads(line) for line in Path(str(audit.describe()["path"])).read_text().splitlines()]  # noqa: ASYNC240


async def test_a_line_says_who_called_what_and_what_came_of_it(tmp_path: Path) -> None:
    [line] = await written(audit_to(tmp_path / "a.jsonl"), ended(session="s-1"))
    assert line == {
        "version": 1,
        "time": BEGAN,
        "id": "5f" * 12,
        "request_id": "asked-1",
        "client": "10.0.0.9",
        "key": None,
        "agent": "sdk/1",
        "session": "s-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "dialect": "chat",
        "model": "gpt-4o",
        "served_model": "gpt-4o",
        "provider": "openai",
        "route": None,
        "stream": False,
        "outcome": "complete",
        "status": 200,
        "error": None,
        "input_tokens": 1200,
        "output_tokens": 85,
        "cache_read_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "cost_usd": None,
        "duration_ms": 250.0,
        "first_token_ms": None,
        "attempts": 1,
        "request_bytes": 42,
        "response_bytes": 321,
    }
    assert list(line) == list(AuditLine.__struct_fields__), "in the order of the struct"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"endpoint": None, "model": None, "calls": [], "status": 404, "summary": UNKNOWN},
        {"error": BadRequest("no"), "status": 400, "outcome": "error", "summary": UNKNOWN},
        {"status": None, "outcome": "cancelled"},
        {"stream": True, "first_token_s": 100.2, "outcome": "broken"},
        {"model": "\udcff", "full_path": "/\udcff", "client": Client(address="unix", agent="\udce4", name="ci")},
    ],
)
async def test_every_line_fits_the_schema_and_has_every_member(tmp_path: Path, changes: dict[str, Any]) -> None:
    [line] = await written(audit_to(tmp_path / "a.jsonl"), ended(**changes))
    jsonschema.validate(line, SCHEMA)
    assert set(line) == set(AuditLine.__struct_fields__) == set(SCHEMA["$defs"]["AuditLine"]["properties"])


async def test_bodies_headers_queries_and_messages_of_errors_stay_out(tmp_path: Path) -> None:
    exchange = ended(
        query="key=hidden-1&note=hidden-2",
        headers=Headers({"Authorization": "Bearer hidden-3", "x-note": "hidden-4"}),
        error=ProxyError("hidden-5", code="upstream_error"),
    )
    [line] = await written(audit_to(tmp_path / "a.jsonl"), exchange)
    assert "hidden" not in json.dumps(line) and line["error"] == "upstream_error"


async def test_a_secret_in_an_unlikely_place_is_masked(tmp_path: Path) -> None:
    exchange = ended(headers=Headers({"x-api-key": "sk-misplaced"}), full_path="/v1/sk-misplaced", model="sk-misplaced")
    [line] = await written(audit_to(tmp_path / "a.jsonl"), exchange)
    assert "misplaced" not in json.dumps(line)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"Content-Length": "7"}, 7), ({}, 0), ({"Transfer-Encoding": "chunked"}, None), ({"Content-Length": "x"}, None)],
)
def test_a_body_in_chunks_has_no_declared_length(headers: dict[str, str], expected: int | None) -> None:
    assert audit_line(ended(headers=Headers(headers))).request_bytes == expected


async def test_attempts_are_counted_and_the_last_provider_named(tmp_path: Path) -> None:
    attempts = [new_call(provider="first", model="m", error="upstream_error"), new_call(provider="second", model="m")]
    [line] = await written(audit_to(tmp_path / "a.jsonl"), ended(calls=attempts))
    assert (line["attempts"], line["provider"]) == (2, "second")


async def test_a_path_that_can_never_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ProxyError, match=r"audit: cannot write to .*: is a directory; set `path`"):
        await audit_to(tmp_path).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(ProxyError, match=r"audit: cannot write to .*: not a directory; set `path`"):
        await audit_to(tmp_path / "file" / "a.jsonl").start()


async def test_health_shows_what_waits_and_why(tmp_path: Path) -> None:
    place = tmp_path / "place"
    audit = audit_to(place / "a.jsonl")
    await audit.start()
    (place / "a.jsonl").unlink()
    place.rmdir()
    place.write_text("no directory any more")
    audit.on_end(ended())
    await until_async(lambda: audit.describe()["fault"] == "not a directory", "the fault to be reported")
    state = audit.describe()
    assert (state["lost"], state["waiting"], state["path"]) == (0, 1, str(place / "a.jsonl"))
    place.unlink()
    await until_async(lambda: audit.describe()["fault"] is None, "the line to be written")
    assert audit.describe()["waiting"] == 0
    await audit.close()
    assert len((place / "a.jsonl").read_text().splitlines()) == 1


async def test_a_relative_path_starts_where_the_server_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Audit(Audit.Config()).describe()["path"] == str(tmp_path / "audit.jsonl")
    assert not (tmp_path / "audit.jsonl").exists(), "making it has no effects"


@pytest.mark.parametrize("settings", [{"path": ""}, {"fsync": "often"}, {"max_size": 10}, {"paths": "x"}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Audit.Config.model_validate(settings)


def test_sizes_have_human_forms() -> None:
    assert Audit.Config.model_validate({"max_size": "1MB"}).max_size == 1 << 20
    assert Audit.Config.model_validate({"max_size": "none"}).max_size is None
