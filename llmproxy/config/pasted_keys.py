"""Warn about keys of vendors that stand in a configuration in plain text. The key itself is never repeated.

Such a key ends up in version control, backups and screenshots; a variable does not. Begin reading at
`check_pasted_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmproxy.config.document import ConfigNode
from llmproxy.config.problems import Problem
from llmproxy.config.provider_types import service_of
from llmproxy.redaction.names import is_secret

# How keys of services begin, from their documentation, with as many characters as no placeholder has.
_KEY = re.compile(
    r"(?:sk-|AIza|gsk_|xai-|pplx-|csk-|fw_|hf_|r8_|nvapi-|tgp_v1_|ABSK)[A-Za-z0-9_+/=-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
)


def looks_like_key(text: str) -> bool:
    """Return whether `text` has the form of a key of a service."""
    return _KEY.fullmatch(text.strip()) is not None


def check_pasted_keys(top: ConfigNode) -> list[Problem]:
    """Return a warning for each key in plain text in the file. Flags and variables are left alone."""
    return [*_below(top, "", None)]


def _below(node: ConfigNode, name: str, holder: ConfigNode | None) -> Iterator[Problem]:
    for key, member in node.members.items():
        yield from _below(member, key, node)
    for item in node.items:
        yield from _below(item, name, holder)
    if (
        isinstance(node.value, str)
        and node.mark.line is not None
        and not (node.variables or node.stand_in or node.literal)
        and is_secret(name)
        and looks_like_key(node.value)
    ):
        message = f"is a key in plain text; put it into a variable, and write ${{{_variable(name, holder)}}}"
        yield Problem(mark=node.mark, key=node.key, message=message, code="pasted-key", severity="warning")


def _variable(name: str, holder: ConfigNode | None) -> str:
    """Return the usual variable for a key in `holder`, else one after its name there."""
    members = holder.members if holder is not None else {}
    type_, owner = (each.word if (each := members.get(key)) else None for key in ("type", "name"))
    service = service_of(type_ or "")
    if service is not None and service.key_env and name == "api_key":
        return service.key_env
    return re.sub(r"\W+", "_", "_".join(filter(None, (owner, name)))).upper()
