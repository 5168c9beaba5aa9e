"""Replacing the configuration in effect; the program as a whole is in the acceptance tests."""

from __future__ import annotations

import os
from typing import cast

import pytest

from llmproxy.config.load import load_from_python
from llmproxy.errors import ProxyError
from llmproxy.reload import Replacement, export_dotenv
from llmproxy.server.runtime import Runtime
from llmproxy.server.shared import Shared


async def test_a_configuration_from_python_cannot_be_loaded_again() -> None:
    def build(loaded: object) -> Runtime:
        raise AssertionError

    loaded = load_from_python({"providers": [{"name": "s", "type": "stub"}]}, {}, environ={})
    with pytest.raises(ProxyError, match="passed from Python"):
        await Replacement(loaded, cast(Shared, None), build, lambda runtime: None).apply()


def test_variables_of_a_changed_env_file_follow_it_but_never_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"OWN": "1"})
    export_dotenv({}, {"OWN": "2", "A": "a", "B": "b"})
    export_dotenv({"OWN": "2", "A": "a", "B": "b"}, {"OWN": "3", "A": "aa"})
    assert dict(os.environ) == {"OWN": "1", "A": "aa"}
