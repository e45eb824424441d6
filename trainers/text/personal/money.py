"""Payment cards and bank accounts."""

import re

from trainers.text.personal.lines import DISGUISE, LONG, NUMBER
from trainers.text.personal.recogniser import (
    GAP,
    Recogniser,
    after,
    before,
    begins,
    digits,
    either,
    hidden,
    in_a_word,
    is_ordinary,
    named,
    recogniser,
    words,
)

_CARD = words("카드 card 비자 visa 마스터 amex 결제")
_BANKS = either("""
국민 신한 우리 하나 외환 농협 기업 산업 수협 신협 씨티 한국씨티 제일 대구 아이엠 부산 경남 광주 전북 제주
카카오(?:뱅크)? 카뱅 케이(?:뱅크)? 케뱅 토스(?:뱅크)? 토뱅 새마을(?:금고)? 우체국 산림(?:조합)? 저축 지역농협 단위농협
축협 미래에셋 삼성증권 키움(?:증권)? 한투 한국투자 nh투자 sc제일 im kb nh ibk kdb bnk dgb jb hana woori shinhan
""")
_ACCOUNT = words(
    """
    은행(?!나무|잎|알) 뱅크 계좌 입금 송금 이체 농협 수협 신협 새마을 우체국 예금주 통장 account 증권 무통장
    환불 자동납부 후원금 bank
    """
)
_LATIN_BANK = words("bank account kb nh ibk sc hana woori shinhan")
_BANK_BEFORE = re.compile(
    rf"(?<![가-힣A-Za-z]){_BANKS}[ :：)\]-]{{0,3}}(?:[가-힣]{{2,4}}[ :)]{{1,2}})?$", re.IGNORECASE
)
_BANK_AFTER = re.compile(
    rf"[ ,]?[(\[/ ]{{0,2}}(?:[가-힣]{{2,4}} )?{_BANKS}"
    r"(?:은행|뱅크|증권|[)\] ,./]|$|으로|로|[가-힣]{2,4}[)\]])|\W{0,3}(?:예금주|[가-힣]{2,5}은행)",
    re.IGNORECASE,
)
_SIGNS = str.maketrans("", "", " -.·")
_DATED = re.compile(
    r"(?:19|20)\d\d(?:[-./] ?\d{1,2}[-./] ?\d{1,2}(?!\d)"
    r"|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[-_ ]?(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?(?!\d))"
)
_AMOUNT = re.compile(r" ?(?:원|만|억|명|달러|won|krw|usd|%)|[건개주]", re.IGNORECASE)


def _is_card(match: re.Match[str]) -> bool:
    number = digits(match[0])
    labelled = named(match, _CARD)
    if hidden(match[0]):
        return len(number) >= 4 and hidden(match[0]) >= 4 and (labelled or "-" in match[0] or len(number) >= 8)
    if len(set(number)) < 2:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in number[-2::-2]]
    luhn = (sum(doubled) + sum(number[-1::-2])) % 10 == 0
    if labelled and re.search("카드|card", before(match), re.IGNORECASE):
        return True
    return luhn and match[0][0] in "34569" and not (is_ordinary(match) or in_a_word(match))


def _is_account(match: re.Match[str]) -> bool:
    count = len(match[0].translate(_SIGNS))
    if not 10 <= count <= 16:
        return False
    parted, ahead, behind = count < len(match[0]), before(match), after(match, 18)
    if (ahead + behind).isascii() and not _LATIN_BANK.search(ahead + behind):
        return False  # most numbers in code and tables; the rest of the questions is dear
    near_bank = _BANK_BEFORE.search(ahead) or (parted and _BANK_AFTER.match(behind))
    if not near_bank and (not (_ACCOUNT.search(ahead) or _ACCOUNT.search(behind)) or in_a_word(match)):
        return False
    if _DATED.match(match[0]) or (not parted and _AMOUNT.match(behind)) or is_ordinary(match):
        return False
    return not hidden(match[0]) or len(digits(match[0])) >= 5


CARDS: tuple[Recogniser, ...] = (
    recogniser(
        "CARD",
        LONG | DISGUISE,
        rf"{begins('[0-9*]')}(?:[0-9*]{{3}}(?:{GAP}[0-9*]{{4}}){{3}}(?:{GAP}[0-9]{{3}})?"
        rf"|(?<=3)[47][0-9*]{{2}}{GAP}[0-9*]{{6}}{GAP}[0-9*]{{5}}|(?<=3)[068][0-9]{{2}}{GAP}[0-9]{{6}}{GAP}[0-9]{{4}})(?![0-9*])(?!-[0-9])",
        _is_card,
    ),
)
ACCOUNTS: tuple[Recogniser, ...] = (
    recogniser(
        "ACCOUNT",
        NUMBER | DISGUISE,
        rf"{begins('[0-9*]')}(?:[0-9*]{{1,7}}(?: ?[-.·] ?[0-9*]{{1,8}}| [0-9*]{{2,8}}){{1,4}}|[0-9*]{{9,15}})"
        r"(?![0-9*])(?!-[0-9])",
        _is_account,
    ),
)
