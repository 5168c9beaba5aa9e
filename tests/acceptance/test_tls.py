"""The program with TLS: new certificates while it runs, and clients that their certificates name."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator

import pytest

from tests.support.certificate_authority import CertificateAuthority
from tests.support.program import Program, run
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def program(authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    certificate, key = authority.issue("first", file="server")
    config = f"""
server:
  admin_key: an-admin-key
  tls: {{certificate: "{certificate}", key: "{key}", client_ca: "{authority.ca}"}}
auth:
  keys:
    - {{name: box, subject: "O=Acme,CN=box", models: [box-*]}}
    - {{name: ci, key: key-of-ci}}
providers: [{{name: stub, type: stub, models: ["*"]}}]
"""
    with Program(tmp_path_factory.mktemp("tls"), "serve", config=config) as program:
        yield program


def connect(program: Program, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", program.port, context=context, timeout=PATIENCE_S)


def ask(connection: http.client.HTTPSConnection, model: str = "box-1", **headers: str) -> int:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}]})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def certificate_of(connection: http.client.HTTPSConnection) -> str:
    assert isinstance(connection.sock, ssl.SSLSocket)
    subject = (connection.sock.getpeercert() or {})["subject"]
    return str(subject[-1][0][1])


@pytest.mark.ledger("A1")
def test_a_certificate_names_its_client(program: Program, authority: CertificateAuthority) -> None:
    assert "listens on https://" in program.out and "client certificates" in program.out
    box, other = authority.client(authority.issue("box", "Acme")), authority.client(authority.issue("other"))
    connection = connect(program, box)
    assert [ask(connection), ask(connection, "gpt-x")] == [200, 403]
    assert ask(connection, Origin="https://evil.example") == 403
    assert ask(connection, "gpt-x", **{"x-api-key": "key-of-ci"}) == 200
    connection.close()
    connection = connect(program, other)
    assert ask(connection) == 401
    assert ask(connection, **{"x-api-key": "key-of-ci"}) == 200
    connection.close()


def test_without_a_certificate_nobody_comes_in(program: Program, authority: CertificateAuthority) -> None:
    connection = connect(program, authority.client())
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask(connection)
    connection.close()


def test_a_new_certificate_is_used_without_dropping_connections(
    program: Program, authority: CertificateAuthority
) -> None:
    context = authority.client(authority.issue("box", "Acme"))
    old = connect(program, context)
    assert ask(old) == 200
    authority.issue("second", file="server")

    def newest() -> str:
        connection = connect(program, context)
        assert ask(connection) == 200
        name = certificate_of(connection)
        connection.close()
        return name

    until(lambda: newest() == "second", "the new certificate")
    assert certificate_of(old) == "first" and ask(old) == 200
    old.close()


def test_a_mistake_in_the_files_is_reported_with_its_place(
    authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("mistake")
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    tls = f'{{certificate: "{certificate}", key: "{key}"}}'
    (home / "x.yaml").write_text(f"server:\n  tls: {tls}\nproviders: [{{name: stub, type: stub}}]\n")
    checked = run("validate-config", "x.yaml", cwd=home)
    assert checked.returncode == 1
    assert "x.yaml:2:8: server.tls: the key in" in checked.stderr
