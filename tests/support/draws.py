"""How much a test draws: a quarter in the suite, which has to be over in minutes, and all of it with `--long`."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

LONG_PROFILE = "llmproxy-long"


def draws(count: int, **others: Any) -> settings:
    """Return the settings of a test that draws `count` examples in a long run; `others` are hypothesis's own."""
    long = settings.get_current_profile_name() == LONG_PROFILE
    return settings(max_examples=count if long else max(count // 4, 15), **others)
