"""Build the executable: `python build.py` writes dist/llmproxy (dist/llmproxy.exe on Windows), and tests it.

PyInstaller follows imports, but llmproxy names its components as strings, so every module of the package is collected.
So is the standard library, since a custom middleware or provider may import any of it. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PyInstaller.__main__ import run as run_pyinstaller
from PyInstaller.utils.hooks import collect_submodules

from llmproxy import __version__

ROOT = Path(__file__).parent
ENTRY = "import sys\n\nfrom llmproxy.cli import main\n\nsys.exit(main())\n"
# Desktop and interpreter tools, and modules for compilers and test runners.
LEFT_OUT = frozenset(
    {"_tkinter", "antigravity", "distutils", "ensurepip", "hypothesis", "idlelib", "lib2to3", "mypy", "pip", "pytest"}
    | {"setuptools", "test", "this", "tkinter", "turtle", "turtledemo"}
)
# botocore has the descriptions of all services, 28 MB; credentials need those of a few, 1.6 MB.
BOTOCORE_HOOK = """
from PyInstaller.utils.hooks import collect_data_files
services = [f"data/{name}/**/*" for name in ("signin", "sso", "sso-oidc", "sts")]
datas = collect_data_files("botocore", includes=["cacert.pem", "data/*.json*", *services])
"""
PROVIDERS = """
providers:
  - {name: stub, type: stub, models: ["any"]}
  - {name: bedrock, type: bedrock, region: us-east-1}
"""
# The only variables for child processes: no key, so that the stub answers.
KEPT_VARIABLES = ("HOME", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE")
PATIENCE_S = 60


def main() -> int:
    """Build the executable, test it, and print the results. A failure ends the program with the reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="the folder for the executable (dist)")
    folder: Path = parser.parse_args().into.resolve()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmproxy-build-") as work:
        program = build(folder, Path(work))
    built_s = time.monotonic() - began_s
    print(f"{program}: {program.stat().st_size / 1e6:.1f} MB, built in {built_s:.0f} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="llmproxy-try-") as empty:
        try_out(program, Path(empty))
    return 0


def build(folder: Path, work: Path) -> Path:
    """Build the executable in `folder`, with temporary files in `work`."""
    entry = work / "entry.py"
    entry.write_text(ENTRY)
    hooks = work / "hooks"
    hooks.mkdir()
    (hooks / "hook-botocore.py").write_text(BOTOCORE_HOOK)
    arguments = ["--onefile", "--console", "--name", "llmproxy", "--noconfirm", "--log-level", "WARN"]
    arguments += ["--distpath", str(folder), "--workpath", str(work), "--specpath", str(work), "--paths", str(ROOT)]
    arguments += ["--additional-hooks-dir", str(hooks)]
    arguments += ["--collect-submodules", "llmproxy", "--collect-data", "llmproxy"]
    for name in _standard_library():
        arguments += ["--hidden-import", name]
    for name in sorted(LEFT_OUT):
        arguments += ["--exclude-module", name]
    run_pyinstaller([*arguments, str(entry)])
    return folder / ("llmproxy.exe" if sys.platform == "win32" else "llmproxy")


def _standard_library() -> list[str]:
    return [module for name in sorted(sys.stdlib_module_names - LEFT_OUT) for module in collect_submodules(name)]


def try_out(program: Path, folder: Path) -> None:
    """Test the executable in an empty `folder`: version, a config, one streamed exchange with the stub, a stop."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
    }

    def run(*arguments: str) -> str:
        began_s = time.monotonic()
        done = subprocess.run(
            [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        print(f"{' '.join(arguments)}: {time.monotonic() - began_s:.2f} s", flush=True)
        return done.stdout

    if __version__ not in (version := run("--version")):
        sys.exit(f"--version prints {version!r}, not {__version__}")
    run("generate-config", "full.yaml", "--preset", "full")
    run("validate-config", "full.yaml", "--no-env")
    run("prices", "show", "gpt-4o", "--provider", "openai")
    (folder / "llmproxy.yaml").write_text(PROVIDERS)
    port = _free_port()
    command = [str(program), "serve", "--port", str(port)]
    began_s = time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(port, server)
            print(f"serve: listens after {time.monotonic() - began_s:.2f} s", flush=True)
            _exchange(port)
            _read_page(port)
            _miss_credentials(port)
            _stop(server)
        finally:
            server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > until_s:
                sys.exit(f"serve does not listen (it ended with {server.poll()})")
            time.sleep(0.05)


def _exchange(port: int) -> None:
    """Send one streamed request, and check that the stub answers it completely."""
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200 or "stub " not in text or not text.endswith("data: [DONE]\n\n"):
        sys.exit(f"a streamed request got status {answer.status}:\n{text}")
    print("serve: a streamed exchange with the stub is whole", flush=True)


def _read_page(port: int) -> None:
    """Check that the files of a page are here."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", "/docs/reference.js")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != 200 or "openapi.json" not in text:
        sys.exit(f"/docs/reference.js got status {answer.status}:\n{text[:200]}")
    print("serve: the page /docs is whole", flush=True)


def _miss_credentials(port: int) -> None:
    """Check that what looks for credentials is here, and finds none."""
    body = {"model": "anthropic.claude", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/v1/messages", json.dumps(body), {"Content-Type": "application/json"})
    text = connection.getresponse().read().decode()
    connection.close()
    if "Tried: env, " not in text:
        sys.exit(f"a request without credentials got:\n{text}")
    print("serve: missing credentials are named", flush=True)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop gracefully; Windows has no signal for that."""
    if sys.platform == "win32":
        server.terminate()
        server.wait(PATIENCE_S)
        return
    began_s = time.monotonic()
    server.send_signal(signal.SIGTERM)
    if code := server.wait(PATIENCE_S):
        sys.exit(f"after SIGTERM it ended with {code}")
    print(f"serve: ended {time.monotonic() - began_s:.2f} s after SIGTERM", flush=True)


if __name__ == "__main__":
    sys.exit(main())
