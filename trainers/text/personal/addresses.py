"""Street addresses in Korea: by road (도로명) and by lot (지번), with the province or from the district on."""

from trainers.text.personal.lines import PLACE
from trainers.text.personal.recogniser import Recogniser, either, recogniser

_H = "[가-힣]"
_PROVINCE = (
    "(?:서울(?:특별시|시)?|(?:부산|대구|인천|광주|대전|울산)(?:광역시|시)?|세종(?:특별자치시|시)?|경기(?:도)?"
    "|(?:강원|전북|제주)(?:특별자치도|도)?|충청[남북]도|충[남북]|전라[남북]도|전[남북]|경상[남북]도|경[남북])"
)
_DISTRICT = rf"(?:{_H}{{1,5}}[시군구])"
_WARDS = """
종로 중 용산 성동 광진 동대문 중랑 성북 강북 도봉 노원 은평 서대문 마포 양천 강서 구로 금천 영등포 동작 관악 서초
강남 송파 강동 서 동 영도 부산진 동래 남 북 해운대 사하 금정 연제 수영 사상 수성 달서 미추홀 연수 남동 부평 계양
광산 유성 대덕 장안 권선 팔달 영통 수정 중원 분당 만안 동안 상록 단원 덕양 일산동 일산서 처인 기흥 수지 원미 소사
오정 상당 서원 흥덕 청원 동남 서북 완산 덕진 의창 성산 마산합포 마산회원 진해
"""
_CITIES = """
수원 성남 의정부 안양 부천 광명 평택 동두천 안산 고양 과천 구리 남양주 오산 시흥 군포 의왕 하남 용인 파주 이천 안성
김포 화성 광주 양주 포천 여주 춘천 원주 강릉 동해 태백 속초 삼척 청주 충주 제천 천안 공주 보령 아산 서산 논산 계룡
당진 전주 군산 익산 정읍 남원 김제 목포 여수 순천 나주 광양 포항 경주 김천 안동 구미 영주 영천 상주 문경 경산 창원
진주 통영 사천 김해 밀양 거제 양산 제주 서귀포 서울 부산 대구 인천 대전 울산 세종
"""
_COUNTIES = """
기장 달성 군위 강화 옹진 울주 연천 가평 양평 홍천 횡성 영월 평창 정선 철원 화천 양구 인제 고성 양양 보은 옥천 영동
증평 진천 괴산 음성 단양 금산 부여 서천 청양 홍성 예산 태안 완주 진안 무주 장수 임실 순창 고창 부안 담양 곡성 구례
고흥 보성 화순 장흥 강진 해남 영암 무안 함평 영광 장성 완도 진도 신안 의성 청송 영양 영덕 청도 고령 성주 칠곡 예천
봉화 울진 울릉 의령 함안 창녕 남해 하동 산청 함양 거창 합천
"""
_DISTRICTS = "|".join(
    f"{either(names)}{suffix}" for suffix, names in (("구", _WARDS), ("시", _CITIES), ("군", _COUNTIES))
)
"""The districts of Korea by name: an address that begins with one needs no province to be known."""
_TOWN = rf"(?:{_H}{{1,6}}[읍면])"
_ROAD = rf"(?:{_H}[가-힣0-9·.]{{0,14}}(?:대로|로|길)(?: ?[0-9]{{1,4}}(?:번|가|[가-힣])?길)?)"
_ROAD_NUMBER = (
    r"(?:지하 ?)?[0-9]{1,5}(?:-[0-9]{1,4})?(?![0-9])(?!번 출구|번출구|박|[호년월일시분명%개]|번 버스|호선|km|차|위|층 )"
)
_QUARTER = rf"(?:{_H}{{1,6}}[0-9]{{0,2}}(?:동|리|가)(?:[0-9]가)?)"
_LOT = r"(?:산 ?)?[0-9]{1,4}(?:-[0-9]{1,4})?(?:번지)?(?![0-9])(?![년월일시분명%개회위차층])"
_BUILDING = (
    "(?:아파트|빌라|빌딩|타워|오피스텔|주택|맨션|빌리지|힐스|캐슬|자이|푸르지오|래미안|프라자|상가|센터|연립|하우스|파크|시티"
    "|엘스|팰리스|홈|플러스)"
)
_REST = (
    rf"(?:,? ?\({_H}{{1,8}}[동리가]\d?(?:, ?[가-힣A-Za-z0-9 ]{{1,20}})?\)|,? ?(?:[가-힣A-Za-z0-9]{{2,15}}{_BUILDING}"
    r"|(?:지하 ?|B)?[0-9]{1,4}(?:동|호|층)|[A-Za-z가-나]동|[0-9]{1,4}-[0-9]{2,4}호?)){0,5}"
)
_ZIP = r"(?:(?:\(우\)|우\)|우편번호)? ?[(\[]?[0-9]{5}[)\]]? ?(?=[가-힣]{2}[가-힣 ]))?"
_FROM_PROVINCE = rf"(?<![가-힣]){_PROVINCE}(?: | ?(?={_DISTRICT}))(?:{_DISTRICT} ?){{0,2}}"
_FROM_DISTRICT = rf"(?<![가-힣])(?:(?:{_DISTRICTS}) ){{1,2}}"
_BY_ROAD = rf"{_ROAD} ?{_ROAD_NUMBER}{_REST}"
_BY_LOT = rf"{_QUARTER} ?{_LOT}{_REST}"

ADDRESSES: tuple[Recogniser, ...] = (
    recogniser("ADDRESS", PLACE, rf"{_ZIP}{_FROM_PROVINCE}(?:{_TOWN} ?)?(?:{_QUARTER} )?{_BY_ROAD}"),
    recogniser("ADDRESS", PLACE, rf"{_ZIP}(?:{_FROM_PROVINCE}|{_FROM_DISTRICT})(?:{_TOWN} ?)?{_BY_LOT}"),
    recogniser("ADDRESS", PLACE, rf"{_FROM_DISTRICT}(?:{_TOWN} )?{_BY_ROAD}"),
    recogniser("ADDRESS", PLACE, rf"(?<=주소)(?:지는|지|는|가)?[ :：]{{0,3}}(?P<place>{_BY_ROAD}|{_BY_LOT})", part=1),
)
