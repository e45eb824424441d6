"""Lines that belong to a page, not to its text: menus, copyright footers, notices, contacts.

A rule speaks of a whole line: a sentence that mentions a copyright or a login stays. One compiled pass finds the few
short lines that hold a telling group of characters; only those are looked at by the rules.
"""

import re
from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.contract.recipe.data import BoilerplateSettings
from trainers.text.characters import SYLLABLES, UNICODE_END, Changed, Codes, Starts, Texts

_MENU_WORDS = """
로그인 로그아웃 회원가입 아이디찾기 비밀번호찾기 마이페이지 장바구니 주문조회 고객센터 공지사항 사이트맵
이용약관 개인정보처리방침 개인정보취급방침 이메일무단수집거부 청소년보호정책 회사소개 광고문의 제휴문의
이전글 다음글 이전기사 다음기사 목록으로 목록보기 맨위로 페이지상단으로 본문바로가기 주메뉴바로가기
메뉴바로가기 전체메뉴 댓글쓰기 답글쓰기 글자크기 글자크게 글자작게 기사공유 공유하기 구독하기 즐겨찾기
스크랩 url복사 링크복사 카카오톡 카카오스토리 페이스북 트위터 login logout signin signup sitemap contactus
aboutus privacypolicy  backtotop
"""
"""Words of menus, without their spaces: a line of nothing else, two at least, is one."""
_FILLING_WORDS = """
홈 home 메인 메뉴 menu 검색 search 목록 이전 다음 수정 삭제 신고 추천 인쇄 프린트 닫기 더보기 글쓰기 댓글 답글
구독 공유 밴드 네이버 블로그 인스타그램 유튜브 뉴스레터 rss english 한국어 top faq 크게 작게 위로 바로가기
"""
"""Words that menus share with texts: they fill a line of menu words, they do not make one."""
_LONE_WORDS = """
본문바로가기 주메뉴바로가기 메뉴바로가기 이전글 다음글 이전기사 다음기사 맨위로 목록으로
페이지상단으로 backtotop
"""
"""Menu words that are nothing else even where they are the whole line."""
_MENU, _FILLING, _ALONE = (frozenset(words.split()) for words in (_MENU_WORDS, _FILLING_WORDS, _LONE_WORDS))
_ITEM = "|".join(" ?".join(map(re.escape, word)) for word in sorted({*_MENU, *_FILLING}, key=lambda w: (-len(w), w)))
_BETWEEN = r"[\s|/·ㆍ>›»<‹«:•▲▼△▽-]*"
_MENU_LINE = re.compile(rf"{_BETWEEN}(?:(?:{_ITEM})(?!\w){_BETWEEN})+")
_MENU_WORD = re.compile(rf"(?:{_ITEM})(?!\w)")
_NEIGHBOUR = re.compile(r"[▲▼△▽ ]*(?:이전|다음) ?(?:글|기사) ?[:|▲▼△▽].*")
_SIGN = r"(?:ⓒ|©|\(c\))"
_USES = r"(?:전재|(?:재 ?)?배포|복제|복사|도용|수집|재가공|이용|ai ?학습(?: ?이용)?)"
_RIGHTS = re.compile(
    rf".*무단 ?{_USES}(?: ?(?:(?:[-·ㆍ,/&]|및|와|또는) ?)?(?:무단 ?)?{_USES})++(?:을|를|은|는)?"
    r" ?(?:금지|금함|금합니다|불허)(?:합니다|함)?"
    rf"|(?:(?>.*?(?:copyright|{_SIGN})).*)?all rights? reserved"
    rf"|(?:copyrights? ?{_SIGN}?|{_SIGN}) ?(?:by )?(?:19|20)\d\d\b[^?!]*"
    rf"|저작권자 ?(?:{_SIGN}|:).*"
    rf"|(?:사진|출처|제공)? ?[=:]? ?[ⓒ©] ?[\w&·. -]{{1,30}}"
)
_DELETED = r"(?:(?:블라인드 처리|삭제)(?:된|한) |비밀 ?)(?:댓글|게시글|글|게시물)입니다"
_NOTICE = re.compile(
    r"클린봇이 부적절한 표현을 감지한 댓글입니다|(?:등록된|작성된) 댓글이 없습니다"
    rf"|(?:(?:관리자|작성자|운영 ?규정 미준수)\S* (?:의해 |인해 )?)?{_DELETED}"
    r"|(?:.{0,40} )?(?:자바 ?스크립트|javascript)를 (?:활성화|사용)\S{0,8} ?(?:주세요|주십시오|바랍니다)"
    r"|(?:저희|본|이) (?:웹 ?)?사이트(?:는|에서는) (?:.{0,40} )?쿠키를 사용합니다"
)
_MAIL = r"[\w.+-]+@[\w.-]+"
_DESK = r"(?:기사 ?제보|제보|보도 ?자료|광고 ?문의|문의)"
_CONTACT = re.compile(
    rf"{_DESK}(?: ?(?:및|·|,|/) ?{_DESK})* ?:? ?{_MAIL}"
    rf"|[{SYLLABLES}]{{2,4}} ?(?:(?:선임|인턴|수습|객원|전문) ?)?(?:기자|특파원) ?[=/(<]? ?{_MAIL}"
)
_PUBLISHER = r"사업자 ?등록 ?번호|통신 ?판매업|개인정보 ?(?:보호|관리) ?책임자|청소년 ?보호 ?책임자|발행인|편집인"
_COMPANY = re.compile(
    rf"{_PUBLISHER}|대표(?:이사|자)? ?:|등록 ?번호|등록 ?일자|주소 ?:|전화 ?:|팩스 ?:|상호(?:명)? ?:|제호 ?:"
)
_COMPANY_ENTRIES = 3
_AROUND = " \t.!。[](){}<>=*|"
_BLANK_LINES = re.compile(r"\n{3,}")
_GROUP = 4
_PRIME = 0x9E37
_BITS, _ANY = 7, 1 << 7
_TELLING = """
무단전재 무단배포 무단복제 무단복사 무단도용 무단수집 무단이용 무단재배 reserved copyri ⓒ © (c) 저작권자
클린봇 댓글입니다 시글입니다 게시물입니다 된글입니다 한글입니다 밀글입니다 댓글이없습 바스크립트를
ascript를 쿠키를 @ 자등록번호 판매업 책임자 발행인 편집인
"""
"""One of these, or a menu word, is in every line that a rule removes (spaces and case apart)."""


