"""`llmproxy env`: SDKs with nothing but its variables reach a running proxy; shells set what it prints."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anthropic
import boto3
import openai
import pytest
from google import genai

from llmproxy.cli.env import Shell, assignment
from tests.support.program import Program, run

KEY = "client-key-1"
STUB = 'providers: [{name: stub, type: stub, models: ["*"]}]\n'
AUTH = f"auth: {{keys: [{{name: anna, key: {KEY}}}]}}\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("guarded"), "serve", config=STUB + AUTH) as program:
        yield program


def variables_of(output: str) -> dict[str, str]:
    """Return what a POSIX shell has in its environment after it evaluated `output`."""
    command = ["sh", "-c", 'eval "$1"; env -0', "sh", output]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    pairs = dict(line.partition("=")[::2] for line in done.stdout.split("\0") if line)
    return {name: value for name, value in pairs.items() if name not in ("PATH", "PWD", "SHLVL", "_", "OLDPWD")}


def _ask_openai() -> str:
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    return answer.choices[0].message.content or ""


def _ask_anthropic() -> str:
    content = [{"role": "user", "content": "Hi"}]
    with anthropic.Anthropic() as client:
        answer = client.messages.create(model="m", max_tokens=9, messages=content)  # type: ignore[arg-type]  # the SDK names a class
    return str(getattr(answer.content[0], "text", ""))


def _ask_gemini() -> str:
    with genai.Client() as client:
        return client.models.generate_content(model="m", contents="Hi").text or ""


def _ask_bedrock() -> str:
    with contextlib.closing(boto3.session.Session().client("bedrock-runtime")) as client:
        answer = client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hi"}]}])
    return str(answer["output"]["message"]["content"][0]["text"])


SDKS: Mapping[str, Callable[[], str]] = {
    "openai": _ask_openai,
    "anthropic": _ask_anthropic,
    "claude": _ask_anthropic,
    "gemini": _ask_gemini,
    "bedrock": _ask_bedrock,
}
CREDENTIALS = (
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"),
    *("GOOGLE_API_KEY", "GEMINI_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"),
)


@pytest.mark.parametrize("client", SDKS)
def test_an_sdk_with_just_these_variables_reaches_the_running_proxy(
    client: str, guarded: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("env", client, "--key", KEY, cwd=guarded.directory)
    assert (done.returncode, done.stderr) == (0, "")
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables_of(done.stdout).items():
        monkeypatch.setenv(name, value)
    assert SDKS[client]() == "stub response"


def test_a_server_that_wants_a_key_gets_a_placeholder_and_a_remark(guarded: Program) -> None:
    done = run("env", "openai", cwd=guarded.directory)
    assert variables_of(done.stdout)["OPENAI_API_KEY"] == "YOUR_CLIENT_KEY"
    assert done.stderr == (
        f"llmproxy: {guarded.url} needs a client key: pass it with --key, or replace YOUR_CLIENT_KEY "
        "(`llmproxy keys new NAME` makes one)\n"
    )
    assert KEY not in done.stdout + done.stderr


def test_codex_gets_lines_for_its_file(guarded: Program) -> None:
    done = run("env", "codex", cwd=guarded.directory)
    settings = tomllib.loads(done.stdout)
    provider = settings["model_providers"][settings["model_provider"]]
    assert provider["base_url"] == f"{guarded.url}/v1" and provider["env_key"] == "LLMPROXY_KEY"
    assert "LLMPROXY_KEY" in done.stderr
    refused = run("env", "codex", "--shell", "fish", cwd=guarded.directory)
    assert refused.returncode == 2 and "--shell has no effect" in refused.stderr


def test_without_a_running_server_the_configuration_says_where_it_will_be(tmp_path: Path) -> None:
    done = run("env", "claude", cwd=tmp_path)
    assert variables_of(done.stdout) == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:3000",
        "ANTHROPIC_AUTH_TOKEN": "not-needed",
    }
    assert "no server of yours is running" in done.stderr
    text = 'server: {host: 0.0.0.0, port: 4001}\nproviders: [{name: a, type: openai, api_key: "${NOWHERE}"}]\n'
    (tmp_path / "llmproxy.yaml").write_text(text + AUTH)
    done = run("env", "claude", cwd=tmp_path)
    assert variables_of(done.stdout)["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:4001"
    assert "needs a client key" in done.stderr
    (tmp_path / "llmproxy.yaml").write_text("server: {prt: 1}\n")
    done = run("env", "claude", cwd=tmp_path)
    assert done.returncode == 1 and "unknown key" in done.stderr


def test_a_variable_that_the_client_would_use_instead_is_named(tmp_path: Path) -> None:
    done = run("env", "claude", "--url", "127.0.0.1:1", cwd=tmp_path, extra={"ANTHROPIC_API_KEY": "sk-mine"})
    assert "ANTHROPIC_API_KEY is set too" in done.stderr and "sk-mine" not in done.stdout + done.stderr
    assert run("env", "claude", "--url", "ftp://x", cwd=tmp_path).returncode == 1


NASTY = """a'b"c\\d $HOME `x` {"e": 1}"""


def test_a_posix_shell_sets_any_value() -> None:
    assert variables_of(assignment(Shell.posix, "X", NASTY)) == {"X": NASTY}


def test_other_shells_have_their_own_quotes() -> None:
    assert assignment(Shell.fish, "X", "a'b\\") == "set -gx X 'a\\'b\\\\'"
    assert assignment(Shell.powershell, "X", "a'b") == "$env:X = 'a''b'"
    assert assignment(Shell.cmd, "X", '{"a": 1}') == 'set "X={"a": 1}"'


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_sets_any_value() -> None:
    command = ["fish", "--no-config", "-c", f"{assignment(Shell.fish, 'X', NASTY)}; printf %s $X"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == NASTY
