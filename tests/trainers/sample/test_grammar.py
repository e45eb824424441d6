"""Particles after every kind of ending, and slots."""

import random

import pytest

from trainers.sample.grammar import Grammar, attach, particle


@pytest.mark.parametrize(
    ("word", "form", "expected"),
    [
        ("사과", "은", "는"),
        ("수박", "은", "은"),
        ("감", "이", "이"),
        ("배", "이", "가"),
        ("귤", "을", "을"),
        ("포도", "을", "를"),
        ("강", "와", "과"),
        ("바다", "과", "와"),
        ("서울", "으로", "로"),
        ("부산", "으로", "으로"),
        ("제주", "으로", "로"),
        ("연필", "이나", "이나"),
        ("나무", "이나", "나"),
        ("학생", "이에요", "이에요"),
        ("의사", "이에요", "예요"),
        ("민수", "아", "야"),
        ("3", "은", "은"),
        ("2", "을", "를"),
        ("10", "으로", "으로"),
        ("1", "으로", "로"),
        ("'집'", "이", "이"),
        ("노래)", "을", "를"),
        ("LED", "을", "를"),
        ("URL", "으로", "로"),
        ("", "은", "는"),
    ],
)
def test_a_particle_fits_the_sound_before_it(word: str, form: str, expected: str) -> None:
    assert particle(word, form) == expected


def test_particles_follow_what_was_filled_in() -> None:
    assert attach("서울{으로} 가는 버스{을} 민수{과} 탔다") == "서울로 가는 버스를 민수와 탔다"


def test_bound_slots_keep_their_word_once_and_others_differ() -> None:
    grammar = Grammar({"도시": ["부산", "전주", "경주"]}, random.Random(0))
    text = grammar.expand("{도시}{과} {도시}", {"도시": "경주"})
    assert text in ("경주와 부산", "경주와 전주")


def test_an_unknown_slot_is_an_error() -> None:
    with pytest.raises(KeyError, match="없는말"):
        Grammar({}, random.Random(0)).expand("{없는말}")
