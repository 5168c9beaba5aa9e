from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llmproxy.config import observability
from llmproxy.config.observability import TelemetryConfig


@pytest.mark.parametrize(
    ("written", "port"),
    [
        ({}, None),
        ({"enabled": True}, 8081),
        ({"prometheus_port": 9100}, 9100),
        ({"enabled": True, "prometheus_port": 9100}, 9100),
        ({"enabled": False, "prometheus_port": 9100}, None),
    ],
)
def test_the_metrics_port_opens_where_it_is_switched_on(written: dict[str, Any], port: int | None) -> None:
    assert TelemetryConfig.model_validate(written).metrics_port == port


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [("http://c:4318", "http://c:4318"), (True, None), ({}, None), ({"endpoint": "https://c"}, "https://c")],
)
def test_a_collector_has_short_forms(written: object, endpoint: str | None) -> None:
    exported = TelemetryConfig.model_validate({"otlp": written}).enabled_otlp
    assert exported is not None and exported.endpoint == endpoint


@pytest.mark.parametrize("written", [{"otlp": False}, {"otlp": "false"}, {"otlp": True, "enabled": False}, {}])
def test_nothing_is_exported_where_it_is_switched_off(written: dict[str, Any]) -> None:
    assert TelemetryConfig.model_validate(written).enabled_otlp is None


def test_a_missing_package_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability, "is_otlp_installed", lambda: False)
    with pytest.raises(ValidationError, match=r"install it with: pip install 'llmproxy\[otel\]'"):
        TelemetryConfig.model_validate({"otlp": True})
