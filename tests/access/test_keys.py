"""Keys of clients: made at random, found by digest."""

from __future__ import annotations

import time

from llmproxy.access.keys import KeyRing, NewKey, digest_of
from llmproxy.access.presented_keys import KEY_PREFIX
from llmproxy.client_key import ClientKey


def client_key(name: str = "ci", expires_s: float | None = None) -> ClientKey:
    return ClientKey(id=name, name=name, tenant=f"key:{name}", expires_s=expires_s)


def test_new_keys_differ_and_have_a_public_part_and_256_secret_bits() -> None:
    keys = [NewKey.generate() for _ in range(100)]
    assert len({key.text for key in keys}) == len({key.id for key in keys}) == 100
    for key in keys:
        prefix, identifier, secret = key.text.split("_")
        assert (f"{prefix}_", identifier, len(secret)) == (KEY_PREFIX, key.id, 43)
        assert key.sha256 == digest_of(key.text).hex()


def test_a_key_is_found_by_its_digest_alone() -> None:
    new = NewKey.generate()
    ring = KeyRing([(bytes.fromhex(new.sha256), client_key()), (digest_of("plain"), client_key("other"))])
    assert ring.find(new.text) == client_key()
    assert ring.find("plain") == client_key("other")
    for wrong in (new.text[:-1], new.text + "0", new.text.upper(), new.sha256, "", "\udcff", "x" * 2_000_000):
        assert ring.find(wrong) is None


def test_a_key_that_has_expired_is_unknown() -> None:
    ring = KeyRing(
        [
            (digest_of("old"), client_key(expires_s=time.time() - 1)),
            (digest_of("new"), client_key(expires_s=time.time() + 60)),
        ]
    )
    assert ring.find("old") is None
    assert ring.find("new") is not None
