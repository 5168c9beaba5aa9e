from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.providers.address import BaseUrl, join, root_below, split_base_url


def sent(base_url: str, path: str, root: str = "/v1", *, always: bool = False, caught: bool = False) -> str:
    """Return where a client's `path` goes at a provider whose type has its API at `root`."""
    address = split_base_url(base_url)
    below = root_below(address.path, root, always=always)
    return f"{address.host}{join(address.path, below, path, beside=frozenset({'api'}), caught=caught)}"


@pytest.mark.parametrize(
    ("base_url", "path", "target"),
    [
        # A bare origin gets its type's root.
        ("https://h", "/v1/chat/completions", "h/v1/chat/completions"),
        ("https://h", "/chat/completions", "h/v1/chat/completions"),
        ("https://h/", "/v1/chat/completions", "h/v1/chat/completions"),
        ("https://h//", "/chat/completions", "h/v1/chat/completions"),
        ("HTTPS://H", "/v1/chat/completions", "h/v1/chat/completions"),
        # A base that ends in a version, or has any path, is the root.
        ("https://h/v1", "/v1/chat/completions", "h/v1/chat/completions"),
        ("https://h/v1", "/chat/completions", "h/v1/chat/completions"),
        ("https://h/v1/", "/v1/chat/completions", "h/v1/chat/completions"),
        ("https://h/v1//", "/chat/completions", "h/v1/chat/completions"),
        ("https://h/openai/v1", "/v1/chat/completions", "h/openai/v1/chat/completions"),
        ("https://h/api/paas/v4", "/v1/chat/completions", "h/api/paas/v4/chat/completions"),
        ("https://h/api/paas/v4/", "/chat/completions", "h/api/paas/v4/chat/completions"),
        ("https://h/v1beta", "/v1/models/m:generateContent", "h/v1beta/models/m:generateContent"),
        ("https://h/openai", "/v1/chat/completions", "h/openai/chat/completions"),
        ("https://h/openai/", "/chat/completions", "h/openai/chat/completions"),
        ("https://h//v1", "/v1/chat/completions", "h//v1/chat/completions"),
        # A path under another version goes beside the root of a bare origin.
        ("https://h", "/v2/rerank", "h/v2/rerank"),
        ("https://h", "/v1beta/models", "h/v1beta/models"),
        ("https://h", "/v1.1/models", "h/v1.1/models"),
        ("https://h/openai", "/v2/rerank", "h/openai/v2/rerank"),
        # So does what the type has beside its root.
        ("https://h", "/api/tags", "h/api/tags"),
        ("https://h", "/apis", "h/v1/apis"),
        ("https://h/v1", "/api/tags", "h/v1/api/tags"),
        # Every byte stays.
        ("https://h", "/v1/files/a%2Fb", "h/v1/files/a%2Fb"),
        ("https://h", "/v1//chat//completions/", "h/v1//chat//completions/"),
        ("https://h", "//v1/chat", "h/v1//v1/chat"),
        ("https://h", "/v1%2Fchat", "h/v1/v1%2Fchat"),
        ("https://h", "/v1x/chat", "h/v1/v1x/chat"),
        ("https://h", "/v1/v1/chat", "h/v1/v1/chat"),
        ("https://h/a%2Fb/v1", "/v1/x;y=%20?", "h/a%2Fb/v1/x;y=%20?"),
        ("https://h", "/v1/\udcff", "h/v1/\udcff"),
        # Nothing below the prefix.
        ("https://h", "", "h/v1"),
        ("https://h", "/", "h/v1/"),
        ("https://h", "/v1", "h/v1"),
        ("https://h", "/v1/", "h/v1/"),
        ("https://h/v1", "", "h/v1"),
        ("https://h/v1", "/v1", "h/v1"),
    ],
)
def test_base_url_and_path_are_joined_by_one_rule(base_url: str, path: str, target: str) -> None:
    assert sent(base_url, path) == target


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("https://h", "h/openai/v1/chat/completions"),
        ("https://h/openai", "h/openai/v1/chat/completions"),
        ("https://h/openai/v1", "h/openai/v1/chat/completions"),
        ("https://h/open", "h/open/chat/completions"),
        ("https://h/v1", "h/v1/chat/completions"),
    ],
)
def test_a_base_that_is_the_beginning_of_the_root_gets_its_rest(base_url: str, target: str) -> None:
    assert sent(base_url, "/v1/chat/completions", "/openai/v1") == target


