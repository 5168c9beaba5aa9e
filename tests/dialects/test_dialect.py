"""What every dialect has without saying so."""

from __future__ import annotations

import pytest

from llmproxy.dialects.chat import COMPLETIONS
from llmproxy.dialects.dialect import Dialect
from llmproxy.dialects.embeddings import DIALECT as EMBEDDINGS


@pytest.mark.parametrize("dialect", [COMPLETIONS, EMBEDDINGS])
def test_calls_without_a_conversation_have_no_history(dialect: Dialect) -> None:
    history = dialect.readers.history({"prompt": "Once", "input": "Once"})
    assert (history.pieces, history.messages) == ([], 0)
