"""Ten kinds of secret, sent in every place, are found nowhere: files, console, own pages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.acceptance.test_traces import AUTHORIZATIONS, BODY, HEADERS, KEY, QUERY, SENT, seen, spelled
from tests.support import vendors
from tests.support.program import Program
from tests.support.provider import Reply, Upstream
from tests.support.proxy import CHAT
from tests.support.waiting import until

PAGES = ("/config", "/metrics", "/metrics/json", "/stats?by=client,session", "/health", "/providers", "/v1/models")


@pytest.mark.ledger("M2")
@pytest.mark.ledger("M3")
@pytest.mark.ledger("M4")
@pytest.mark.ledger("H7")
@pytest.mark.parametrize("log_body", [False, True])
def test_no_secret_is_in_traces_audit_console_or_pages(tmp_path: Path, upstream: Upstream, log_body: bool) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, base_url: "{upstream.url}/v1", api_key: {KEY}, models: ["*"]}}
middlewares:
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: printer, config: {{log_body: {str(log_body).lower()}, log_arrivals: true}}}}
  - {{type: audit, config: {{path: audit.jsonl}}}}
"""
    asked = 0
    everything = dict(SENT)
    with Program(tmp_path, "serve", config=config) as program, program.client() as client:
        for authorization, more in AUTHORIZATIONS.items():
            everything |= more
            echo = " | ".join(spelled(SENT | more))
            refusal = json.dumps({"error": {"message": echo, "type": "x"}}).encode()
            upstream.next(
                Reply(status=401, reason="Unauthorized", headers=vendors.JSON, pieces=[refusal]),
                vendors.streamed([b"data: " + refusal + b"\n\n", b"data: [DONE]\n\n"]),
            )
            said = {**BODY, "messages": [{"role": "user", "content": echo}]}
            for status in (401, 200):
                client.post(CHAT + QUERY, said, f"Authorization: {authorization}", *HEADERS, f"x-session-id: s{asked}")
                assert client.read_answer().status == status
                asked += 1
        audit = tmp_path / "audit.jsonl"
        until(lambda: audit.exists() and len(audit.read_text().splitlines()) == asked, "every line of the audit")
        until(lambda: len(list((tmp_path / "traces").glob("*/*.json"))) == asked, "every trace")
        until(lambda: program.out.count("401") >= asked // 2, "every line of the printer")
        texts = [program.get(page).body.decode() for page in PAGES]
    texts += [path.read_text(encoding="utf-8") for path in (tmp_path / "traces").glob("*/*.json")]
    texts += [audit.read_text(encoding="utf-8"), program.out, program.err]
    assert seen(everything, [text.replace("\\/", "/") for text in texts]) == []


OURS = "sk-ours-Zq7+w/9=xK2222"
LINK = (
    "https://user:pa55word@h.example/x?X-Amz-Signature=abcdef0123456789&sig=SIGSIGSIG%2Bx&token=TOKTOKTOK"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F2026&n=1"
)
IN_LINK = ("pa55word", "abcdef0123456789", "SIGSIGSIG", "TOKTOKTOK", "AKIAIOSFODNN7EXAMPLE")
ECHO = f"refused {OURS}, see {LINK}"
TEXT = (("Content-Type", "text/plain"),)
GZIP = (("Content-Encoding", "gzip"),)
EVENTS = (("Content-Type", "text/event-stream"),)


def _json(**members: object) -> list[bytes]:
    return [json.dumps(members).encode()]


def _chat(model: str = "m", text: str = "hi", reason: str = "stop") -> list[bytes]:
    message = {"role": "assistant", "content": text}
    return _json(id="x", model=model, choices=[{"index": 0, "message": message, "finish_reason": reason}])


# What a provider repeats; and whether the client may see it: only in answers that are no errors, byte for byte.
ECHOES: dict[str, tuple[Reply, bool]] = {
    "error": (Reply(status=401, pieces=_json(error={"message": ECHO, "type": ECHO, "code": ECHO})), False),
    "text": (Reply(status=500, headers=TEXT, pieces=[ECHO.encode()]), False),
    "page": (Reply(status=502, headers=TEXT, pieces=[f"<html><body>{ECHO}".encode()]), False),
    "long": (Reply(status=502, headers=TEXT, pieces=["".join(f"{n} {ECHO}" for n in range(9)).encode()]), False),
    "compressed": (
        Reply(status=401, headers=(("Content-Encoding", "gzip"),), pieces=[gzip.compress(ECHO.encode())]),
        False,
    ),
    "header": (Reply(status=401, headers=(("X-Echo", ECHO), ("WWW-Authenticate", f"Bearer {OURS}"))), False),
    "redirect": (
        Reply(status=302, headers=(("Location", f"https://u:pa55word@other.example/{OURS}?sig=SIGSIGSIG"),)),
        False,
    ),
    "reason": (Reply(status=401, reason=ECHO), False),
    "broken head": (Reply(before=f"HTTP/1.1 200 OK\r\nX-Echo : {ECHO}\r\n\r\n".encode(), end="close"), False),
    "broken status": (Reply(before=f"HTTQ {ECHO}\r\n\r\n".encode(), end="close"), False),
    "fine header": (Reply(headers=(("X-Echo", OURS), ("Content-Type", "application/json")), pieces=_chat()), False),
    "content": (Reply(pieces=_chat(text=ECHO)), True),
    "model": (Reply(pieces=_chat(model=ECHO)), True),
    "reason of finish": (Reply(pieces=_chat(reason=ECHO)), True),
    "broken JSON": (Reply(pieces=[f'{{"choices": "{ECHO}"'.encode()]), True),
    "error of status 200": (Reply(pieces=_json(error={"message": ECHO, "code": ECHO})), True),
    "stream": (Reply(headers=EVENTS, pieces=[b"data: ", *_json(error={"message": ECHO}), b"\n\n"]), True),
    "broken stream": (Reply(headers=EVENTS, pieces=[f'data: {{"choices": "{ECHO}"\n\n'.encode()]), True),
}


def test_a_provider_that_repeats_our_key_or_a_signed_url_shows_it_nowhere(tmp_path: Path, upstream: Upstream) -> None:
    config = f"""
providers:
  - {{name: main, type: openai, dialects: [chat], base_url: "{upstream.url}/v1", api_key: "{OURS}", models: ["*"]}}
logging: {{level: debug}}
middlewares:
  - {{type: sessions}}
  - {{type: trace, config: {{directory: traces}}}}
  - {{type: printer, config: {{log_body: true}}}}
  - {{type: audit, config: {{path: audit.jsonl}}}}
"""
    asked = 0
    shown = []
    with Program(tmp_path, "serve", config=config) as program:
        for name, (reply, relayed) in ECHOES.items():
            for path in (CHAT, "/v1/messages"):
                upstream.next(reply)
                body = {"model": "gpt-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
                with program.client() as client:
                    client.post(path, body)
                    answer = client.read_answer()
                asked += 1
                text = f"{answer.headers}{answer.reason}{answer.body.decode()}"
                ours = name.startswith(("broken", "redirect")) and (path != CHAT or not relayed)
                if (OURS in text and not relayed) or (ours and any(secret in text for secret in IN_LINK)):
                    shown.append((name, path, text))
        audit = tmp_path / "audit.jsonl"
        until(lambda: audit.exists() and len(audit.read_text().splitlines()) == asked, "every line of the audit")
        until(lambda: len(list((tmp_path / "traces").glob("*/*.json"))) == asked, "every trace")
        texts = [program.get(page).body.decode() for page in (*PAGES, "/sessions")]
    texts += [path.read_text(encoding="utf-8") for path in (tmp_path / "traces").glob("*/*.json")]
    texts += [audit.read_text(encoding="utf-8"), program.out, program.err]
    assert shown == []
    assert seen({each: each for each in (OURS, *IN_LINK)}, [text.replace("\\/", "/") for text in texts]) == []
    assert "n=1" in program.out + "".join(texts), "what is no secret stays"


def test_the_body_of_an_answer_that_is_no_error_is_relayed_byte_for_byte(relay: Program, upstream: Upstream) -> None:
    """Somebody who lets a model edit a file with this key in it gets the file back."""
    key = "sk-up-5e7c"
    [body] = _chat(text=f"key = {key}")
    upstream.next(Reply(pieces=[body]))
    assert relay.post(CHAT, {"model": "gpt-x", "messages": []}).body == body
