from __future__ import annotations

import sys

import pytest

from scripts.executable.bundle import describe_build, package_modules, standard_library


def test_every_component_named_as_a_string_is_collected() -> None:
    modules = set(package_modules())
    assert {"llmproxy.providers.bedrock", "llmproxy.middleware.trace", "llmproxy.dialects.messages"} <= modules
    assert {"llmproxy.importers.litellm", "llmproxy.cli.trace.commands", "llmproxy.__main__"} - modules == {
        "llmproxy.__main__"
    }


def test_the_standard_library_is_collected_without_its_tests_and_desktop() -> None:
    library = set(standard_library())
    assert {"csv", "xml.etree.ElementTree", "email.mime.text", "concurrent.futures.thread", "sqlite3.dbapi2"} <= library
    assert library.isdisjoint({"tkinter", "test", "unittest.test", "readline", "winreg" * (sys.platform != "win32")})


def test_the_day_of_a_build_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert describe_build()["built"] == "1970-01-02"