def remove_lines(texts: Texts, settings: BoilerplateSettings) -> tuple[Texts, Changed]:
    """The texts without boilerplate lines, and of each line that went its document and the reason."""
    removed: Changed = []
    if not settings.rules:
        return texts, removed
    gone: dict[int, list[tuple[int, int]]] = {}
    suspects = _suspects(texts.codes, texts.starts, _pairs(), _telling(), settings.max_characters)
    for document, begin, end in suspects.tolist():
        if (reason := reason_of(texts.piece(begin, end), settings)) is not None:
            removed.append((document, reason))
            gone.setdefault(document, []).append((begin, end))
    pieces = []
    for document, lines in gone.items():
        first, last = int(texts.starts[document]), int(texts.starts[document + 1])
        begins, ends = [first, *(min(end + 1, last) for _, end in lines)], [*(begin for begin, _ in lines), last]
        kept = "".join(texts.piece(begin, end) for begin, end in zip(begins, ends, strict=True))
        pieces.append((first, last, _BLANK_LINES.sub("\n\n", kept).strip("\n")))
    return texts.replace(pieces), removed


def reason_of(line: str, settings: BoilerplateSettings) -> str | None:
    """The first of the rules that a line is boilerplate by, or None."""
    bare = line.lower().strip(_AROUND)
    return next((rule for rule in settings.rules if _RULES[rule](bare)), None)


