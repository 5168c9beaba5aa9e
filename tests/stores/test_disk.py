"""Which file a disk store means."""

from __future__ import annotations

from pathlib import Path

from llmproxy.stores.disk import DiskStore


def settings(**keys: object) -> DiskStore.Config:
    return DiskStore.Config.model_validate({"type": "disk", **keys}, context={"directory": Path("/conf")})


async def test_all_facets_share_the_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "down" / "cache.sqlite"
    store = DiskStore(settings(path=str(file)))
    await store.start()
    blobs, responses = store.blobs(1000), store.responses(1000)
    await blobs.set("k", b"x", 60.0)
    await responses.set("k", b"y", 60.0)
    assert (await blobs.get("k"), await responses.get("k")) == (b"x", b"y")
    assert await store.sessions(10, 60.0).session("s") is None
    await store.close()
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_a_path_stands_beside_the_configuration_and_has_a_default() -> None:
    assert DiskStore(settings(path="c.sqlite")).path == Path("/conf/c.sqlite").absolute()
    assert DiskStore(settings()).path.parent.name == "llmproxy"
    assert str(DiskStore(settings(path="/x.sqlite"))) == f"the disk store {str(Path('/x.sqlite').absolute())!r}"


def test_a_namespace_has_a_file_of_its_own() -> None:
    assert DiskStore(settings(path="/c.sqlite", namespace="x")).path == Path("/c-x.sqlite").absolute()
