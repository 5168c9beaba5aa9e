"""Example configurations as texts: what `generate-config` writes for a preset, but for `full`."""

from __future__ import annotations

from collections.abc import Mapping

_MINIMAL = """\
# llmproxy: OpenAI and Anthropic behind one address. `llmproxy generate-config --preset full` shows every key.

providers:
  # If the variable is not set, the key of the client is forwarded to the provider.
  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"
"""

_STUB = """\
# llmproxy without a real provider: every model answers "stub response". It needs no key and no network.

providers:
  - name: stub
    type: stub
    models: ["*"]
"""

_TEAM = """\
# llmproxy for a team: everybody has a key of their own. `llmproxy generate-config --preset full` shows every key.

server:
  host: 0.0.0.0
  # For our own pages: /stats, /metrics, /config ...
  admin_key: "${LLMPROXY_ADMIN_KEY:-}"

auth:
  keys:
    # `llmproxy keys new NAME` prints a key and its line. Nobody has the keys of these two.
    - name: anna
      team: search
      id: 3e2mht3w
      sha256: "e26edcfe5c8dd6549dec2f62f2cd9b379e64aae486f5baad4c51fe49ef64bf69"

    - name: ci
      team: build
      id: gq3n9bee
      sha256: "0454a7984286d78df121232249c62636bb4b4bae5af5d478198c9d65d5f769d2"
      models: ["gpt-*", "claude-*"]
      expires: "2036-12-31"

  # More keys, in a file that is read again when it changes.
  # keys_file: ./keys.yaml

# What each key may use; `limits` and `budgets` of a key are its own beside these.
limits:
  - {requests: 600, per: minute}
  - {concurrent: 50}

budgets:
  - {max_cost: 100, per: day, scope: team}
  - {max_cost: 1000, per: month}

# Counted in a file, so that a restart changes nothing. Several machines share a Redis: redis://host:6379/0
quotas: {store: disk}

providers:
  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"
"""

_FAILOVER = """\
# llmproxy with several keys and vendors behind one name. `llmproxy generate-config --preset full` shows every key.

providers:
  - name: openai
    type: openai
    # Used in turn; one that is refused or at its limit is left out for a while.
    api_keys: ["${OPENAI_API_KEY:-first-key}", "${OPENAI_API_KEY_2:-second-key}"]

  - name: azure
    type: azure
    base_url: "${AZURE_OPENAI_ENDPOINT:-https://example.openai.azure.com}"
    api_key: "${AZURE_OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"

# For all models: these are the defaults but for `first_token`.
routing:
  retries: 2
  breaker: {failures: 5, window: 60s, recovery: 30s}
  # A stream without content after this time is given up for the next target.
  first_token: 30s

models:
  # Three of four requests go to OpenAI; each is called when the other fails.
  - name: gpt-4o
    strategy: weighted
    targets:
      - {provider: openai, weight: 3}
      - {provider: azure, model: my-gpt-4o, weight: 1}

  # The first that answers. Conversations that are too long for it go to the next one.
  - name: smart
    aliases: [default]
    strategy: priority
    targets: [anthropic/claude-sonnet-5-5, openai/gpt-6-sol]

  # Sessions stay where the provider's prompt cache is warm.
  - name: agents
    strategy: sticky
    targets:
      - {provider: openai, model: gpt-4o}
      - {provider: azure, model: my-gpt-4o}
      - {provider: anthropic, model: claude-haiku-4-5, weight: 0} # only when both others are out
"""

PRESETS: Mapping[str, str] = {"minimal": _MINIMAL, "stub": _STUB, "team": _TEAM, "failover": _FAILOVER}
