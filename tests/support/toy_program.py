"""`python -m tests.support.toy_program` is `llmproxy` with one more dialect in its list."""

from __future__ import annotations

from llmproxy.dialects import catalog
from tests.support.toy_dialect import TOY

catalog.DIALECTS = (*catalog.DIALECTS, TOY)

if __name__ == "__main__":
    from llmproxy.cli import main

    main()
