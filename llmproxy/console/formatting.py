"""Formats values for a console: durations, tokens, counts, and text from outside.

Used by the printer and by the commands that read traces, so that a value looks the same everywhere. Plain strings;
callers add colours.
"""

from __future__ import annotations

import re

from llmproxy.dialects.usage import Usage
from llmproxy.records.entry import Entry, ErrorEntry

UNKNOWN = "-"
_TOO_LARGE = 10**18  # a damaged record or another program's page: nothing is counted or lasts so long

# Control characters move cursors and change colours; bidirectional overrides (Unicode, "Trojan Source") reorder text;
# tags, fillers and a byte-order mark are not seen at all. Joiners stay within other scripts and emoji, which need them.
_HIDDEN = (
    "\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_JOINED = f"[^\x00-\x7f{_HIDDEN}\u200c\u200d]"
_LONE_JOINER = f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
_UNSAFE = re.compile(f"[\x00-\x1f{_HIDDEN}]|{_LONE_JOINER}")
_UNSAFE_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_HIDDEN}]|{_LONE_JOINER}")


def sanitize(text: str, limit: int | None = None) -> str:
    """Return `text` on one line, harmless on a terminal; text longer than `limit` is cut with an ellipsis."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def sanitize_lines(text: str) -> str:
    """Return text of several lines, harmless on a terminal; newlines and tabs stay."""
    return _UNSAFE_IN_LINES.sub(_escape, text.replace("\r\n", "\n"))


def format_provider(entry: Entry) -> str:
    """Return the provider that answered, or `cache`."""
    return entry.provider or ("cache" if entry.cache == "hit" else UNKNOWN)


def format_duration(milliseconds: float | None) -> str:
    """Return a duration: `0.4ms`, `35ms`, `1.25s`, `2m05s`, `1h02m`."""
    if milliseconds is None or not milliseconds < _TOO_LARGE:
        return UNKNOWN
    # The bounds are where rounding reaches the next form: 999.6 ms are 1.00s, not 1000ms.
    if milliseconds < 9.95:
        return f"{milliseconds:.1f}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def format_age(milliseconds: float | None) -> str:
    """Return how long ago something was, in whole numbers: `26s`, `5m`, `2h05m`, `3d`."""
    if milliseconds is None or not milliseconds < _TOO_LARGE:
        return UNKNOWN
    seconds = int(milliseconds / 1000)
    minutes, hours = seconds // 60, seconds // 3600
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m"
    return f"{hours}h{minutes % 60:02d}m" if hours < 24 else f"{hours // 24}d"


def format_count(number: int | None) -> str:
    """Return a count: `512`, `12.3k`, `4.1M`."""
    if number is None or number >= _TOO_LARGE:
        return UNKNOWN
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def format_tokens(usage: Usage | None) -> str:
    """Return `input/output`, such as `1200/85`, or `1.3k in (1.2k cached), 85 out` where the provider had some in its
    cache; `-` for unknown numbers."""
    if usage is None or (usage.input is None and usage.output is None):
        return UNKNOWN
    if usage.cache_read:
        return f"{format_input(usage.input, usage.cache_read)}, {format_short(usage.output)} out"
    return f"{format_count(usage.input)}/{format_count(usage.output)}"


def format_short_tokens(usage: Usage | None) -> str:
    """Return the same for a narrow terminal: `1200/85`, or `1.3k/85 (1.2k cached)`; `-` for unknown numbers."""
    if usage is None or not usage.cache_read:
        return format_tokens(usage)
    return f"{format_short(usage.input)}/{format_short(usage.output)} ({format_short(usage.cache_read)} cached)"


def format_input(tokens: int | None, cached: int | None) -> str:
    """Return tokens of requests, and how many of them came from the cache of the provider: `1.3k in (1.2k cached)`."""
    if not cached:
        return f"{format_count(tokens)} in"
    return f"{format_short(tokens)} in ({format_short(cached)} cached)"


def format_usage(usage: Usage | None) -> str:
    """Return all kinds of tokens that were reported: `48.2k in (47.0k cached, 300 written to the cache), 1.2k out (900
    reasoning)`; "" when none was."""
    if usage is None:
        return ""
    cached = ((usage.cache_read, "cached"), (usage.cache_write, "written to the cache"))
    sides = ((usage.input, "in", cached), (usage.output, "out", ((usage.reasoning, "reasoning"),)))
    texts = []
    for number, side, parts in sides:
        within = ", ".join(f"{format_short(part)} {name}" for part, name in parts if part)
        if number is not None or within:
            texts.append(f"{format_short(number)} {side}" + (f" ({within})" if within else ""))
    return ", ".join(texts)


def format_short(number: int | None) -> str:
    """Return a count with thousands from 1,000 on: `512`, `1.3k`, `4.1M`."""
    return f"{number / 1000:.1f}k" if number is not None and 1000 <= number < 10_000 else format_count(number)


def format_cost(cost_usd: float | None) -> str:
    """Return an amount of USD: `$0`, `$0.00042`, `$0.0125`, `$1.25`, `$1234`."""
    if cost_usd is None or not cost_usd < _TOO_LARGE:
        return UNKNOWN
    if cost_usd < 0.00995:
        return f"${cost_usd:.2g}" if cost_usd >= 0.0001 else f"${cost_usd:.7f}".rstrip("0").rstrip(".")
    return f"${cost_usd:.4f}" if cost_usd < 0.995 else f"${cost_usd:.2f}" if cost_usd < 999.5 else f"${cost_usd:.0f}"


def format_status(entry: Entry) -> str:
    """Return the client's status, and how an answer ended early: `200`, `429`, `left`, `200 broken`."""
    if entry.outcome == "cancelled":
        return "left" if entry.status is None else f"{entry.status} left"
    status = UNKNOWN if entry.status is None else str(entry.status)
    return f"{status} {entry.outcome}" if entry.outcome in ("broken", "incomplete") else status


def format_model(entry: Entry) -> str:
    """Return the requested model and, where it differs, the model that answered: `fast > gpt-4o-mini`."""
    requested, served = entry.model, entry.served_model
    if requested is None or served is None or requested == served:
        return sanitize(requested or served or UNKNOWN)
    return f"{sanitize(requested)} > {sanitize(served)}"


def format_short_model(entry: Entry) -> str:
    """Return the model as `format_model` does, but without the served one where that is only a version of it."""
    requested, served = entry.model, entry.served_model
    if requested and served and served.startswith(f"{requested}-"):
        return sanitize(requested)
    return format_model(entry)


def format_error(error: ErrorEntry) -> str:
    """Return code and message; the message alone when it is the provider's own."""
    return error.message if error.code == "provider_error" and error.message else f"{error.code}: {error.message}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
