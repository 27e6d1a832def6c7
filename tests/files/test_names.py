"""Names from outside: safe as names of files, harmless on a terminal, and checked as ids."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metst_core.errors import InputError
from metst_core.files import check_id, one_line, printable, safe_name

pytestmark = pytest.mark.quick


IDS = st.text(min_size=1, max_size=90)


@given(IDS, IDS)
def test_a_safe_name_is_one_short_name_in_ascii_for_each_id(one, other):
    name = safe_name(one)
    assert name.isascii() and name not in (".", "..") and "/" not in name and len(name) <= 220
    assert (name == safe_name(other)) == (one == other)


def test_long_ids_stay_apart():
    names = {safe_name("微" * n) for n in range(1, 1000, 50)}
    assert len(names) == 20 and max(map(len, names)) <= 220


def test_plain_ids_keep_their_name_and_an_empty_one_has_none():
    assert (safe_name("spNO 1-2_x"), safe_name("a.b")) == ("spNO 1-2_x", "a%2Eb")
    assert safe_name(os.fsdecode(b"\xff")) == "%FF"
    with pytest.raises(InputError, match="empty"):
        safe_name("")


@given(st.text())
def test_what_is_printable_steers_no_terminal(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\n" for c in shown)


def test_codes_stand_for_what_is_not_shown():
    assert printable("a\x1b[31mb\n\udcff\u202e") == "a\\x1b[31mb\n\\xff\\u202e"
    assert one_line("film\nmetst: done") == "film\\nmetst: done"
    assert printable("Гримаса 微表情 😐") == "Гримаса 微表情 😐"


@pytest.mark.parametrize(
    ("value", "said"), [("", "empty"), (" ", "empty"), ("a\nb", r"control"), ("x" * 1001, "1001 characters")]
)
def test_an_id_that_is_none_is_named(value, said):
    with pytest.raises(InputError, match=f"table: row 3: subject .*{said}"):
        check_id("subject", value, "table: row 3")


def test_ids_are_compared_in_composed_form():
    assert check_id("subject", unicodedata.normalize("NFD", "é")) == unicodedata.normalize("NFC", "é")
    assert check_id("subject", 7) == "7"
