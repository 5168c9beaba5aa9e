"""What Gemini's models accept beyond each other, by their names.

Sources: ai.google.dev/gemini-api/docs/thinking (levels, budgets, which models cannot stop thinking),
.../thought-signatures (from Gemini 3 on), .../function-calling (media in responses from Gemini 3 on). A name that tells
nothing counts as the newest kind. Begin reading at `family_of`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from llmproxy.dialects.model import Effort


class Family(NamedTuple):
    """What some models accept.

    `levels` are the efforts by which they think; `budgets` the smallest and the largest thinking budget of those that
    have no levels, `stops` says whether these take 0. Without either they do not think. `signs`: a call must come back
    with its signature. `media_results`: media can stand in the response of a function.
    """

    levels: tuple[Effort, ...] = ()
    budgets: tuple[int, int] | None = None
    stops: bool = True
    signs: bool = False
    media_results: bool = False


_TO_HIGH: tuple[Effort, ...] = ("minimal", "low", "medium", "high")
_NEWEST = Family(levels=_TO_HIGH, signs=True, media_results=True)
_OLDEST = Family()
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"gemini-2\.5-pro|gemini-pro-latest", Family(budgets=(128, 32768), stops=False)),
    (r"gemini-2\.5-flash-lite", Family(budgets=(512, 24576))),
    (r"gemini-2\.5-flash|robotics-er-1\.5", Family(budgets=(1, 24576))),
    (r"gemini-(?:1|2\.0|exp|pro$|ultra)|gemma|learnlm|palm", _OLDEST),
    (r"gemini-3-pro", _NEWEST._replace(levels=("low", "high"))),
    (r"gemini-3\.\d+-pro", _NEWEST._replace(levels=("low", "medium", "high"))),
    (r"gemini-3", _NEWEST),
)


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """Return what a model accepts."""
    lower = model.lower()
    return next((family for pattern, family in _FAMILIES if re.search(pattern, lower)), _NEWEST)


def is_gemini(model: str) -> bool:
    """Say whether a name is that of one of Google's models, with or without the path before it."""
    return model.rpartition("/")[2].lower().startswith(("gemini", "gemma"))