def _is_navigation(line: str) -> bool:
    if _NEIGHBOUR.fullmatch(line):
        return True
    if not _MENU_LINE.fullmatch(line):
        return False
    words = [word.replace(" ", "") for word in _MENU_WORD.findall(line)]
    return any(word in _MENU for word in words) and (len(words) > 1 or words[0] in _ALONE)


def _is_company(line: str) -> bool:
    return re.search(_PUBLISHER, line) is not None and len(set(_COMPANY.findall(line))) >= _COMPANY_ENTRIES


_RULES: dict[str, Callable[[str], bool]] = {
    "navigation": _is_navigation,
    "copyright": lambda line: _RIGHTS.fullmatch(line) is not None,
    "notice": lambda line: _NOTICE.fullmatch(line) is not None,
    "contact": lambda line: _CONTACT.fullmatch(line) is not None or _is_company(line),
}


@cache
def _telling() -> NDArray[np.bool_]:
    """What every boilerplate line holds one of: in row n the hashes of the last n characters."""
    table = np.zeros((_GROUP + 1, 1 << 16), np.bool_)
    for word in (*_TELLING.split(), *_MENU):
        group = [ord(character) for character in word[-_GROUP:]]
        key = 0
        for code in reversed(group):
            key = (key * _PRIME + code) & 0xFFFF
        table[len(group), key] = True
    return table


@cache
def _pairs() -> NDArray[np.uint16]:
    """Of each character as bits: which pairs at a telling group's end it may end, and eight higher, which begin.

    Who begins the pair of the next one is worth a look: so few are that the look costs nothing. Pairs share the bits;
    the highest one stands for lines' ends and groups of one character, behind whatever they come.
    """
    table = np.full(UNICODE_END, _ANY << 8, np.uint16)
    ends = sorted({word[-2:] for word in (*_TELLING.split(), *_MENU)})
    for number, pair in enumerate(ends):
        bit = 1 << number % _BITS if len(pair) == 2 else _ANY
        table[[*map(ord, (pair[-1], pair[-1].upper()))]] |= bit
        if len(pair) == 2:
            table[[*map(ord, (pair[0], pair[0].upper()))]] |= bit << 8
    table[ord("\n")] |= _ANY
    table[[*map(ord, " \t")]] = 0xFF00  # the character before it may begin any
    return table


@njit(cache=True)
def _suspects(
    codes: Codes, starts: Starts, pairs: NDArray[np.uint16], telling: NDArray[np.bool_], longest: int
) -> NDArray[np.int64]:
    """(document, begin, end) of each line of at most `longest` characters that holds a telling group."""
    lines = [(0, 0, 0) for _ in range(0)]
    for document in range(len(starts) - 1):
        begin, stop, suspicious = starts[document], starts[document + 1], False
        before = np.uint16(_ANY)
        for i in range(begin, stop):
            bits = pairs[codes[i]]
            if bits & before:
                if codes[i] == 10:
                    if suspicious and i - begin <= longest:
                        lines.append((document, begin, i))
                    begin, suspicious = i + 1, False
                elif not suspicious:
                    suspicious = _ends_telling(codes, begin, i, telling)
            before = bits >> np.uint16(8)
        if suspicious and stop - begin <= longest:
            lines.append((document, begin, stop))
    table = np.empty((len(lines), 3), np.int64)
    for number, row in enumerate(lines):
        table[number] = row
    return table


@njit(cache=True)
def _ends_telling(codes: Codes, begin: int, last: int, telling: NDArray[np.bool_]) -> bool:
    """Does a telling group end at `last`? Spaces and case do not count."""
    key, length, place = 0, 0, last
    while place >= begin and length < _GROUP:
        code = int(codes[place])
        if code != 32 and code != 9:
            key = (key * _PRIME + (code + 32 if 65 <= code <= 90 else code)) & 0xFFFF
            length += 1
            if telling[length, key]:
                return True
        place -= 1
    return False
