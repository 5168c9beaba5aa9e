"""The command line as its users meet it: where settings come from, what is said, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import KEY
from tests.support.program import Program, clean_environment, run
from tests.support.provider import Upstream
from tests.support.waiting import PATIENCE_S

CHAT = "/v1/chat/completions"
ASK = {"model": "gpt-x", "messages": []}


def _file(upstream: Upstream, name: str) -> str:
    return f'providers: [{{name: my-{name}, type: openai, base_url: "{upstream.url}/{name}/v1", api_key: k}}]\n'


def _served_by(program: Program, upstream: Upstream) -> str:
    assert program.post(CHAT, ASK).status == 200
    return upstream.last.path.split("/")[1]


@pytest.mark.ledger("C1")
@pytest.mark.parametrize("arguments", [("serve",), ()], ids=["serve", "bare"])
def test_three_flags_are_a_configuration(tmp_path: Path, upstream: Upstream, arguments: tuple[str, ...]) -> None:
    flags = ("--base-url", f"{upstream.url}/v1", "--type", "openai", "--api-key", KEY)
    with Program(tmp_path, *arguments, *flags) as program:
        assert program.post(CHAT, ASK).status == 200
        assert KEY not in program.out + program.err
    assert upstream.only.value("authorization") == f"Bearer {KEY}"


@pytest.mark.ledger("C13")
def test_bare_llmproxy_is_serve(tmp_path: Path) -> None:
    with Program(tmp_path, "--log-level", "debug") as program:
        assert program.get("/health").status == 200


@pytest.mark.ledger("C2")
def test_the_configuration_is_found_in_its_order(tmp_path: Path, upstream: Upstream) -> None:
    for name in ("given", "variable", "llmproxy", "config"):
        (tmp_path / f"{name}.yaml").write_text(_file(upstream, name))
    extra = {"LLMPROXY_CONFIG": str(tmp_path / "variable.yaml")}
    with Program(tmp_path, "serve", "--config", "given.yaml", extra=extra) as program:
        assert _served_by(program, upstream) == "given"
    with Program(tmp_path, "serve", extra=extra) as program:
        assert _served_by(program, upstream) == "variable"
    with Program(tmp_path, "serve") as program:
        assert _served_by(program, upstream) == "llmproxy"
    (tmp_path / "llmproxy.yaml").unlink()
    with Program(tmp_path, "serve") as program:
        assert _served_by(program, upstream) == "config"
        assert "config.yaml" in program.out, "the banner names the file"


@pytest.mark.ledger("C2")
@pytest.mark.ledger("C9")
def test_without_a_file_the_keys_that_are_set_decide(tmp_path: Path, upstream: Upstream) -> None:
    extra = {
        "OPENAI_API_KEY": "sk-one",
        "OPENAI_BASE_URL": f"{upstream.url}/o/v1",
        "ANTHROPIC_API_KEY": "sk-two",
        "ANTHROPIC_BASE_URL": f"{upstream.url}/a",
    }
    with Program(tmp_path, "serve", extra=extra) as program:
        assert program.post(CHAT, {"model": "gpt-4o"}).status == 200
        assert program.post("/v1/messages", {"model": "claude-x"}).status == 200
        assert "OPENAI_API_KEY" in program.out and "ANTHROPIC_API_KEY" in program.out
        assert "sk-one" not in program.out and "sk-two" not in program.out
    first, second = upstream.requests
    assert (first.path, first.value("authorization")) == ("/o/v1/chat/completions", "Bearer sk-one")
    assert (second.path, second.value("x-api-key")) == ("/a/v1/messages", "sk-two")


@pytest.mark.ledger("C1")
def test_flags_win_over_environment_over_file(tmp_path: Path, upstream: Upstream) -> None:
    config = f'llm: {{base_url: "{upstream.url}/file/v1", type: openai, api_key: k}}\n'
    extra = {"LLM_BASE_URL": f"{upstream.url}/environment/v1"}
    with Program(tmp_path, "serve", config=config) as program:
        assert _served_by(program, upstream) == "file"
    with Program(tmp_path, "serve", config=config, extra=extra) as program:
        assert _served_by(program, upstream) == "environment"
    flag = ("--base-url", f"{upstream.url}/flag/v1")
    with Program(tmp_path, "serve", *flag, config=config, extra=extra) as program:
        assert _served_by(program, upstream) == "flag"


@pytest.mark.ledger("C7")
def test_variables_and_the_env_file_beside_the_configuration(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / ".env").write_text("FROM_FILE=\"sk file\"\nSET_TWICE=file\nQUOTED='sk-quoted'\n")
    config = f"""
