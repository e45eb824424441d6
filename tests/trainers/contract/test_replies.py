"""What evaluation heard, against what a server says: rounding after a doubt is forgiven, nothing else is."""

import pytest

from trainers.contract.replies import GreedyReply


def heard(text: str, certain: int, ends: bool) -> GreedyReply:
    return GreedyReply(messages=[{"role": "user", "content": "수도는?"}], text=text, certain=certain, ends=ends)


CERTAIN = heard("서울입니다.", 6, ends=True)
IN_DOUBT = heard("서울입니다.", 2, ends=False)
CUT = heard("서울은 한강을", 7, ends=False)


@pytest.mark.parametrize(
    ("reply", "text", "ended"),
    [
        (CERTAIN, "서울입니다.", True),
        (CERTAIN, " 서울입니다.\n", True),
        (IN_DOUBT, "서울이에요.", True),
        (IN_DOUBT, "서울이라고 생각합니다만", False),
        (CUT, "서울은 한강을�", False),
        (CUT, "서울은 한강을", False),
    ],
)
def test_the_same_up_to_the_first_doubt_is_the_same(reply, text, ended):
    assert reply.contradiction(text, ended) == ""


@pytest.mark.parametrize(
    ("reply", "text", "ended", "words"),
    [
        (CERTAIN, "부산입니다.", True, "'부산입니다.', but evaluation heard '서울입니다.'"),
        (CERTAIN, "서울입니다. 서울입니다.", False, "but evaluation heard"),
        (CERTAIN, "서울입니다.", False, "goes on after '서울입니다.', where evaluation heard it end"),
        (IN_DOUBT, "부산이에요.", True, "but evaluation heard"),
        (CUT, "서울은 강을", False, "but evaluation heard"),
    ],
)
def test_another_reply_is_told_with_both_texts(reply, text, ended, words):
    assert words in reply.contradiction(text, ended)
