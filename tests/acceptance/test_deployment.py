"""The image, the Compose file and the Kubernetes manifests, as far as no engine for containers is needed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import pytest
import yaml

from tests.support.kubernetes_schema import schema_of
from tests.support.program import ROOT, Program, run
from tests.support.promtool import documented
from tests.support.provider import Upstream

pytestmark = pytest.mark.ledger("D2")

DEPLOY = ROOT / "configs" / "deploy"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", "").splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments(name: str) -> list[str]:
    return [value for each, value in instructions() if each == name]


def variables() -> dict[str, str]:
    """Return the environment of the image."""
    return dict(pair.split("=", 1) for value in arguments("ENV") for pair in value.split())


def object_of(kind: str) -> Any:
    (found,) = [each for each in MANIFESTS if each["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def in_image(lasting_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Yield the program as the image runs it: configured by variables alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    provider = {"LLM_BASE_URL": f"{lasting_upstream.url}/v1", "LLM_TYPE": "openai", "LLM_API_KEY": "sk-up"}
    extra = {"PROXY_API_HOST": variables()["PROXY_API_HOST"], "PROXY_API_PORT": port, **provider}
    command = json.loads(arguments("CMD")[0])
    with Program(tmp_path_factory.mktemp("data"), *command, extra=extra, free_port=False) as program:
        assert str(program.port) == port
        yield program


def test_variables_alone_configure_the_image(in_image: Program, upstream: Upstream) -> None:
    answer = in_image.post("/v1/chat/completions", {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]})
    assert answer.status == 200
    assert "Bearer sk-up" in str(upstream.only.head)


def test_the_health_check_of_the_image_needs_python_alone(in_image: Program) -> None:
    (check,) = arguments("HEALTHCHECK")
    program, *rest = json.loads(check[check.index("CMD ") + 4 :])
    assert program == "python"

    def code(port: int) -> int:
        environment = {"PROXY_API_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:1"}
        return subprocess.run(
            [sys.executable, "-S", *rest], env=environment, capture_output=True, check=False
        ).returncode

    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    assert (code(in_image.port), code(closed)) == (0, 1)


def test_the_image_follows_the_rules_for_images() -> None:
    names = [name for name, _ in instructions()]
    assert set(names) <= {"FROM", "WORKDIR", "COPY", "RUN", "ARG", "LABEL", "ENV", "USER", "EXPOSE", "STOPSIGNAL"} | {
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS build)?", each) for each in arguments("FROM"))
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", arguments("USER")[-1]), "a number, which Kubernetes can check"
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["llmproxy"], "signals reach the program, no shell"
    assert not [name for name in variables() if "KEY" in name or "TOKEN" in name]
    assert all("--require-hashes" in each or "--no-index" in each for each in arguments("RUN") if "pip install" in each)


def test_the_image_is_built_from_what_its_context_has() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    sources = [word for value in arguments("COPY") if "--from" not in value for word in value.split()[:-1]]
    assert set(sources) <= allowed and all((ROOT / each).exists() for each in sources)


def test_the_compose_file_is_valid_and_mounts_what_there_is() -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(vendored.read_text(encoding="utf-8")))
    volumes = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", ())]
    sources = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0] for volume in volumes]
    assert sources
    for source in sources:
        assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
    services = COMPOSE["services"]
    assert services["prometheus"]["profiles"] == services["grafana"]["profiles"] == ["metrics"]
    assert services["redis"]["image"].partition(":")[2] and "profiles" not in services["redis"]
    assert services["llmproxy"]["read_only"] and services["llmproxy"]["cap_drop"] == ["ALL"]


def test_the_configuration_of_the_compose_file_serves(tmp_path: Path) -> None:
    config = (DEPLOY / "compose" / "llmproxy.yaml").read_text(encoding="utf-8")
    with Program(tmp_path, "serve", config=config, extra={"REDIS_URL": "redis://127.0.0.1:1"}) as program:
        assert program.get("/livez").status == 200
        request = {"model": "stub", "messages": [{"role": "user", "content": "hi"}]}
        assert program.post("/v1/chat/completions", request).status == 200


def test_prometheus_and_grafana_look_where_the_others_are() -> None:
    scrape = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"llmproxy:{variables()['PROXY_API_PORT']}"]
    source = yaml.safe_load((DEPLOY / "compose" / "grafana.yaml").read_text(encoding="utf-8"))["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    boards = yaml.safe_load((DEPLOY / "compose" / "dashboards.yaml").read_text(encoding="utf-8"))["providers"][0]
    assert (
        f"./configs/deploy/grafana.json:{boards['options']['path']}/llmproxy.json:ro"
        in COMPOSE["services"]["grafana"]["volumes"]
    )


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, schema_of(manifest))


def test_the_manifests_belong_together(in_image: Program) -> None:
    pod = object_of("Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    assert (
        object_of("Service")["spec"]["selector"] == object_of("Deployment")["spec"]["selector"]["matchLabels"] == labels
    )
    assert container["ports"] == [{"name": "http", "containerPort": int(variables()["PROXY_API_PORT"])}]
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == {each["name"] for each in container["volumeMounts"]}
    assert pod["spec"]["securityContext"]["runAsUser"] == int(arguments("USER")[-1].partition(":")[0])
    assert container["envFrom"][0]["secretRef"]["name"] == object_of("Secret")["metadata"]["name"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert in_image.get(container[probe]["httpGet"]["path"]).status == 200
    scaler = object_of("HorizontalPodAutoscaler")["spec"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] in documented()
    assert scaler["scaleTargetRef"]["name"] == object_of("Deployment")["metadata"]["name"]


def test_the_configuration_in_the_config_map_is_valid(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(object_of("ConfigMap")["data"]["llmproxy.yaml"], encoding="utf-8")
    done = run("validate-config", "llmproxy.yaml", cwd=tmp_path, extra=object_of("Secret")["stringData"])
    assert done.returncode == 0, done.stderr
