"""Keep uploads of files to Google on their way through the proxy.

Google answers the first request of an upload with the address that gets the bytes: its own, with which clients would go
past the proxy, and without a key that only the proxy has. They get an address here instead, below the name of the
provider. Source: ai.google.dev/api/files, the headers of a resumable upload. Begin reading at `with_uploads_here`.
"""

from __future__ import annotations

from llmproxy.answer import Answer
from llmproxy.client_request import ClientRequest
from llmproxy.providers.google_retry import Adapt

_HEADERS = ("X-Goog-Upload-URL", "X-Goog-Upload-Control-URL")


def with_uploads_here(adapt: Adapt, request: ClientRequest, root: str, provider: str) -> Adapt:
    """Return what changes the addresses of an upload in an answer to `request`, and then what `adapt` does. `root` is
    the URL of the provider without a slash at its end, `provider` its name here."""

    async def adapted(answer: Answer) -> Answer:
        for name in _HEADERS:
            address = answer.headers.get(name, "")
            if address.startswith(f"{root}/"):
                answer.headers[name] = f"{request.own_url}/{provider}{address[len(root) :]}"
        return await adapt(answer)

    return adapted
