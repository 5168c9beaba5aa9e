from __future__ import annotations

import pytest

from llmproxy.cli.check_live.live_checks import LiveResult
from llmproxy.cli.check_live.view import render_results

RESULTS = [
    LiveResult(check="chat", result="passed", took_ms=12.3, detail='"hello"'),
    LiveResult(check="concurrency", result="failed", took_ms=61_000, detail="3 of 10 failed: " + "overloaded " * 20),
]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_width_and_nothing_is_cut(width: int) -> None:
    lines = [line.plain for line in render_results("http://x", "gpt\x1b[31m", RESULTS, width)]
    assert "\x1b" not in "".join(lines) and all(len(line) <= width for line in lines)
    assert lines[3] == 'chat         passed      12ms  "hello"'
    assert lines[4].startswith("concurrency  failed     1m01s  3 of 10 failed:")
    assert "".join(lines).count("overloaded") == 20
    assert lines[-1] == "1 passed, 1 failed"
