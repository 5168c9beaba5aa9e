from __future__ import annotations

from pathlib import Path

from llmproxy.config.load import load
from llmproxy.reporters import build_reporters
from llmproxy.server.reuse import Reuse
from llmproxy.stores.open_stores import StorePool, Stores


def reporters(tmp_path: Path, settings: str) -> list[str]:
    (tmp_path / "llmproxy.yaml").write_text(f"providers: [{{name: a, type: stub}}]\n{settings}\n")
    config = load(directory=tmp_path, environ={}).checked()
    return [name for name, _ in build_reporters(config, Reuse(Stores(StorePool(), {})), "1")]


def test_only_what_is_configured_reports(tmp_path: Path) -> None:
    assert reporters(tmp_path, "") == []
    assert reporters(tmp_path, "logging: {requests: true}\ntelemetry: {otlp: true}") == ["request log", "telemetry"]
    assert reporters(tmp_path, "telemetry: {otlp: true, enabled: false}") == []
