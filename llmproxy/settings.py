"""The base model of configurations, and types for values in human forms.

Sizes are powers of 1024 (`64MB`), durations have a unit (`30s`, `1h`), paths are relative to the configuration file.
Defaults are plain numbers, `parse_size("64MB")`; output for people, generated files and the JSON Schema have the human
form again. Only configuration uses this module; the hot path gets plain values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)


class Strict(BaseModel):
    """A configuration block: unknown keys are errors, values are frozen, descriptions are written for users."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True, allow_inf_nan=False
    )


_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_LIMIT = ("none", "off", "never", "unlimited")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])i?b?|b)?", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_LONGEST_NUMBER = 100  # characters
_LARGEST_SIZE = 1024**5
_LONGEST_S = 100 * 365 * 86400.0
_LARGEST_WHOLE = 2**53
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: object) -> int:
    """Parse `64MB`, `1.5g`, `1048576` into bytes (powers of 1024). Raises ValueError."""
    if isinstance(value, int) and abs(value) > _LARGEST_SIZE:
        raise ValueError("invalid size: it must be at most 1024TB")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) and len(text) <= _LONGEST_NUMBER else None
    if not match:
        raise ValueError(
            f"invalid size: {value!r}; write a number of bytes, or a number with a unit such as 64KB, 1MB, 2GB"
        )
    if not match[2] and match[1].isdecimal():
        size = int(match[1])
    else:
        size = int(float(match[1]) * 1024 ** " kmgt".index((match[2] or " ").lower()))
    if size > _LARGEST_SIZE:
        raise ValueError(f"invalid size: {value!r}; it must be at most 1024TB")
    return size


def parse_size_limit(value: object) -> int | None:
    """Parse a size, or `none` for no limit."""
    return None if _unlimited(value) else parse_size(value)


def parse_duration(value: object) -> float:
    """Parse `30s`, `1h30m`, `250ms` or a number of seconds into seconds. Raises ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(min(value, 2 * _LONGEST_S)) if isinstance(value, int) else value
    else:
        text = value.strip().lower() if isinstance(value, str) and len(value) <= _LONGEST_NUMBER else ""
        if re.fullmatch(r"\d+(\.\d+)?", text):
            text += "s"
        parts = _DURATION_PART.findall(text)
        if not parts or _DURATION_PART.sub("", text).strip():
            raise ValueError(
                f"invalid duration: {value!r}; write a number of seconds, or a number with a unit: 250ms, 30s, 5m, 1h"
            )
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"invalid duration: {value!r}; it must be finite and not negative")
    if seconds > _LONGEST_S:
        raise ValueError(f"invalid duration: {value!r}; it must be at most 36500d")
    return seconds


def parse_limit(value: object) -> float | None:
    """Parse a duration, or `none` for no limit."""
    return None if _unlimited(value) else parse_duration(value)


def _unlimited(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NO_LIMIT)


def write_size(value: int | None) -> str:
    """Return the shortest human form of a size: `64MB`."""
    if value is None:
        return "none"
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "KB")):
        if value and value % 1024**power == 0:
            return f"{value // 1024**power}{unit}"
    return f"{value}B"


def format_size(size_bytes: int) -> str:
    """Return a size rounded for people: `312B`, `4.2KB`, `1.0MB`, `2.5GB`."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    scaled = size_bytes / 1024
    for unit in ("KB", "MB"):
        if scaled < 1023.95:
            return f"{scaled:.1f}{unit}"
        scaled /= 1024
    return f"{scaled:.1f}GB"


def write_duration(value: float | None) -> str:
    """Return the human form of a duration: `30s`, `1h`."""
    if value is None:
        return "none"
    if value and value % 3600 == 0:
        return f"{value / 3600:g}h"
    return f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:g}s"


def refuse_bool(value: object) -> object:
    """Keep pydantic from reading `true` as 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, not {str(value).lower()}")
    return value


def check_whole(value: int) -> int:
    """Return `value` unless it is so large that stores and files cannot hold it."""
    if abs(value) > _LARGEST_WHOLE:
        raise ValueError(f"must be between -{_LARGEST_WHOLE} and {_LARGEST_WHOLE}")
    return value


def find_file(value: str, info: ValidationInfo) -> str:
    """Return the absolute path of a file that must exist, relative to the config file (context `directory`)."""
    directory = info.context["directory"] if info.context else Path()
    path = Path(directory, Path(value).expanduser()).absolute()
    if not path.is_file():
        raise ValueError(f"{value!r} is a directory, not a file" if path.is_dir() else f"file not found: {str(path)!r}")
    return str(path)


def check_header_name(value: str) -> str:
    """Return `value` when it can be the name of a header (RFC 9110, 5.1). Raises ValueError."""
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name; write one such as X-Tenant")
    return value


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^({pattern})$"}]}
    )


_NONE = "|" + "|".join(_NO_LIMIT)
_SIZE_FORM = r"\d+(\.\d+)?\s*([kKmMgGtT]?[iI]?[bB]?)"
_DURATION_FORM = r"\s*(\d+(\.\d+)?\s*(ms|s|m|h|d)?\s*)+"
_AS_SIZE = PlainSerializer(write_size, return_type=str, when_used="json")
_AS_DURATION = PlainSerializer(write_duration, return_type=str, when_used="json")

Size = Annotated[int, BeforeValidator(parse_size), _AS_SIZE, _schema(_SIZE_FORM)]
SizeLimit = Annotated[int | None, BeforeValidator(parse_size_limit), _AS_SIZE, _schema(_SIZE_FORM + _NONE)]
Duration = Annotated[float, BeforeValidator(parse_duration), _AS_DURATION, _schema(_DURATION_FORM)]
DurationLimit = Annotated[float | None, BeforeValidator(parse_limit), _AS_DURATION, _schema(_DURATION_FORM + _NONE)]
Whole = Annotated[int, BeforeValidator(refuse_bool), AfterValidator(check_whole)]
ExistingFile = Annotated[str, AfterValidator(find_file)]
HeaderName = Annotated[str, AfterValidator(check_header_name)]
Secret = SecretStr
