from __future__ import annotations

from scripts.translation_table import ABOUT, DIALECTS, DROPPED, FEATURES, KEPT, NONE, REFUSED, problems, table


def cells() -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table().splitlines()[2:]]
    return {name: outcomes for name, *outcomes in rows}


def test_every_feature_has_an_outcome_for_each_dialect() -> None:
    match = cells()
    assert len(match) == len(FEATURES)
    for outcomes in match.values():
        assert len(outcomes) == len(DIALECTS)
        assert set(outcomes) <= {KEPT, ABOUT, DROPPED, REFUSED, NONE} and set(outcomes) != {NONE}


def test_what_everybody_has_is_carried_everywhere() -> None:
    match = cells()
    for name in ("system instructions", "images in base64", "functions", "answers by a JSON schema", "limit of tokens"):
        assert set(match[name]) == {KEPT}, name


def test_a_page_with_another_table_is_reported() -> None:
    assert list(problems(table())) == []
    assert len(list(problems(table().replace("refused", "yes")))) > 1