providers:
  - {{name: a, type: openai, base_url: "{upstream.url}/${{WHERE:-fallback}}/v1", api_key: "${{QUOTED}}", models: [a]}}
  - {{name: b, type: openai, base_url: "{upstream.url}/b/v1", api_key: os.environ/SET_TWICE, models: [b]}}
"""
    with Program(tmp_path, "serve", config=config, extra={"SET_TWICE": "sk-real"}) as program:
        for model in ("a", "b"):
            assert program.post(CHAT, {"model": model}).status == 200
    first, second = upstream.requests
    assert (first.path, first.value("authorization")) == ("/fallback/v1/chat/completions", "Bearer sk-quoted")
    assert second.value("authorization") == "Bearer sk-real", "the real environment wins"


@pytest.mark.ledger("C7")
def test_all_missing_variables_are_named_at_once(tmp_path: Path) -> None:
    config = (
        "providers:\n  - {name: a, type: openai, api_key: '${ONE}'}\n  - {name: b, type: openai, api_key: '${TWO}'}\n"
    )
    (tmp_path / "c.yaml").write_text(config)
    for command in (("serve", "--config", "c.yaml"), ("validate-config", "c.yaml")):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 1
        assert "ONE" in done.stderr + done.stdout and "TWO" in done.stderr + done.stdout


@pytest.mark.ledger("C4")
@pytest.mark.ledger("C10")
def test_every_mistake_comes_at_once_with_its_place_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "server:\n  prot: 8080\n  max_body_size: 12parsecs\nproviders:\n  - name: x\n    type: opnai\n    api_key: k\n"
    )
    for command in (("serve", "--config", "c.yaml"), ("validate-config", "c.yaml"), ("--validate-config", "c.yaml")):
        done = run(*command, cwd=tmp_path)
        text = done.stdout + done.stderr
        assert done.returncode == 1 and "Traceback" not in text
        assert re.search(r"c\.yaml:2:\d+: server\.prot: .*port", text), text
        assert re.search(r"c\.yaml:3:\d+: server\.max_body_size: ", text), text
        assert re.search(r"c\.yaml:6:\d+: providers\[0\]\.type: .*openai", text), text


@pytest.mark.ledger("C4")
def test_validating_says_yes_and_takes_several_files(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "good.yaml").write_text("providers: [{name: a, type: openai, api_key: '${MISSING}'}]\n")
    (tmp_path / "bad.yaml").write_text("servr: {}\n")
    assert run("validate-config", "--no-env", "good.yaml", cwd=tmp_path).returncode == 0
    assert run("validate-config", "good.yaml", cwd=tmp_path).returncode == 1
    both = run("validate-config", "--no-env", "good.yaml", "bad.yaml", cwd=tmp_path)
    assert both.returncode == 1 and "bad.yaml:1:1" in both.stdout + both.stderr


@pytest.mark.ledger("C4")
@pytest.mark.parametrize("form", ["json", "github", "sarif"])
def test_mistakes_come_in_forms_for_machines(tmp_path: Path, form: str) -> None:
    (tmp_path / "bad.yaml").write_text("servr: {}\n")
    done = run("validate-config", "--format", form, "bad.yaml", cwd=tmp_path)
    assert done.returncode == 1
    if form == "github":
        assert re.match(r"::error file=bad\.yaml,line=1,col=1", done.stdout)
    else:
        assert "servr" in json.dumps(json.loads(done.stdout))


@pytest.mark.ledger("C3")
@pytest.mark.parametrize("preset", ["minimal", "full", "stub"])
def test_generated_files_validate_and_start(tmp_path: Path, preset: str) -> None:
    assert run("generate-config", "new.yaml", "--preset", preset, cwd=tmp_path).returncode == 0
    extra = {name: "sk-set" for name in re.findall(r"\$\{(\w+)[:}]", (tmp_path / "new.yaml").read_text())}
    checked = run("validate-config", "new.yaml", cwd=tmp_path, extra=extra)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with Program(tmp_path, "serve", "--config", "new.yaml", extra=extra) as program:
        assert program.get("/health").status == 200


@pytest.mark.ledger("C3")
def test_generating_overwrites_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    refused = run("generate-config", "mine.yaml", cwd=tmp_path)
    assert refused.returncode == 1 and (tmp_path / "mine.yaml").read_text() == "precious"
    assert run("generate-config", "mine.yaml", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "mine.yaml").read_text() != "precious"
    assert run("--generate-config", "second.yaml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "second.yaml").exists()


@pytest.mark.ledger("C10")
def test_the_schema_is_json_schema_and_the_generated_file_names_it(tmp_path: Path) -> None:
    schema = json.loads(run("schema", cwd=tmp_path).stdout)
    assert "json-schema.org/" in schema["$schema"] and "providers" in schema["properties"]
    run("generate-config", "new.yaml", cwd=tmp_path)
    assert "yaml-language-server: $schema=" in (tmp_path / "new.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--no-such-flag",), 2),
        (("serve", "--port", "seventy"), 2),
        (("nonsense",), 2),
        (("serve", "--config", "absent.yaml"), 1),
        (("serve", "--config", "."), 1),
        (("validate-config", "absent.yaml"), 1),
        (("serve", "--port", "99999"), 2),
        (("serve", "--base-url", "ftp://x", "--type", "openai"), 2),
        (("serve", "--base-url", "http://x/v1", "--type", "nobody"), 2),
    ],
)
def test_wrong_usage_is_2_and_a_wrong_setting_1_in_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert "Traceback" not in done.stderr and done.stderr.strip() and not done.stdout.strip()
    assert done.returncode == code
    if code == 1:
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, cwd=tmp_path)
    assert done.returncode == 1 and port in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("{}")
    (tmp_path / "c.yaml").chmod(0)
    done = run("serve", "--config", "c.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "c.yaml" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_the_banner_survives_a_console_that_is_not_utf_8(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "middleware.py").write_text(
        "from llmproxy.middleware.base import Middleware\n"
        "class Ünder(Middleware):\n    def on_end(self, exchange): ...\n"
    )
    config = 'middlewares: [{type: "./middleware.py:Ünder"}]\nproviders: [{name: s, type: stub}]\n'
    with Program(tmp_path, config=config, extra={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}) as program:
        assert program.get("/health").status == 200


@pytest.mark.ledger("C12")
def test_it_listens_on_loopback_and_warns_when_it_listens_wider(tmp_path: Path) -> None:
    keyed = {"OPENAI_API_KEY": "sk-x"}
    with Program(tmp_path, "serve", extra=keyed) as program:
        assert "127.0.0.1" in program.out
        assert "warning" not in (program.out + program.err).lower()
    with Program(tmp_path, "serve", "--host", "0.0.0.0", extra=keyed) as wide:
        assert "warning" in (wide.out + wide.err).lower()
    with Program(tmp_path, "serve", "--host", "0.0.0.0") as keyless:
        assert "warning" not in (keyless.out + keyless.err).lower()


def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Program(tmp_path, "serve", "--host", "::1") as program:
        assert f"http://[::1]:{program.port}" in program.out
        with socket.create_connection(("::1", program.port), timeout=PATIENCE_S) as client:
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


@pytest.mark.ledger("C14")
def test_from_python_an_app_runs(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "mine.yaml").write_text(_file(upstream, "python"))
    script = "import sys, llmproxy; sys.exit(llmproxy.create_app('mine.yaml').run('127.0.0.1', 0))"
    with Program.of([sys.executable, "-c", script], tmp_path) as program:
        assert _served_by(program, upstream) == "python"


@pytest.mark.ledger("D1")
def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("llmproxy.exe" if sys.platform == "win32" else "llmproxy")
    if not script.exists():
        pytest.skip("the package is not installed into this environment")
    done = subprocess.run(
        [script, "--version"], capture_output=True, text=True, check=True, env=clean_environment(Path.cwd())
    )
    assert re.search(r"\d+\.\d+", done.stdout)