@pytest.mark.parametrize(
    ("path", "target"), [("/v1/chat/completions", "h/chat/completions"), ("", "h/"), ("/v1", "h/")]
)
def test_a_type_whose_api_stands_at_the_origin_gets_no_version(path: str, target: str) -> None:
    assert sent("https://h", path, "") == target


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("https://h", "h/v1/messages"),
        ("https://h/v1", "h/v1/messages"),
        ("https://h/anthropic", "h/anthropic/v1/messages"),
        ("https://h/anthropic/", "h/anthropic/v1/messages"),
        ("https://h/anthropic/v1", "h/anthropic/v1/messages"),
        ("https://h/api/v4", "h/api/v4/messages"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/messages"])
def test_where_custom_leaves_the_version_out_of_base_url_it_is_put_in(base_url: str, target: str, path: str) -> None:
    assert sent(base_url, path, always=True) == target


@pytest.mark.parametrize(
    ("base_url", "path", "target"),
    [
        ("https://h", "/some/where", "h/some/where"),
        ("https://h", "/v1/some/where", "h/v1/some/where"),
        ("https://h/", "/", "h/"),
        ("https://h/v1", "/some/where", "h/v1/some/where"),
        ("https://h/v1", "/v1/some/where", "h/v1/some/where"),
        ("https://h/base", "/v1/some/where", "h/base/some/where"),
    ],
)
def test_caught_paths_go_to_a_bare_origin_as_they_are(base_url: str, path: str, target: str) -> None:
    assert sent(base_url, path, caught=True) == target


@given(
    base=st.sampled_from(["", "/", "/v1", "/v1/", "/openai/v1", "/api/paas/v4", "/v1beta", "/openai", "/a%2Fb//c/v2/"]),
    rest=st.lists(st.text("abz%2F/é:", min_size=1).map(lambda word: f"/{word}"), min_size=1).map("".join),
)
def test_a_path_reaches_the_same_place_with_and_without_its_version(base: str, rest: str) -> None:
    url = f"https://h{base}"
    with_version, without = sent(url, f"/v1{rest}"), sent(url, rest)
    assert with_version.endswith(rest)
    assert with_version.count("/v1/v1") == rest.count("/v1/v1")
    if not rest.startswith(("/v", "/api")):
        assert with_version == without


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://h", BaseUrl(scheme="https", host="h", port=443, path="", query="")),
        ("HTTP://H:80/", BaseUrl(scheme="http", host="h", port=80, path="", query="")),
        ("http://[::1]:8080/v1/", BaseUrl(scheme="http", host="::1", port=8080, path="/v1", query="")),
        ("https://[2001:db8::7]", BaseUrl(scheme="https", host="2001:db8::7", port=443, path="", query="")),
        ("http://127.0.0.1:1/x", BaseUrl(scheme="http", host="127.0.0.1", port=1, path="/x", query="")),
        (" https://my_host.local ", BaseUrl(scheme="https", host="my_host.local", port=443, path="", query="")),
        (
            "https://bücher.example/é",
            BaseUrl(scheme="https", host="xn--bcher-kva.example", port=443, path="/%C3%A9", query=""),
        ),
        ("https://h/v1?b=%2F&a=1&a=", BaseUrl(scheme="https", host="h", port=443, path="/v1", query="b=%2F&a=1&a=")),
        ("https://h?x=1", BaseUrl(scheme="https", host="h", port=443, path="", query="x=1")),
    ],
)
def test_a_base_url_is_taken_apart(url: str, address: BaseUrl) -> None:
    assert split_base_url(url) == address


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("", "http://"),
        ("localhost:11434", "http://localhost:11434"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        ("ftp://h/v1", "http:// or https://"),
        ("https://", "host"),
        ("https:///v1", "host"),
        ("https://user:hush@h/v1", "api_key"),
        ("https://user@h/v1", "api_key"),
        ("https://h/v1#top", "#"),
        ("https://h/v1#", "#"),
        ("https://h:0/v1", "port"),
        ("https://h:99999", "Port"),
        ("https://h:x", "Port"),
        ("https://[::1/v1", "URL"),
        ("https://h/a b", "white space"),
        ("https://h/a\r\nX: y", "white space"),
        ("https://h/\x00", "white space"),
        ("https://${HOST}/v1", "host"),
        ("https://h/v1/chat/completions", "/chat/completions"),
        ("https://h/v1/messages/", "/messages"),
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(url: str, remedy: str) -> None:
    with pytest.raises(ValueError) as refused:
        split_base_url(url)
    assert remedy in str(refused.value)
    assert "hush" not in str(refused.value)
