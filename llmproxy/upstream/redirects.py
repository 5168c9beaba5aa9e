"""Follow the redirects of calls that name a model.

Clients would follow them past the proxy, without the provider's key. Within the provider's origin a 307 or 308 is
followed with method, body and credentials (RFC 9110, 15.4.8 and 15.4.9); every other redirect of such a call is an
error that names it, since the configured address is wrong or the call would lose its body. Begin reading at `follow`.
"""

from __future__ import annotations

from urllib.parse import SplitResult, quote, urljoin, urlsplit

from msgspec.structs import replace

from llmproxy.answer import Answer
from llmproxy.body import StreamedBody
from llmproxy.errors import UpstreamError
from llmproxy.target import OpenUpstream, Origin, UpstreamRequest

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = 5
_KEEPS_METHOD = frozenset({307, 308})
_PORTS = {"http": 80, "https": 443}
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


async def follow(open_: OpenUpstream, request: UpstreamRequest, answer: Answer, provider: str) -> Answer:
    """Return the answer at the end of the redirects that begin with `answer`, which answers `request`.

    `provider` is the name for messages. Raises UpstreamError for a redirect that is not followed.
    """
    for _ in range(MAX_HOPS):
        answer.close()
        request = replace(request, target=_target(request, answer, provider))
        answer = await open_(request)
        if answer.status not in REDIRECT_STATUSES:
            return answer
    answer.close()
    message = f"The provider {provider!r} redirects this call more than {MAX_HOPS} times. Check its base_url"
    raise UpstreamError(message, code="redirect_not_followed")


def _target(request: UpstreamRequest, answer: Answer, provider: str) -> str:
    """Return path and query of the redirect in `answer`. Raises UpstreamError when it must not be followed."""
    location = answer.headers.get("Location", "")
    here = request.origin
    try:
        there = urlsplit(urljoin(here.url + request.target, location)) if location else None
        within = there is not None and _is_within(here, there)
    except ValueError:
        there, within = None, False
    if there is None:
        raise _refusal(answer, provider, "without a valid address in the header Location. Check its base_url")
    place = f"to {there.scheme}://{there.netloc.rpartition('@')[2]}{there.path}"
    if not within:
        advice = f"{place}. Redirects are followed only within {here.url}: set base_url to the new address"
        raise _refusal(answer, provider, advice)
    if answer.status not in _KEEPS_METHOD or isinstance(request.body, StreamedBody):
        raise _refusal(answer, provider, f"{place}, where it would lose its body: set base_url to the new address")
    target = (there.path or "/") + (f"?{there.query}" if there.query else "")
    return quote(target, safe=_ASCII, errors="surrogateescape")


def _is_within(origin: Origin, url: SplitResult) -> bool:
    port = url.port or _PORTS.get(url.scheme)
    return (url.scheme, url.hostname, port) == (origin.scheme, origin.host.lower(), origin.port)


def _refusal(answer: Answer, provider: str, advice: str) -> UpstreamError:
    message = f"The provider {provider!r} redirects this call ({answer.status}) {advice}"
    return UpstreamError(message, code="redirect_not_followed")
