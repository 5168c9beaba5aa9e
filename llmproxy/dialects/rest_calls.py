"""The rest of OpenAI's API: the calls that are no dialect of their own, and go only to providers that have it.

Files, images, audio, batches and the like, also newer ones of other vendors. `call_tables.py` makes endpoints of them.
"""

from __future__ import annotations

from llmproxy.dialects.call_form import deployment_form

REST = "openai"
"""The capability of a provider that serves the rest of OpenAI's API: files, images, batches ..."""

ANY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods of paths of which every method is relayed, as they are listed."""

# Calls of the rest of that API whose JSON body names a model, and those whose body may be a multipart form with one.
# Rerank is of Cohere and Jina, and of services that imitate OpenAI.
MODEL_PATHS = ("/images/generations", "/audio/speech", "/moderations", "/rerank")
FORM_PATHS = ("/images/edits", "/images/variations", "/audio/transcriptions", "/audio/translations", "/videos")
# Those that Azure has below a deployment (openai 3.52, `lib/azure.py`).
_DEPLOYED = ("/images/generations", "/images/edits", "/audio/speech", *FORM_PATHS[2:4])
REST_FORMS = tuple(deployment_form(path) for path in _DEPLOYED)
"""The forms of calls of that API at a cloud."""

# Calls that name what was created before, or nothing: relayed, not read.
OTHER_CALLS = (
    ("GET", "/chat/completions"),
    ("GET POST DELETE", "/chat/completions/{id}"),
    ("GET", "/chat/completions/{id}/messages"),
    ("DELETE PATCH", "/models/{id}"),
)

# First segments of which every path and method is relayed. `/realtime` alone is a WebSocket, not a call.
FAMILIES = (
    *("assistants", "audio", "batches", "chatkit", "containers", "conversations", "evals", "files"),
    *("fine_tuning", "images", "moderations", "skills", "threads", "uploads", "vector_stores", "videos"),
)
FAMILIES_BELOW = ("realtime",)
# The same, but only behind a version: newer ones of several vendors, whose names providers here may have.
VERSIONED_FAMILIES = (
    *("agents", "content_provenance_checks", "credentials", "decisions", "deployment_runs", "deployments", "dreams"),
    *(
        "environments",
        "live",
        "memory_stores",
        "safety",
        "sessions",
        "triggers",
        "tunnels",
        "user_profiles",
        "vaults",
        "voices",
    ),
    *("webhook_endpoints", "webhook_event_types", "webhooks"),
)
