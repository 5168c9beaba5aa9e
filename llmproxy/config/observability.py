"""The sections `logging` and `telemetry`: log messages, the metrics port, OpenTelemetry. Descriptions are for users."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from llmproxy.settings import Duration, HeaderName, Secret, Size, Strict, Whole, parse_size
from llmproxy.telemetry.settings import OtlpSettings

_LEVEL_WORDS = {"warn": "warning", "fatal": "critical"}
_OTLP_PACKAGE = "opentelemetry.exporter.otlp.proto.http"
PROMETHEUS_PORT = 8081
"""The metrics port when telemetry is switched on and no other is set."""


def _level(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else value
    return _LEVEL_WORDS.get(word, word) if isinstance(word, str) else word


Level = Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_level)]


class LoggingConfig(Strict):
    """Log messages."""

    level: Level = Field(default="info", description="Lowest level of messages that are logged.")
    format: Literal["text", "json"] = Field(
        default="text", description="text: a line for people. json: an object on a line, for log collectors."
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="The file to log to in place of standard error, readable for its owner only; relative to the "
        "working directory of the server.",
        examples=["./llmproxy.log"],
    )
    max_size: Size = Field(
        default=parse_size("10MB"),
        ge=1024,
        description="A file that would exceed this size is renamed to FILE.1, FILE.1 to FILE.2 and so on.",
    )
    backups: Whole = Field(default=5, ge=0, le=1000, description="How many renamed files are kept.")
    requests: bool = Field(
        default=False,
        description="Log a line for each request when it has ended, whatever the level: method, path, status, model, "
        "provider, tokens, times.",
    )


class OtlpConfig(Strict):
    """Traces and metrics for an OpenTelemetry collector, over OTLP/HTTP. Needs the extra: pip install 'llmproxy[otel]'.

    In short: `otlp: http://collector:4318`, or `otlp: true` for what the environment (OTEL_*) says.
    """

    endpoint: str | None = Field(
        default=None,
        description="Base URL of the collector; /v1/traces and /v1/metrics are added. Without it "
        "OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318.",
        examples=["http://collector:4318"],
    )
    headers: dict[HeaderName, Secret] = Field(
        default={}, description="Headers for the collector.", examples=[{"x-api-key": "${COLLECTOR_KEY:-}"}]
    )
    traces: bool = Field(default=True, description="Send a span for each request, and one for each call to a provider.")
    metrics: bool = Field(default=True, description="Send durations and token counts.")
    sample_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of requests that are traced, where the client does not say (traceparent). Without it "
        "OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, else 1.",
        examples=[0.01],
    )
    names: Literal["latest", "older"] | None = Field(
        default=None,
        description="Which names of the GenAI conventions to use. Without it OTEL_SEMCONV_STABILITY_OPT_IN: latest "
        "with gen_ai_latest_experimental, else older.",
        examples=["latest"],
    )
    content: bool = Field(
        default=False,
        description="Put the conversation into the spans: what was asked, what was answered, keys masked.",
    )
    metrics_interval: Duration | None = Field(
        default=None,
        gt=0,
        description="How often metrics are sent. Without it OTEL_METRIC_EXPORT_INTERVAL, else 60s.",
        examples=["60s"],
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: object) -> object:
        if isinstance(value, str) and value.strip().lower() != "true":
            return {"endpoint": value}
        return {} if value is True or isinstance(value, str) else value

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://localhost")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is not a URL of a collector; write one such as http://collector:4318")
        return value

    @model_validator(mode="after")
    def _is_installed(self) -> OtlpConfig:
        if not is_otlp_installed():
            raise ValueError("OpenTelemetry is not installed; install it with: pip install 'llmproxy[otel]'")
        return self

    def settings(self) -> OtlpSettings:
        """Return the plain values."""
        return OtlpSettings(
            endpoint=self.endpoint,
            headers={name: value.get_secret_value() for name, value in self.headers.items()},
            traces=self.traces,
            metrics=self.metrics,
            sample_ratio=self.sample_ratio,
            names=self.names,
            content=self.content,
            interval_s=self.metrics_interval,
        )


class TelemetryConfig(Strict):
    """A metrics port of its own, and OpenTelemetry."""

    enabled: bool | None = Field(
        default=None,
        description=f"false switches off everything here. true opens the metrics port, {PROMETHEUS_PORT} unless set.",
        examples=[True],
    )
    prometheus_port: Whole | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port for /metrics alone, without keys; 0 selects a free one. /metrics of the server itself stays.",
        examples=[PROMETHEUS_PORT],
    )
    prometheus_host: str | None = Field(
        default=None,
        min_length=1,
        description="Address of the metrics port; that of the server without it.",
        examples=["127.0.0.1"],
    )
    otlp: OtlpConfig | None = Field(
        default=None, description="Traces and metrics for an OpenTelemetry collector (OTLP over HTTP)."
    )

    @field_validator("otlp", mode="before")
    @classmethod
    def _switched_off(cls, value: object) -> object:
        return None if value is False or (isinstance(value, str) and value.strip().lower() == "false") else value

    @property
    def metrics_port(self) -> int | None:
        """Return the port that is opened for metrics; None for none."""
        if self.enabled is False:
            return None
        return PROMETHEUS_PORT if self.prometheus_port is None and self.enabled else self.prometheus_port

    @property
    def enabled_otlp(self) -> OtlpConfig | None:
        """Return where traces and metrics are sent; None for nowhere."""
        return None if self.enabled is False else self.otlp


def is_otlp_installed() -> bool:
    """Return whether the extra `otel` is installed. Imports nothing of it but its empty parents."""
    try:
        return importlib.util.find_spec(_OTLP_PACKAGE) is not None
    except ModuleNotFoundError:
        return False
