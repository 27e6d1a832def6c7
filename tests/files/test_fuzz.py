"""A hundred damaged files for every loader (`make soak` takes a thousand and more)."""

from collections import Counter

import pytest
from support.fuzz import LOADERS, cases


@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    outcomes = Counter(case.outcome for case in cases(LOADERS[name], tmp_path / "fuzz", 100, seed=0))
    assert set(outcomes) <= {"read", "refused"}, outcomes
    assert outcomes["refused"] or name in MAY_HARM_NOTHING


MAY_HARM_NOTHING = ("cached motion",)  # computed anew, not refused
