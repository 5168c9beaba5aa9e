from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmproxy.cli.serve import describe_start_error
from tests.support.program import Program, clean_environment, run
from tests.support.raw_http import RawClient
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EADDRINUSE, "x"), "port 80 of my-host is in use; choose another one with --port"),
        (OSError(10048, "x"), "port 80 of my-host is in use; choose another one with --port"),
        (
            PermissionError(errno.EACCES, "x"),
            "no permission to listen on port 80 of my-host; ports below 1024 need special rights, "
            "choose another one with --port",
        ),
        (
            OSError(errno.EADDRNOTAVAIL, "x"),
            "my-host is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its addresses",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            "unknown host 'my-host'; use 127.0.0.1 for this machine, 0.0.0.0 for all its addresses",
        ),
        (ValueError("something else"), "something else"),
    ],
)
def test_why_it_cannot_listen_is_reported_in_one_line(error: Exception, message: str) -> None:
    assert describe_start_error(error, "my-host", 80) == message


_UNUSED = (
    *("aiohttp.web", "boto3", "botocore", "cryptography", "genai_prices", "google.auth", "httpx", "jsonschema", "jwt"),
    *("opentelemetry", "prometheus_client", "redis", "requests", "rich", "sqlite3", "truststore", "unittest"),
    *("llmproxy.importers", "llmproxy.middleware.trace", "llmproxy.providers.bedrock", "llmproxy.providers.vertex"),
    *("llmproxy.stores.disk", "llmproxy.stores.redis", "llmproxy.telemetry.otlp"),
)


def test_serving_one_provider_loads_nothing_of_other_features(tmp_path: Path) -> None:
    """What is imported, or read, before it is needed costs every start its time and its memory."""
    script = (
        "import os, sys\n"
        "from llmproxy.cli import main, serve\n"
        "def listens(text):\n"
        "    from aiohttp import connector\n"
        f"    loaded = [name for name in {_UNUSED} if name in sys.modules]\n"
        "    loaded += ['certificates'] if connector._SSL_CONTEXT_VERIFIED.get_ca_certs() else []\n"
        "    print(type(connector._SSL_CONTEXT_VERIFIED).__name__, loaded, flush=True)\n"
        "    os._exit(0)\n"
        "serve._announce = listens\n"
        "main(['--base-url', 'http://127.0.0.1:9', '--type', 'openai', '--port', '0'])\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=clean_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("DeferredCertificates []\n", "")


def test_a_port_in_use_ends_with_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"llmproxy: port {port} of 127.0.0.1 is in use; choose another one with --port\n"


def test_a_port_of_a_running_server_names_that_server(tmp_path: Path) -> None:
    with Program(tmp_path) as running:
        done = run("serve", "--port", str(urlsplit(running.url).port), cwd=tmp_path)
        assert done.stderr.endswith(f"it belongs to your running llmproxy, process {running.pid} (no file)\n")


def test_a_host_that_is_not_there_ends_with_1(tmp_path: Path) -> None:
    done = run("serve", "--host", "192.0.2.1", "--port", "0", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("llmproxy: 192.0.2.1 is not an address of this machine")


def test_a_mistake_in_the_file_ends_with_1_and_one_in_a_flag_with_2(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("server: {prt: 1}\nllm: {type: stub}\n")
    in_file = run("--config", "x.yaml", cwd=tmp_path)
    assert (in_file.returncode, in_file.stdout) == (1, "")
    assert in_file.stderr == "x.yaml:1:10: server.prt: unknown key; did you mean 'port'?\n"
    in_flag = run("--type", "opnai", cwd=tmp_path)
    assert (in_flag.returncode, in_flag.stdout) == (2, "")
    assert in_flag.stderr == "--type: unknown provider type: 'opnai'; did you mean 'openai'?\n"
    in_both = run("--config", "x.yaml", "--type", "opnai", cwd=tmp_path)
    assert (in_both.returncode, in_both.stderr.count("\n")) == (1, 2)


def test_a_file_that_cannot_be_read_ends_with_1(tmp_path: Path) -> None:
    assert run("--config", "nowhere.yaml", cwd=tmp_path).stderr == "nowhere.yaml: file not found\n"
    done = run("--config", ".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, ".: is a directory, not a file\n")


def test_the_banner_is_printed_once_it_listens(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        assert program.get("/health").status == 200
    assert f"listens on http://127.0.0.1:{program.port}\n" in program.out
    assert f"  Try: curl http://127.0.0.1:{program.port}/responses -d " in program.out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("redirection", ["1>&-", "0<&- 1>&- 2>&-", "| true", "1>/dev/full"])
def test_it_serves_whatever_became_of_its_console(tmp_path: Path, redirection: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"{sys.executable} -m llmproxy --port {port} {redirection}"
    with subprocess.Popen(
        ["sh", "-c", command], env=clean_environment(tmp_path), cwd=tmp_path, process_group=0
    ) as shell:
        try:
            until(lambda: answers(port) or shell.poll() not in (None, 0), "an answer")
            assert answers(port)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)


def answers(port: int) -> bool:
    """Return whether the health page of a proxy is there."""
    try:
        with RawClient(("127.0.0.1", port)) as client:
            client.request("GET", "/health", "Connection: close")
            return client.read_answer().status == 200
    except OSError:
        return False


def test_the_level_decides_what_is_logged(tmp_path: Path) -> None:
    with Program(tmp_path, "--log-level", "info") as program:
        pass
    assert " INFO llmproxy.app: stopping" in program.err
    with Program(tmp_path, "--log-level", "error") as program:
        pass
    assert program.err == ""


def test_variables_of_dotenv_are_there_for_code_of_users(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GREETING=hello\nHOME=elsewhere\n")
    (tmp_path / "greet.py").write_text("""
import os
from llmproxy.middleware.base import Middleware

class Greet(Middleware):
    async def on_response(self, exchange, answer):
        answer.headers["x-greeting"] = os.environ["GREETING"] + " " + str(os.environ["HOME"] == "elsewhere")
""")
    config = "providers: [{name: stub, type: stub}]\nmiddlewares: [{type: './greet.py:Greet'}]\n"
    with Program(tmp_path, config=config) as program:
        answer = program.post("/v1/chat/completions", {"model": "stub/x", "messages": []})
    assert answer.value("x-greeting") == "hello False"


@pytest.mark.ledger("C12")
def test_a_key_that_everybody_may_use_is_reported_at_the_start(tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--type", "openai", "--api-key", "sk-1")
    with Program(tmp_path, *arguments) as program:
        pass
    assert "--host: warning: everybody who can reach 0.0.0.0 can use the key of provider 'llm'" in program.err
    assert "sk-1" not in program.out + program.err
