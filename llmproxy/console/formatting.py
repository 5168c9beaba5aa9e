"""How values look on a console: durations, tokens, sizes, and text that others wrote.

Used by the printer and by the commands that read traces, so that one thing looks the same everywhere. Plain strings;
colours are the caller's business.
"""

from __future__ import annotations

import re

from llmproxy.dialects.model import Usage
from llmproxy.records.entry import Entry

UNKNOWN = "-"

# Control characters move cursors and change colours; bidirectional overrides (Unicode, "Trojan Source") reorder text;
# tags and a byte-order mark are not seen at all. Joiners stay: emoji and several scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSAFE_IN_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def sanitize(text: str, limit: int | None = None) -> str:
    """`text` on one line, harmless on a terminal; what is longer than `limit` ends in an ellipsis."""
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)


def sanitize_lines(text: str) -> str:
    """The same for text of several lines: newlines and tabs stay."""
    return _UNSAFE_IN_LINES.sub(_escape, text.replace("\r\n", "\n"))


def format_provider(entry: Entry) -> str:
    """Who answered."""
    return entry.provider or ("cache" if entry.cache == "hit" else UNKNOWN)


def format_duration(milliseconds: float | None) -> str:
    """`0.4ms`, `35ms`, `1.25s`, `2m05s`, `1h02m`."""
    if milliseconds is None:
        return UNKNOWN
    # The bounds stand where rounding goes on to the next form: 999.6 ms are 1.00s, and no 1000ms.
    if milliseconds < 9.95:
        return f"{milliseconds:.1f}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 59.995:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def format_count(number: int | None) -> str:
    """`512`, `12.3k`, `4.1M`."""
    if number is None:
        return UNKNOWN
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def format_tokens(usage: Usage | None) -> str:
    """`in/out`, as in `1200/85`; `-` for what nobody said."""
    if usage is None or (usage.input is None and usage.output is None):
        return UNKNOWN
    return f"{format_count(usage.input)}/{format_count(usage.output)}"


def format_status(entry: Entry) -> str:
    """The status that the client got, or what happened instead: `200`, `429`, `left`, `200 broken`."""
    if entry.outcome == "cancelled":
        return "left" if entry.status is None else f"{entry.status} left"
    shown = UNKNOWN if entry.status is None else str(entry.status)
    return f"{shown} {entry.outcome}" if entry.outcome in ("broken", "incomplete") else shown


def format_model(entry: Entry) -> str:
    """The model that was asked for and, where it is another one, the model that answered: `fast > gpt-4o-mini`."""
    asked, served = entry.model, entry.served_model
    if asked is None or served is None or asked == served:
        return sanitize(asked or served or UNKNOWN)
    return f"{sanitize(asked)} > {sanitize(served)}"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
