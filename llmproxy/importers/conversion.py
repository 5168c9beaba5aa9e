"""Turn the configuration file of another program into one of llmproxy, and check the outcome as `serve` would.

Begin reading at `import_file`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmproxy.config.document import ConfigNode, read
from llmproxy.config.json_schema import FILE_NAME
from llmproxy.config.load import load
from llmproxy.config.other_gateways import GATEWAYS, gateway_of
from llmproxy.config.problems import ConfigError, Mark, Problem
from llmproxy.config.schema import SECTIONS
from llmproxy.importers.claude_code_router import import_claude_code_router
from llmproxy.importers.draft import Draft, Finding, Grade, NewVariable, credential_message, instructions
from llmproxy.importers.litellm import import_litellm
from llmproxy.importers.older import import_dotenv, import_older, is_dotenv
from llmproxy.importers.portkey import import_portkey
from llmproxy.importers.yaml_text import comment, write_yaml

OLDER = "older"
_OLDER_SECTIONS = frozenset(("general_settings", "model_groups", "interceptors", "session", "cache"))
_IMPORTERS: Mapping[str, Callable[[ConfigNode], Draft]] = {
    "litellm": import_litellm,
    "claude-code-router": import_claude_code_router,
    "portkey": import_portkey,
}
SOURCES: tuple[str, ...] = (*_IMPORTERS, OLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The outcome of an import: `title` is the program whose configuration it was, `text` the new file, `variables`
    those to set to credentials that stood in plain text."""

    title: str
    text: str
    findings: Sequence[Finding]
    variables: Sequence[NewVariable]

    @property
    def complete(self) -> bool:
        """Return whether every line was carried over, exactly or approximately."""
        return all(each.grade in (Grade.exact, Grade.approximate) for each in self.findings)


def import_file(path: Path, display_name: str, source: str | None = None) -> Conversion:
    """Convert the file at `path`, which messages call `display_name`, from one of SOURCES, by default the one that it
    is recognised as.

    Raises ConfigError where the file cannot be read, is not recognised, or has no valid counterpart.
    """
    if source in (None, OLDER) and is_dotenv(path) and path.is_file():
        return _finished("older variables", display_name, import_dotenv(path, display_name))
    top, problems = read(path, display_name)
    if top is None or problems:
        raise ConfigError(problems)
    source = source or _recognised(top, display_name)
    if source == OLDER:
        return _finished("older settings", display_name, import_older(top, path))
    title = next(each.title for each in GATEWAYS if each.name == source)
    return _finished(title, display_name, _IMPORTERS[source](top))


def _recognised(top: ConfigNode, display_name: str) -> str:
    if (gateway := gateway_of(top)) is not None:
        return gateway.name
    if top.members.keys() & {*SECTIONS, *_OLDER_SECTIONS}:
        return OLDER
    message = f"is not recognised as the configuration of another program; name it with --from: {', '.join(SOURCES)}"
    raise ConfigError([Problem(mark=Mark(source=display_name), message=message, code="unknown-source")])


def _finished(title: str, display_name: str, draft: Draft) -> Conversion:
    findings = draft.findings()
    if not draft.config:
        message = f"has nothing of {title} that llmproxy has a setting for"
        raise ConfigError([Problem(mark=Mark(source=display_name), message=message, code="nothing-to-import")])
    config = {name: draft.config[name] for name in SECTIONS if name in draft.config}
    text = _head(title, display_name, draft.variables, findings) + write_yaml(config, draft.comments)
    if mistakes := [_of_source(each, display_name) for each in _mistakes(text)]:
        raise ConfigError(mistakes)
    return Conversion(title=title, text=text, findings=findings, variables=draft.variables)


def _head(title: str, display_name: str, variables: Sequence[NewVariable], findings: Sequence[Finding]) -> str:
    """Return the comments at the top: where the file comes from, and what is left to do."""
    lines = [f"# yaml-language-server: $schema=./{FILE_NAME}", *comment(f"Imported from {display_name} ({title}).")]
    for each in instructions(variables, " of that file"):
        lines += comment(f"{each}.")
    messages = {credential_message(variable) for variable in variables}
    left = [
        each for each in findings if each.grade in (Grade.by_hand, Grade.unsupported) and each.message not in messages
    ]
    if left:
        lines += ["#", "# Lines of that file that are not here, or need a hand:"]
        lines += [line for each in left for line in comment(f"{each.line}: {each.key}: {each.grade}: {each.message}")]
    return "".join(f"{line}\n" for line in lines)


def _of_source(mistake: Problem, display_name: str) -> Problem:
    """Return a mistake in the new file, which nobody has, as one of the source."""
    message = f"is not imported, as what it becomes has a mistake: {mistake.key}: {mistake.message}"
    return Problem(mark=Mark(source=display_name), message=message, code=mistake.code)


def _mistakes(text: str) -> list[Problem]:
    """Return what `validate-config --no-env` finds wrong with the new file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "llmproxy.yaml")
        file.write_text(text, encoding="utf-8", newline="\n")
        problems = load("llmproxy.yaml", directory=Path(folder), no_env=True).problems
    return [each for each in problems if each.severity == "error"]
