from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import Client
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.metrics.sample import Sample
from llmproxy.middleware.base import Middleware, PageOperation, PageRequest
from llmproxy.server.pages.middleware_pages import MiddlewarePages


class Shelf(Middleware):
    """Shows what it was asked; knows the names `a` and `b/c`."""

    page_path = "/sessions"

    def __init__(self, count: float = 1.0) -> None:
        super().__init__(self.Config())
        self._count = count

    async def page(self, request: PageRequest) -> Mapping[str, object] | None:
        if request.name not in (None, "a", "b/c", "ü ?"):
            return None
        return {"name": request.name, "query": dict(request.query), "changing": request.changing}

    async def stats(self) -> Mapping[str, object]:
        return {"count": self._count}

    async def metrics(self) -> Sequence[Sample]:
        return [Sample(name="shelf_count", help="How many.", counter=True, value=self._count)]


def asking(target: str, method: str = "GET", **headers: str) -> Exchange:
    path, mark, query = target.partition("?")
    return Exchange(
        id="1",
        method=method,
        full_path=path,
        path=path,
        query=query if mark else None,
        headers=Headers({"Host": "localhost:3000", **headers}),
        client=Client(address="127.0.0.1"),
        started_s=0.0,
        began_s=0.0,
    )


def pages(*middlewares: tuple[str, Middleware]) -> MiddlewarePages:
    return MiddlewarePages(middlewares or (("shelf", Shelf()),))


async def shown(target: str, *middlewares: tuple[str, Middleware], **how: Any) -> Any:
    found = pages(*middlewares)
    page = found.owns(target.partition("?")[0])
    assert page is not None
    return json.loads((await found.write(asking(target, **how), page)).body)


class Shop(Shelf):
    """A page that can be read, with things that can be removed."""

    page_path = "/shop"
    page_operations = (
        PageOperation(summary="List"),
        PageOperation(summary="Remove", method="DELETE", below=True),
    )


class Leaflet(Middleware):
    """A page that is no JSON."""

    page_path = "/leaflet"

    async def page(self, request: PageRequest) -> Answer:
        return Answer(status=200, headers=Headers({"Content-Type": "text/html"}), body=b"<p>hello")


async def test_a_page_may_be_any_answer() -> None:
    answer = await pages(("leaflet", Leaflet(Leaflet.Config()))).write(asking("/leaflet"), "/leaflet")
    assert (answer.headers["Content-Type"], answer.body) == ("text/html", b"<p>hello")


async def refused(target: str, **how: Any) -> ProxyError:
    found = pages()
    with pytest.raises(ProxyError) as caught:
        await found.write(asking(target, **how), found.owns(target.partition("?")[0]) or "")
    return caught.value


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/sessions", "/sessions"),
        ("/sessions/", "/sessions"),
        ("/sessions/a/b", "/sessions"),
        ("/cache", "/cache"),
        ("/cache/k", "/cache"),
        ("/sessionsandmore", None),
        ("/v1/sessions", None),
        ("/", None),
        ("//sessions", None),
        ("/Sessions", None),
    ],
)
def test_a_page_owns_its_path_and_what_is_below(path: str, page: str | None) -> None:
    assert pages().owns(path) == page


def test_any_middleware_may_have_a_page() -> None:
    class Other(Shelf):
        page_path = "/other"

    assert pages(("other", Other())).owns("/other/a") == "/other"
    assert pages().owns("/other") is None


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/sessions", None),
        ("/sessions/", None),
        ("/sessions/a", "a"),
        ("/sessions/%61", "a"),
        ("/sessions/b%2Fc", "b/c"),
        ("/sessions/b/c", "b/c"),
        ("/sessions/%C3%BC%20%3F", "ü ?"),
    ],
)
async def test_names_below_a_page_are_decoded(target: str, name: str | None) -> None:
    assert (await shown(target))["name"] == name


@pytest.mark.parametrize("name", ["x", "a/", "%FF", "%ED%A0%80", "\udcff", "%00", "..", "%", "%zz", "x" * 5000])
async def test_what_is_not_there_is_404(name: str) -> None:
    fault = await refused(f"/sessions/{name}")
    assert (fault.status, fault.code) == (404, "not_found")
    assert "/sessions" in fault.message and len(fault.message) < 500


@pytest.mark.parametrize(
    ("query", "values"),
    [("", {}), ("limit=5", {"limit": "5"}), ("a=1&b", {"a": "1", "b": ""}), ("a=%FF%20", {"a": "\ufffd "})],
)
async def test_parameters_are_decoded(query: str, values: dict[str, str]) -> None:
    assert (await shown(f"/sessions?{query}"))["query"] == values


async def test_a_page_of_ours_without_its_middleware_says_how_to_have_it() -> None:
    fault = await refused("/cache")
    assert (fault.status, fault.code) == (404, "not_configured") and "- type: cache" in fault.message


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_with_those_that_there_are(method: str) -> None:
    fault = await refused("/sessions", method=method)
    assert fault.status == 405 and ("Allow", "GET, HEAD, DELETE") in fault.headers


@pytest.mark.parametrize(
    ("target", "method", "allowed"),
    [
        ("/shop", "DELETE", "GET, HEAD"),
        ("/shop/", "PUT", "GET, HEAD"),
        ("/shop/x", "GET", "DELETE"),
        ("/shop/x", "HEAD", "DELETE"),
    ],
)
async def test_what_a_page_describes_is_all_that_it_allows(target: str, method: str, allowed: str) -> None:
    found = pages(("shop", Shop()))
    with pytest.raises(ProxyError) as caught:
        await found.write(asking(target, method), "/shop")
    assert (caught.value.status, caught.value.headers) == (405, (("Allow", allowed),))
    assert (await shown("/shop", ("shop", Shop()), method="HEAD"))["changing"] is False
    assert (await shown("/shop/a", ("shop", Shop()), method="DELETE"))["changing"]


async def test_a_page_hears_whether_it_is_to_delete() -> None:
    assert (await shown("/sessions/a", method="DELETE"))["changing"]
    assert not (await shown("/sessions/a"))["changing"]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/sessions/", {}),
        ("/sessions?", {}),
        ("/sessions/?a=1", {}),
        ("/sessions?a=1&a=2", {}),
        ("/sessions", {"Content-Length": "9"}),
        ("/sessions", {"Transfer-Encoding": "chunked"}),
    ],
)
async def test_what_seems_to_mean_less_than_everything_deletes_nothing(target: str, headers: dict[str, str]) -> None:
    assert (await refused(target, method="DELETE", **headers)).status == 400


@pytest.mark.parametrize(("target", "length"), [("/sessions", "0"), ("/sessions/a", "9"), ("/sessions?a=1", "0")])
async def test_what_is_named_or_everything_is_deleted(target: str, length: str) -> None:
    assert (await shown(target, method="DELETE", **{"Content-Length": length}))["changing"]


async def test_of_several_of_a_type_the_first_is_shown() -> None:
    found = pages(("shelf", Shelf(1.0)), ("shelf", Shelf(2.0)), ("none", Middleware(Middleware.Config())))
    assert await found.stats() == {"shelf": {"count": 1.0}}
    assert [sample.value for sample in await found.metrics()] == [1.0]
