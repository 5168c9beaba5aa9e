"""What configurations are made of: the strict base model and values in human forms.

Sizes are powers of 1024 (`64MB`), durations carry a unit (`30s`, `1h`). Only configuration uses this; the hot path gets
plain values.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, WithJsonSchema


class Strict(BaseModel):
    """A configuration block: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: object) -> int:
    """`64MB`, `1.5g`, `1048576` -> bytes (powers of 1024). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        number, unit = float(value), ""
    else:
        found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError(f"{value!r} is no size; write a number of bytes, or one with a unit such as 64KB, 1MB, 2GB")
        number, unit = float(found[1]), found[2].lower()
    size = int(number * 1024 ** " kmgt".index(unit or " "))
    if size < 0:
        raise ValueError(f"{value!r} is negative")
    return size


def parse_duration(value: object) -> float:
    """`30s`, `1h30m`, `250ms`, a number of seconds -> seconds. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = value.strip().lower() if isinstance(value, str) else ""
        if re.fullmatch(r"\d+(\.\d+)?", text):
            text += "s"
        parts = _DURATION_PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{value!r} is no duration; write a number of seconds, or one with a unit: 250ms, 30s, 5m, 1h")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{value!r} is not a length of time")
    return seconds


def parse_limit(value: object) -> float | None:
    """A duration, or `none` for no limit."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "off", "never")):
        return None
    return parse_duration(value)


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": pattern}], "examples": [example]})


Size = Annotated[int, BeforeValidator(parse_size), _schema(r"^\d+(\.\d+)?\s*[kKmMgGtT]?i?[bB]?$", "64MB")]
Duration = Annotated[float, BeforeValidator(parse_duration), _schema(r"^(\d+(\.\d+)?(ms|s|m|h|d)?)+$", "30s")]
Limit = Annotated[float | None, BeforeValidator(parse_limit), _schema(r"^((\d+(\.\d+)?(ms|s|m|h|d)?)+|none|off|never)$", "30s")]
Secret = SecretStr
