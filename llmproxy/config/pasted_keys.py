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
# How other programs name a variable: {{X}}, {env:X}, env:X, env.X, env/X, $env:X, %X%, process.env.X.
_NAME = r"([A-Z][A-Z0-9_]*_[A-Z0-9_]+)"
_OTHER_FORMS = re.compile(
    rf"\{{\{{\s*(?:env\.)?{_NAME}\s*\}}\}}|\{{env:{_NAME}\}}|\$?(?:process\.)?env[:./]{_NAME}|%{_NAME}%|{_NAME}"
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
    ):
        if (meant := _meant_variable(node.value)) is not None:
            message, code = f"is sent as it is; for the value of the variable write ${{{meant}}}", "variable-syntax"
        elif looks_like_key(node.value):
            message = f"is a key in plain text; put it into a variable, and write ${{{_variable(name, holder)}}}"
            code = "pasted-key"
        else:
            return
        yield Problem(mark=node.mark, key=node.key, message=message, code=code, severity="warning")


def _meant_variable(text: str) -> str | None:
    """Return the variable that a value names in the form of another program."""
    match = _OTHER_FORMS.fullmatch(text.strip())
    return None if match is None else next(filter(None, match.groups()))


def _variable(name: str, holder: ConfigNode | None) -> str:
    """Return the usual variable for a key in `holder`, else one after its name there."""
    members = holder.members if holder is not None else {}
    type_, owner = (each.word if (each := members.get(key)) else None for key in ("type", "name"))
    service = service_of(type_ or "")
    if service is not None and service.key_env and name == "api_key":
        return service.key_env
    return re.sub(r"\W+", "_", "_".join(filter(None, (owner, name)))).upper()
