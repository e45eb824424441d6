"""Addresses of machines on a network, told apart from sections and versions of four parts."""

import ipaddress
import re

from trainers.text.personal.lines import COLONS, DOTS
from trainers.text.personal.recogniser import Recogniser, after, before, named, recogniser, words

_HOST = words(
    r"""
    \bip(?:v[46])?\b 아이피 서버 호스트 host ping ssh 접속 게이트웨이 gateway dns 서브넷 방화벽 대역 inet 라우터
    공유기 로그인 client remote addr 주소 차단 https?://$ from\s server proxy 프록시 네트워크 vpn 작성자 글쓴이
    방문자 ip
    """
)
_SECTION = words(
    """
    버전 version ver release 릴리스 릴리즈 빌드 build 펌웨어 firmware v r rev 개정 판 제 장 절 항 조 § 그림 표 부록
    섹션 section chapter 항목 참조 업데이트 패치 patch sp jdk jre java chrome 크롬 firefox windows 윈도우 oracle 오라클
    tomcat kernel 커널 ios android oid
    """,
    ahead="(?<![A-Za-z])",
    behind="[ .:/_-]*$",
)
_PART = re.compile(r" ?(?:절|항|장|조\b|버전|판|version|릴리스|업데이트|패치)")


def _is_host(match: re.Match[str]) -> bool:
    ahead, parts = before(match, 16), [part for part in re.split(r"[^0-9*x]+", match[0]) if part]
    if re.search(r"[0-9A-Za-z][.-]?$", ahead) and not re.search(r"ip-?$", ahead, re.IGNORECASE):
        return False
    numbers = [int(part) for part in parts if part.isdigit()]
    if any(number > 255 for number in numbers) or len(numbers) < 2:
        return False
    if len(numbers) < 4:
        return 1 <= numbers[0] <= 223 and numbers[0] not in (10, 127, 192, 172) and sum(n >= 32 for n in numbers) >= 1
    if any(len(part) > 1 and part[0] == "0" for part in parts) and not named(match, _HOST):
        return False
    address = ipaddress.IPv4Address(bytes(numbers))
    if address.is_loopback or address.is_unspecified or address.is_multicast or numbers[0] in (0, 255):
        return False
    if _SECTION.search(ahead) or _PART.match(after(match)):
        return False
    if named(match, _HOST) or re.match(r":\d{2,5}\b|/[1-3]?\d\b", after(match)):
        return True
    wide = sum(number >= 32 for number in numbers)
    return wide >= 2 or max(numbers) >= 100 or (address.is_private and wide >= 1)


def _is_host_6(match: re.Match[str]) -> bool:
    text = match[0].partition("%")[0]
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or not re.search("[0-9]", text):
        return False
    groups = [group for group in text.split(":") if group]
    return named(match, _HOST) or len(groups) >= 4 or (len(groups) >= 2 and len(groups[0]) >= 3) or "." in text


_DOT = r"(?:\.|\[\.\]|\(\.\)| \. )"
HOSTS: tuple[Recogniser, ...] = (
    recogniser(
        "IP",
        COLONS,
        r"(?<![\w:.])(?:(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
        r"|(?:[0-9A-Fa-f]{1,4}:|:(?=:)){1,7}(?::|[0-9A-Fa-f]{1,4}|:[0-9A-Fa-f]{1,4})(?::[0-9A-Fa-f]{1,4}){0,6})"
        r"(?:%[A-Za-z0-9]+)?(?![\w:])",
        _is_host_6,
    ),
    recogniser(
        "IP",
        DOTS,
        rf"[0-9](?<![0-9*].)(?<![0-9*]\..)[0-9]{{0,2}}(?:{_DOT}[0-9]{{1,3}}){{3}}(?![0-9]|\.[0-9]|-[0-9A-Za-z])",
        _is_host,
    ),
    recogniser(
        "IP",
        DOTS,
        r"[0-9](?<![0-9*.].)[0-9]{0,2}\.[0-9]{1,3}\.(?:[0-9]{1,3}|\*{1,3}|x{1,3})\.(?:\*{1,3}|x{1,3})(?![0-9.*x])",
        _is_host,
    ),
)
