"""`trace export`: prints whole records as JSON. Begin at `print_records`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from llmproxy.cli.trace.session import print_record_line
from llmproxy.records.trace_store import one_line


def print_records(texts: Iterable[bytes], *, array: bool) -> int:
    """Print records, one a line, with `array` as the items of a list; return how many there were.

    They stay byte for byte what they are but for the ends of lines; on a terminal, what it would obey is escaped.
    """
    terminal, count = sys.stdout.isatty(), 0
    if array:
        sys.stdout.write("[\n")
    for text in texts:
        if array and count:
            sys.stdout.write(",\n")
        count += 1
        if terminal:
            print_record_line(text)
            continue
        sys.stdout.flush()
        sys.stdout.buffer.write(one_line(text))
    if array:
        sys.stdout.write("]\n")
    sys.stdout.flush()
    return count
