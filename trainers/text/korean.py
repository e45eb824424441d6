"""Korean levels of politeness, told from how a text ends."""

LEVELS = (
    ("formal", ("니다", "니까", "시오", "소서")),
    ("polite", ("요", "죠")),
    ("plain", ("다", "해", "야", "어", "아", "지", "자", "라", "냐", "니", "까", "네")),
)
"""Each level's endings: 합쇼체, 해요체, 해체 and 해라체; the first that fits is meant."""


def level_of(text: str) -> str:
    """The level that the last Korean word shows; `noun or other`, or `no Korean`, where it shows none."""
    words = "".join(char if "가" <= char <= "힣" else " " for char in text).split()
    if not words:
        return "no Korean"
    return next((name for name, endings in LEVELS if words[-1].endswith(endings)), "noun or other")
