"""Says in plain words why bytes are not JSON, and where; the libraries that read JSON each have words of their own.

Only what has failed already is looked at here: it is slow. Begin reading at `explain_invalid_json`.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

# A string that has its end.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def explain_invalid_json(data: bytes) -> str:
    """Return why `data` is not valid JSON, as the end of a sentence."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not UTF-8"
    if text.startswith("\ufeff"):
        return "it begins with a byte order mark. Send it without"
    try:
        json.loads(text, parse_constant=_refuse, parse_int=str)
    except json.JSONDecodeError as error:
        at = error.pos
        if not text[at:].strip() or (text[at] == '"' and _STRING.match(text, at) is None):
            return "it ends too early" if text.strip() else "it is empty"
        return f"error in line {error.lineno}, column {error.colno}"
    except ValueError as error:
        return str(error)
    return "it contains half of a surrogate pair (\\ud800 to \\udfff). Send whole characters"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON. Send a number or null")
