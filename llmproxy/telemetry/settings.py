"""Settings of the export, from the configuration and, where that is silent, the OTEL_* variables.

The variables are those of the OpenTelemetry specification; the exporters read more of them themselves (headers,
timeouts, compression, certificates, resource attributes). Begin reading at `OtlpSettings.from_environment`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llmproxy.telemetry.names import LATEST_OPT_IN, Names

_YES = ("true", "1", "yes", "on")
_DEFAULT_INTERVAL_S = 60.0
_DEFAULT_QUEUE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """`endpoint` None is what the variables say, else http://localhost:4318. `sample_ratio` is the share of new traces
    that is recorded; `follows_client` says that a client's own decision counts first.
    """

    endpoint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    traces: bool = True
    metrics: bool = True
    sample_ratio: float | None = None
    follows_client: bool = True
    names: Names | None = None
    content: bool = False
    interval_s: float | None = None
    queue: int = _DEFAULT_QUEUE

    def from_environment(self, environ: Mapping[str, str]) -> OtlpSettings:
        """Return the settings with every gap filled. A variable that cannot be read counts as not set."""
        off = _yes(environ.get("OTEL_SDK_DISABLED"))
        sampler = environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
        opt_in = [each.strip() for each in environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")]
        interval_s = (_number(environ.get("OTEL_METRIC_EXPORT_INTERVAL")) or 0.0) / 1000
        content = environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")
        return replace(
            self,
            traces=self.traces and not off and environ.get("OTEL_TRACES_EXPORTER") != "none",
            metrics=self.metrics and not off and environ.get("OTEL_METRICS_EXPORTER") != "none",
            sample_ratio=_ratio(sampler, environ) if self.sample_ratio is None else self.sample_ratio,
            follows_client=self.sample_ratio is not None or sampler.startswith("parentbased"),
            names=self.names or ("latest" if LATEST_OPT_IN in opt_in else "older"),
            content=self.content or _yes(content),
            interval_s=self.interval_s or interval_s or _DEFAULT_INTERVAL_S,
            queue=int(_number(environ.get("OTEL_BSP_MAX_QUEUE_SIZE")) or _DEFAULT_QUEUE),
        )


def _ratio(sampler: str, environ: Mapping[str, str]) -> float:
    if sampler.endswith("always_off"):
        return 0.0
    ratio = _number(environ.get("OTEL_TRACES_SAMPLER_ARG")) if sampler.endswith("traceidratio") else None
    return 1.0 if ratio is None else min(ratio, 1.0)


def _yes(value: str | None) -> bool:
    return value is not None and value.strip().lower() in _YES


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None
