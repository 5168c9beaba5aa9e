"""What the section `auth` may not say. More cases are golden files: auth-mistakes.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmproxy.config.load import load

STUB = "providers: [{name: stub, type: stub}]\n"


def problems(tmp_path: Path, auth: str) -> list[str]:
    (tmp_path / "llmproxy.yaml").write_text(f"auth: {auth}\n{STUB}")
    return [each.message for each in load(directory=tmp_path, environ={"K": "a-long-key"}).problems]


def test_a_client_may_have_two_keys_while_it_changes_to_the_new_one(tmp_path: Path) -> None:
    old = "{name: a, key: old-key-of-a, expires: 2030-01-01}"
    assert problems(tmp_path, f"{{keys: [{old}, {{name: a, key: new-key-of-a}}]}}") == []


@pytest.mark.parametrize("proof", ["key: ${K}", "subject: ci", "id: abc, key: other-key-{}"])
def test_two_clients_cannot_have_the_same(tmp_path: Path, proof: str) -> None:
    entries = ", ".join(f"{{name: n{n}, {proof.replace('{}', str(n))}}}".replace("${K}", '"${K}"') for n in (1, 2))
    found = problems(tmp_path, f"{{keys: [{entries}]}}")
    assert len(found) == 1
    assert found[0].startswith("is the same as that of auth.keys[0] (n1)")


@pytest.mark.parametrize(
    "auth",
    [
        '{jwt: {secret: "%s", providers: [stob]}}' % ("s" * 32),
        "{keys: [{name: a, key: a-long-key, providers: [stob]}]}",
    ],
)
def test_providers_must_exist(tmp_path: Path, auth: str) -> None:
    assert problems(tmp_path, auth) == ["unknown provider: 'stob'; did you mean 'stub'?"]


@pytest.mark.parametrize("auth", ["{keys: []}", "{keys: }"])
def test_a_list_without_keys_does_not_open_the_proxy_to_everybody(tmp_path: Path, auth: str) -> None:
    assert [each.partition(",")[0] for each in problems(tmp_path, auth)] == ["is empty"]
    assert problems(tmp_path, "{mode: none, keys: []}") == problems(tmp_path, "") == []
