"""E-mail addresses: as they are, of Hangul, and as people write them so that no machine reads them."""

import re

from trainers.text.personal.lines import AT, SPELT, SWAPPED
from trainers.text.personal.recogniser import Recogniser, after, before, recogniser

_FILE = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|ico|bmp|js|mjs|ts|tsx|jsx|css|scss|html?|json|ya?ml|md|py|txt|pdf|mp[34])$", re.I
)
_HANGUL = "가-힣"
_LABEL = rf"[A-Za-z0-9{_HANGUL}](?:[A-Za-z0-9{_HANGUL}-]*[A-Za-z0-9{_HANGUL}])?"
_TOP = "(?:xn--[A-Za-z0-9-]+|[A-Za-z]{2,24}|한국|컴|넷|닷컴|닷넷|삼성|회사|웹)(?![A-Za-z0-9])"
_LOCAL = rf"(?<![A-Za-z0-9_.%+-])[A-Za-z0-9*{_HANGUL}](?:[\w.%+*{_HANGUL}-]{{0,62}}[\w*{_HANGUL}-])?"
_NAME = r"(?<![A-Za-z0-9_.%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+*-]{0,62}[A-Za-z0-9*_-])?"
"""Before the @ there are 64 characters at most (RFC 5321, 4.5.3.1.1): so no line is read from each of its places to its
end."""
_PROVIDERS = (
    "naver|gmail|hanmail|daum|nate|kakao|hotmail|outlook|yahoo|icloud|korea|empas|dreamwiz|paran|protonmail|proton|me|live"
    "|네이버|지메일|한메일|다음|네이트|카카오|핫메일|아웃룩|야후|쥐메일|구글|엠팔|파란"
)
_AT = r"(?: ?(?:골뱅이|앳|에이티|에트|엣|◎|ⓐ|Ⓐ|°|@) ?| ?[\[({<_] ?(?:@|at|골뱅이|앳|에이티|a) ?[\])}>_] ?|&#0?64;)"
_DOT = r"(?: ?[\[({<] ?(?:\.|dot|닷|점|쩜) ?[\])}>] ?| ?(?:닷|쩜|점|도트) ?| dot | \. |\.|,(?=(?:com|net|co|kr|org)\b))"
_LETTERS = (
    "(?:com|net|org|kr|co|ac|go|or|io|me|ai|dev|edu|biz|info|jp|us|cn|tv|app|xyz|re|pe|ne"
    "|컴|넷|케이알|코|씨오|한국|오알지|에이씨)"
)
_WRITTEN_OUT = (
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*?[A-Za-z0-9])?|{_PROVIDERS})"
    rf"(?:{_DOT}[A-Za-z0-9-]+)*?(?:{_DOT}{_LETTERS})+(?![A-Za-z0-9])"
)


def _is_mail(match: re.Match[str]) -> bool:
    local, _, domain = match[0].rpartition("@")
    if match[0].startswith("git@") or _FILE.search(domain) or not re.search(r"[\w가-힣]", local):
        return False
    return not re.search(r"[가-힣]", local) or bool(re.fullmatch(r"[가-힣A-Za-z0-9._%+*-]{1,20}", local))


def _swapped(match: re.Match[str]) -> bool:
    """Another sign in the place of the @, and a hint to put it back."""
    return bool(re.search(r"바꿔|바꾸|변경|대신|치환|교체|@ ?로|골뱅이", before(match, 40) + after(match, 40)))


def _spelt(match: re.Match[str]) -> bool:
    return not _FILE.search(match[0]) and bool(re.search(r"[A-Za-z0-9]", match[0]))


MAILS: tuple[Recogniser, ...] = (
    recogniser("EMAIL", AT, rf"{_LOCAL}@(?:{_LABEL}\.)+{_TOP}", _is_mail),
    recogniser("EMAIL", SPELT, rf"(?i){_NAME}{_AT}{_WRITTEN_OUT}", _spelt),
    recogniser(
        "EMAIL",
        SPELT,
        rf"(?i){_NAME} at {_WRITTEN_OUT}",
        lambda match: bool(re.search(r"(?i) dot |[\[(]dot|닷|점", match[0])),
    ),
    recogniser("EMAIL", AT | SPELT, rf"(?i){_NAME}(?:@| ?골뱅이 ?)(?:{_PROVIDERS})(?![A-Za-z0-9.])", _spelt),
    recogniser(
        "EMAIL", SWAPPED, rf"(?i){_NAME} ?[#★☆♥♡♠♣◈] ?(?:[A-Za-z0-9-]+\.)+[A-Za-z]{{2,4}}(?![A-Za-z0-9])", _swapped
    ),
    recogniser("EMAIL", SPELT, rf"(?i)[{_HANGUL}]{{2,8}} ?골뱅이 ?(?:{_PROVIDERS})(?:{_DOT}{_LETTERS})+"),
)
