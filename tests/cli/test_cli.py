from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import shellingham  # type: ignore[import-untyped]

from llmproxy import __version__
from llmproxy.cli import command_line, main
from tests.support.program import clean_environment, run

HEAVY = ("aiohttp", "asyncio", "msgspec", "multidict", "prometheus_client", "rich", "ssl", "uvloop", "yaml")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], ["serve"]),
        (["--port", "1"], ["serve", "--port", "1"]),
        (["-c", "x.yaml"], ["serve", "-c", "x.yaml"]),
        (["--port=1", "--help"], ["serve", "--port=1", "--help"]),
        (["serve", "--port", "1"], ["serve", "--port", "1"]),
        (["--trace"], ["serve", "--trace="]),
        (["--trace", "--print"], ["serve", "--trace=", "--print"]),
        (["serve", "--trace", "logs", "--print"], ["serve", "--trace", "logs", "--print"]),
        (["serve", "--trace=logs"], ["serve", "--trace=logs"]),
        (["serve", "--trace", "x.yaml"], ["serve", "--trace=", "x.yaml"]),
        (["serve", "-c", "x.yaml", "--trace"], ["serve", "-c", "x.yaml", "--trace="]),
        (["--help"], ["--help"]),
        (["-h"], ["-h"]),
        (["--version"], ["--version"]),
        (["schema"], ["schema"]),
        (["nonsense"], ["nonsense"]),
        (["--generate-config", "x.yaml", "--force"], ["generate-config", "x.yaml", "--force"]),
        (["--generate-config=x.yaml"], ["generate-config", "x.yaml"]),
        (["--generate-config"], ["generate-config"]),
        (["--validate-config", "x.yaml", "y.yaml"], ["validate-config", "x.yaml", "y.yaml"]),
        (["--validate-config=x.yaml", "--no-env"], ["validate-config", "x.yaml", "--no-env"]),
    ],
)
def test_bare_flags_are_for_serve_and_older_flags_are_commands(given: list[str], meant: list[str]) -> None:
    assert command_line(given) == meant


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["serve", "--help"],
        ["validate-config", "--help"],
        ["trace", "--help"],
        ["sessions", "--help"],
        ["cache", "--help"],
    ],
)
def test_nothing_heavy_is_imported_to_show_help(tmp_path: Path, arguments: list[str]) -> None:
    heavy = (*HEAVY, "pydantic")  # which Typer imports to convert the value of an option
    script = (
        "import sys, llmproxy.cli\n"
        "try: llmproxy.cli.main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout
    assert done.returncode == 0, f"imported: {done.stderr}"


def test_the_version_is_shown(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.stdout, done.returncode) == (f"llmproxy {__version__}\n", 0)


def test_the_commands_are_listed(tmp_path: Path) -> None:
    output = run("--help", cwd=tmp_path).stdout
    for command in ("serve", "generate-config", "validate-config", "schema", "stats"):
        assert command in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["serve", "--port", "many"],
        ["serve", "--port", "70000"],
        ["serve", "--log-level", "loud"],
        ["validate-config", "x.yaml", "--format", "xml"],
        ["generate-config", "--preset", "huge"],
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("llmproxy: ") and "\nSee `llmproxy " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="nothing is ever full here")
def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "llmproxy", "schema"],
            env=clean_environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "llmproxy: no space left on device\n")


def test_what_a_console_cannot_show_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("providers: [{name: 'ключ ☃', type: stub}]\n", encoding="utf-8")
    done = run("validate-config", "x.yaml", cwd=tmp_path, extra={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 1
    assert "x.yaml:1:20: providers[0].name: invalid name: '???? ?'; use letters" in done.stderr


@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        (None, "the shell is unknown; run `llmproxy --show-completion` in bash, zsh, fish or PowerShell"),
        ("tcsh", "there is no completion for tcsh, only for bash, zsh, fish and PowerShell"),
    ],
)
def test_a_shell_without_completion_is_refused_in_our_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str | None, reason: str
) -> None:
    def detect_shell() -> tuple[str, str]:
        if shell is None:
            raise shellingham.ShellDetectionFailure
        return shell, f"/bin/{shell}"

    monkeypatch.setattr(shellingham, "detect_shell", detect_shell)
    with pytest.raises(SystemExit) as ended:
        main(["--show-completion"])
    assert (ended.value.code, capsys.readouterr().err) == (1, f"llmproxy: {reason}\n")
