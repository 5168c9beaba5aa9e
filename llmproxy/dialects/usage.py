"""Count the tokens of an answer and what else decides its price, in no vendor's words.

Each dialect has a `usage.py` of its own that reads and writes them; metrics, records and prices know
these values alone.
"""

from __future__ import annotations

import msgspec


class UsageDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The counts of an answer, beside its tokens, that decide its price; None where the provider did not send them.

    `tier` is the service tier that was used, such as `flex`, `priority`, `batch` or `fast`, None for the standard one.
    `cache_write_1h` is the part of `Usage.cache_write` that is kept for an hour. `input_audio` and the like are parts
    of `Usage.input` and `Usage.output`, `cache_read_audio` and the like parts of `Usage.cache_read`. `cost_usd` is the
    price where the provider sends that itself.
    """

    tier: str | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    cache_read_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    cache_read_image: int | None = None
    input_video: int | None = None
    output_video: int | None = None
    web_search: int | None = None
    file_search: int | None = None
    cost_usd: float | None = None


# A Usage is made for every answer: as a msgspec struct in 0.14 µs, as a dataclass in 0.6 to 0.9 µs.
class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens as the provider counted them; None where it did not send them, never a guess.

    `input` includes `cache_read` and `cache_write`; `output` includes `reasoning`. Most answers have no `details`.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    details: UsageDetails | msgspec.UnsetType = msgspec.UNSET
