"""A path with a segment that some server decodes to `..` is refused; others stay."""

from __future__ import annotations

import pytest

from llmproxy.access.path_traversal import check_path
from llmproxy.errors import ProxyError

CLIMBING = [
    *(
        "/evil/../x",
        "/a/..",
        "/..",
        "..",
        "../x",
        "//..//",
        "/a/../",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/..%2fb",
    ),
    *("/a%2f..%2fb", "/..%2F..%2F", "/a/..;/b", "/a/..;x=1/b", "/a/..%3b/b", "/a\\..\\b", "/a/..%5cb", "/a%5C..%5Cb"),
    *(
        "/a/%252e%252e/b",
        "/a/%25252e./b",
        "/a/..%252fb",
        "/a/%%32%65./b",
        "/%2525252e%2525252e/",
        "/%25252525252525252e",
    ),
    *(
        "/a/%c0%ae%c0%ae/b",
        "/a/..%c0%afb",
        "/%E0%80%AE./",
        "/a/%ef%bc%8e%ef%bc%8e/b",
        "/%e2%80%a5/b",
        "/%u002e%u002E/b",
    ),
    *(
        "/a/..%00/b",
        "/a/.%09./b",
        "/a/..%20/",
        "/a/..%0d%0a/b",
        "/a/..%3fx",
        "/a/..%23x",
        "/a/..#x",
        "/\udcc0\udcae./b",
    ),
]
STAYING = [
    *("", "/", "/v1/chat/completions", "/a/./b", "/a/%2e/b", "/a/...", "/a/..b", "/a/b..", "/a..b/c", "/v1/models/..x"),
    *(
        "/v1/models/org%2Fmodel%3Afree",
        "/v1/files/a%20b.txt",
        "/v1/models/caf\u00e9",
        "/x/%",
        "/x/%zz",
        "/a/.. b",
        "/\udcff",
    ),
]


@pytest.mark.parametrize("path", CLIMBING)
def test_a_path_that_climbs_is_refused(path: str) -> None:
    with pytest.raises(ProxyError) as caught:
        check_path(path)
    assert (caught.value.status, caught.value.code) == (400, "invalid_path")


@pytest.mark.parametrize("path", STAYING)
def test_other_paths_stay(path: str) -> None:
    check_path(path)


def test_a_path_that_would_take_long_to_decode_is_refused() -> None:
    check_path("/" + "x" * 60_000)
    with pytest.raises(ProxyError) as caught:
        check_path("/" + "%25" * 20_000)
    assert caught.value.status == 414
