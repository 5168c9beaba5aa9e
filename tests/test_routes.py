"""From a configuration to routes: names, targets, policies and strategies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmproxy.config.load import load
from llmproxy.routes import build_routing
from llmproxy.routing.health import Health
from llmproxy.routing.router import Router
from llmproxy.routing.strategies import Cheapest, Priority, Weighted
from llmproxy.server.reuse import Reuse
from llmproxy.stores.open_stores import Stores
from llmproxy.target import Provider

PROVIDERS = """
providers:
  - {name: a, type: openai, base_url: "http://127.0.0.1:1", api_key: k}
  - {name: b, type: openai, base_url: "http://127.0.0.1:2", api_key: k}
"""
PATH = "/v1/chat/completions"


def router(directory: Path, text: str, health: Health | None = None) -> Router:
    (directory / "x.yaml").write_text(PROVIDERS + text)
    return build_routing(load("x.yaml", directory=directory, environ={}), health)[0]


def chosen(made: Router, model: str) -> Any:
    return made.choose(made.locate("POST", PATH), model)


def test_aliases_are_the_same_route_under_another_name(tmp_path: Path) -> None:
    made = router(tmp_path, "models: [{name: main, aliases: [x, y], targets: [a, b/gpt-x]}]\n")
    main, alias = chosen(made, "main"), chosen(made, "y")
    assert main.targets is alias.targets and main.strategy is alias.strategy
    assert [target.name for target in alias.targets] == ["a/main", "b/gpt-x"]
    assert sorted(made.models()) == ["main", "x", "y"]


def test_a_model_has_what_routing_says_unless_it_says_otherwise(tmp_path: Path) -> None:
    made = router(
        tmp_path,
        """
routing: {strategy: weighted, retries: 4, retry_on: [503], timeout: 9s, retry_delay: 1s, breaker: {failures: 7}}
models:
  - {name: one, targets: [a]}
  - {name: two, targets: [a], strategy: {type: cheapest, output_tokens: 5}, retries: 0, retry_on: [connection],
     first_token: 3s}
""",
    )
    one, two = chosen(made, "one"), chosen(made, "two")
    assert (type(one.strategy), type(two.strategy)) == (Weighted, Cheapest)
    assert (one.policy.retries, one.policy.retry_on, one.policy.on_connection) == (4, {503}, False)
    assert (two.policy.retries, two.policy.retry_on, two.policy.on_connection) == (0, frozenset(), True)
    assert (one.policy.timeout_s, two.policy.timeout_s, two.policy.delay_s) == (9.0, 9.0, 1.0)
    assert (one.policy.first_token_s, two.policy.first_token_s) == (None, 3.0)
    assert one.targets[0].health is two.targets[0].health
    assert one.targets[0].health.breaker.settings.failures == 7


def test_targets_have_their_own_parameters(tmp_path: Path) -> None:
    made = router(
        tmp_path,
        """
models:
  - name: one
    targets:
      - {provider: a, model: m, weight: 3, extra_body: {b: {c: [1, null]}}, extra_headers: {x-y: z},
         timeouts: {idle: 5s}, when: {has_tools: true, headers: {x-a: b*}}}
""",
    )
    route = chosen(made, "one")
    [target] = route.targets
    assert (target.weight, target.extra_body, target.extra_headers) == (3, (("b", b'{"c":[1,null]}'),), (("x-y", "z"),))
    assert target.timeouts == (("idle_s", 5.0),)
    assert (target.when.has_tools, target.when.headers, target.when.has_images) == (True, (("x-a", "b*"),), None)
    assert route.conditional


def test_models_that_several_providers_list_fail_over_too(tmp_path: Path) -> None:
    made = router(tmp_path, "routing: {retries: 1}\n", health := Health())
    route = chosen(made, "gpt-4o")
    assert (len(route.targets), route.policy.retries, type(route.strategy).__name__) == (2, 1, "Strategy")
    assert [each.name for each in health.all()] == ["a", "b"] and not route.plain
    assert [target.name for target in made.targets()] == ["a", "b"]
    assert chosen(made, "a/gpt-4o").plain


def test_every_route_has_a_strategy_of_its_own(tmp_path: Path) -> None:
    made = router(tmp_path, "models: [{name: one, targets: [a]}, {name: two, targets: [a]}]\n")
    one, two = chosen(made, "one"), chosen(made, "two")
    assert isinstance(one.strategy, Priority) and one.strategy is not two.strategy


def test_a_provider_serves_the_next_configuration_too_unless_it_or_its_files_changed(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("1")
    text = "providers: [{name: a, type: openai, ca_file: ca.pem, models: [x]}, {name: b, type: openai, priority: %d}]"

    def built(priority: int, before: Reuse | None, providers: Sequence[Provider]) -> tuple[Reuse, list[Provider]]:
        (tmp_path / "x.yaml").write_text(text % priority)
        components = [] if before is None else [before.component(each, each.name) for each in providers]
        reuse = Reuse(Stores(), components)
        loaded = load("x.yaml", directory=tmp_path, environ={})
        return reuse, build_routing(loaded, reuse=reuse)[1]

    first, (a, b) = built(1, None, ())
    second, (same, other) = built(2, first, (a, b))
    assert same is a and other is not b
    (tmp_path / "ca.pem").write_text("22")
    third, (changed, kept) = built(2, second, (same, other))
    assert changed is not same and kept is other
    (tmp_path / ".env").write_text("AWS_PROFILE=x")
    _, providers = built(2, third, (changed, kept))
    assert not {*providers} & {changed, kept}
