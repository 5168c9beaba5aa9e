from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import run
from tests.support.provider import Reply, Upstream


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=401, pieces=[b"{}"]), "needs a client key; pass one with --key"),
        (Reply(pieces=[b'{"data": []}']), "lists no models (status 200); name one with --model"),
        (Reply(status=500, pieces=[b"x"]), "lists no models (status 500)"),
    ],
)
def test_without_a_model_nothing_is_checked(tmp_path: Path, reply: Reply, reason: str) -> None:
    with Upstream(reply) as upstream:
        done = run("check-live", "--url", upstream.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and reason in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(("--url", "http://127.0.0.1:1"), 1), ((), 1), (("--key", "ü"), 2)])
def test_what_cannot_be_asked_ends_with_one_line(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    done = run("check-live", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "") and "Traceback" not in done.stderr
