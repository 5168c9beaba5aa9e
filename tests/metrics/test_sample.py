from __future__ import annotations

import pytest

from llmproxy.metrics.sample import Sample, merge_samples


@pytest.mark.parametrize(("across", "expected"), [("sum", 5.0), ("max", 3.0), ("min", 2.0)])
def test_samples_of_several_workers_become_one(across: str, expected: float) -> None:
    one, other = (Sample(name="n", help="h", value=value, across=across) for value in (2.0, 3.0))  # type: ignore[arg-type]
    (merged,) = merge_samples([[one], [other]])
    assert (merged.value, merged.name) == (expected, "n")


def test_samples_with_other_labels_stay_apart() -> None:
    samples = [Sample(name="n", help="h", value=1, labels=(("who", who),)) for who in "ab"]
    assert [each.value for each in merge_samples([samples, samples[:1]])] == [2, 1]
