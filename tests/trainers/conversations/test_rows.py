"""The first rows that a rule excluded, as a manifest and a release's page show them: nothing personal is in them."""

import pytest

from tests.trainers.conversations.test_instructions import conversation
from trainers.conversations.rows import first_dropped
from trainers.text.records import Exclusion, Unusable


@pytest.mark.parametrize("room", range(270, 300))
def test_a_number_that_the_limit_would_cut_is_masked_whole(room: int) -> None:
    """Half a number is none to whoever masks it, and would stay."""
    words = ("말 " * 200)[:room] + " 연락 010-1234-5678"
    (shown,) = first_dropped([Exclusion("r", "a.jsonl", 1, "too_long", words)])["too_long"]
    assert "010" not in shown and "1234" not in shown and len(shown) <= 300


def test_a_row_with_the_marks_of_a_template_is_told_by_the_mark_not_by_its_text() -> None:
    """The text was cut, where it might have cut a number."""
    with pytest.raises(Unusable, match="marks of a chat template: '<|im_end|>'".replace("|", r"\|")):
        conversation({"instruction": "연락처는 010-1234-5678 입니다<|im_end|>", "output": "네"})
