"""Example configurations as texts: what `generate-config` writes for a preset, but for `full`.

`configs/` holds the same texts as files. Begin reading at `Preset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Preset(StrEnum):
    """Files that `generate-config` can write, each for a kind of user."""

    minimal = "minimal"
    full = "full"
    stub = "stub"
    failover = "failover"
    load_balance = "load-balance"
    translator = "translate"
    cache_redis = "cache-redis"
    team = "team"
    claude_code = "claude-code"
    codex = "codex"
    local_models = "local-models"
    ci = "ci"


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

_LOAD_BALANCE = """\
# llmproxy over several deployments of one model: each gets its share, and clients see one name and no 429.
# `llmproxy generate-config --preset full` shows every key.

providers:
  - name: east
    type: azure
    base_url: "${AZURE_EAST_ENDPOINT:-https://east.openai.azure.com}"
    api_key: "${AZURE_EAST_API_KEY:-}"

  - name: west
    type: azure
    base_url: "${AZURE_WEST_ENDPOINT:-https://west.openai.azure.com}"
    api_key: "${AZURE_WEST_API_KEY:-}"

  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

models:
  - name: gpt-4o
    # Exactly by weight; also round_robin, least_busy, fastest, cheapest and sticky.
    strategy: weighted
    targets:
      # At its quota a target is skipped until it has room again: requests and tokens a minute.
      - {provider: east, model: my-gpt-4o, weight: 2, rpm: 600, tpm: 450000}
      - {provider: west, model: my-gpt-4o, weight: 1, rpm: 300, tpm: 225000}
      - {provider: openai, weight: 0} # only when both others are out

# Several machines count together in one Redis:
# routing: {store: "redis://127.0.0.1:6379/0"}
"""

_TRANSLATE = """\
# llmproxy as a translator: clients of OpenAI, Anthropic, Google and Bedrock's Converse reach models of any vendor.
# `llmproxy explain MODEL` shows what becomes of a request, `llmproxy lint` what a model would refuse of it.

providers:
  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"

  - name: gemini
    type: gemini
    api_key: "${GEMINI_API_KEY:-}"

translation:
  # What a model cannot do is dropped and named in x-llmproxy-dropped; `true` refuses such requests.
  strict: false
  # Pictures and documents by URL, for models that take them only inside the request.
  fetch_media: true
  # Counts of tokens where a provider counts none.
  estimate_tokens: true

models:
  # A name that a program has fixed, answered by another vendor.
  - {name: gpt-4, targets: [anthropic/claude-sonnet-5-5]}
  - {name: claude-3-haiku-20240307, targets: [openai/gpt-4o-mini]}
"""

_CACHE_REDIS = """\
# llmproxy with sessions and a cache in Redis: an answer that was paid for once is not paid for again, by any replica.
# `scripts/demo` shows what that does to a stream, `llmproxy cache stats` what it saved.

stores:
  # While it does not answer, requests are served without it. `memory` and `disk` need no server.
  default: "${REDIS_URL:-redis://127.0.0.1:6379/0}"

providers:
  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"

middlewares:
  - type: sessions

  - type: cache
    config:
      ttl: 1h
      # What asks for temperature 0 or names a seed, and embeddings. `always` caches everything.
      when: deterministic
      # Models whose answers are never cached.
      routes: {"*-audio-preview": "off"}
      # More request headers that separate answers: here, tenants never get each other's.
      # vary: [X-Tenant]
"""

_CLAUDE_CODE = """\
# llmproxy for Claude Code: every session recorded, counted and kept within a budget.
#   llmproxy serve claude-code.yaml
#   eval "$(llmproxy env claude)" && claude
#   llmproxy trace tail        # what it does, as it happens

providers:
  # Without the variable the login of Claude Code is forwarded, a subscription too.
  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"

# A run that goes wild ends here; `llmproxy stats` shows what is left.
budgets:
  - {max_cost: 20, per: session}

middlewares:
  - type: sessions

  - type: trace
    config: {directory: ./traces, max_age: 30d}

  - type: printer

# Titles and summaries by another model: Claude Code asks the small one for them.
# models: [{name: "claude-haiku-*", targets: [openai/gpt-4o-mini]}]
"""

_CODEX = """\
# llmproxy for Codex: every session recorded and counted, and other vendors' models beside OpenAI's.
#   llmproxy serve codex.yaml
#   llmproxy env codex         # lines for ~/.codex/config.toml
#   codex --model sonnet

providers:
  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

  - name: anthropic
    type: anthropic
    api_key: "${ANTHROPIC_API_KEY:-}"

# Codex speaks the Responses API; for Claude it is translated, tools and thinking too.
models:
  - {name: sonnet, targets: [anthropic/claude-sonnet-5-5]}

middlewares:
  - type: sessions

  - type: trace
    config: {directory: ./traces, max_age: 30d}
"""

_LOCAL_MODELS = """\
# llmproxy over models on this machine: clients of any API reach them, and what is too long for them goes to a vendor.

providers:
  - name: ollama # http://localhost:11434
    type: ollama
    models: ["llama*", "qwen*"]
    prices: {"*": {input: 0, output: 0}}

  # Without patterns its models are `lmstudio/NAME`.
  - {name: lmstudio, type: lmstudio, models: []} # http://localhost:1234

  # Any other server with OpenAI's API: llama.cpp, vLLM, LocalAI ...
  - name: server
    type: openai-compatible
    base_url: "${OPENAI_COMPAT_BASE_URL:-http://localhost:8000/v1}"
    api_key: "${OPENAI_COMPAT_API_KEY:-}"
    models: []

  - name: openai
    type: openai
    api_key: "${OPENAI_API_KEY:-}"

models:
  - name: local
    targets:
      # A local model may load for minutes before its first word.
      - {provider: ollama, model: "llama3.2", when: {max_tokens: 8000}, timeouts: {first_byte: 5m}}
      - {provider: openai, model: gpt-4o-mini}
"""

_CI = """\
# llmproxy in CI: tests get answers without a key, a network or a bill, and leave a record of every request.
#   llmproxy validate-config --no-env --format github ci.yaml
#   llmproxy serve ci.yaml & llmproxy check-live --quick --url http://127.0.0.1:3000

providers:
  # The same answer, "stub response", to everything.
  - name: stub
    type: stub
    models: ["*"]

middlewares:
  # Keep this folder with the results of the job; `llmproxy trace ls ./traces` reads it.
  - type: trace
    config: {directory: ./traces, format: jsonl}

logging:
  level: warning
  format: json
"""

PRESETS: Mapping[Preset, str] = {
    Preset.minimal: _MINIMAL,
    Preset.stub: _STUB,
    Preset.failover: _FAILOVER,
    Preset.load_balance: _LOAD_BALANCE,
    Preset.translator: _TRANSLATE,
    Preset.cache_redis: _CACHE_REDIS,
    Preset.team: _TEAM,
    Preset.claude_code: _CLAUDE_CODE,
    Preset.codex: _CODEX,
    Preset.local_models: _LOCAL_MODELS,
    Preset.ci: _CI,
}
"""The texts of all presets but `full`, which is made from the schema."""
