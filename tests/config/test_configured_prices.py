"""The prices that a configuration sets."""

from __future__ import annotations

from pathlib import Path

from llmproxy.config.configured_prices import configured_prices
from llmproxy.config.load import load
from llmproxy.dialects.usage import Usage
from llmproxy.routes import build_routing
from llmproxy.target import Target

MILLION = Usage(input=1_000_000, output=0)
CONFIG = """
providers:
  - {name: eu, type: openai, base_url: "http://127.0.0.1:1/v1", prices: {"gpt-4o": {input: 7, output: 11}}}
  - {name: us, type: openai, base_url: "http://127.0.0.1:1/v1"}
  - {name: kimi, type: openai-compatible, base_url: "https://api.moonshot.ai/v1"}
llm: {type: openai-compatible, base_url: "http://127.0.0.1:1", prices: {"*": {input: 1, output: 1}}}
prices:
  gpt-4.1*: {input: 5, output: 5}
require_price: true
"""


def test_prices_of_a_provider_those_of_all_and_the_table_are_known(tmp_path: Path) -> None:
    (tmp_path / "llmproxy.yaml").write_text(CONFIG)
    loaded = load(str(tmp_path / "llmproxy.yaml"))
    assert not loaded.problems
    _, providers = build_routing(loaded)
    prices = configured_prices(loaded.checked())
    named = {each.name: Target(provider=each) for each in providers}
    assert prices.required and prices.table is None, "the table is read with the first request"
    assert prices.cost(named["eu"], "gpt-4o", MILLION) == 7
    assert prices.cost(named["us"], "gpt-4o", MILLION) == 2.5
    assert prices.cost(named["us"], "gpt-4.1-mini", MILLION) == 5
    assert prices.cost(named["kimi"], "kimi-k3", MILLION) is not None
    assert prices.cost(named["llm"], "anything", MILLION) == 1
