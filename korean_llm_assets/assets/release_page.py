"""A release's page: what came in by kind, what each rule dropped, what was changed, what is new since the one before.

It is made from the manifests whenever somebody looks: a release's data are made one after another, and made again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dagster import DagsterInstance

from korean_llm_assets.partitions.keys import earlier_releases
from trainers.contract import STAGES, CorpusDetails, DatasetDetails, EvaluationDetails, Manifest, Stage
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.data_tables import (
    MUCH,
    DataDetails,
    changes_since,
    excluded_share,
    line_changes,
    read_and_kept,
    rule_effects,
)
from trainers.contract.page import Line, PageSection, Table, Text, Words, page
from trainers.contract.page_links import PAGE, asset_link, release_link, report_link

_DATA = [stage for stage in STAGES.values() if not stage.by_model]


@dataclass(frozen=True)
class _Kind:
    """What was made of one kind of a release's data, and of the release before, where there is one."""

    asset: str
    manifest: Manifest
    details: DataDetails
    before: "_Kind | None" = None

    @property
    def inherited_from(self) -> str | None:
        """The release whose data it is, where this one has none of the kind."""
        return self.manifest.request.input("landing").inherited_from

    @property
    def release(self) -> str:
        """Its own."""
        return str(self.manifest.request.release)


def release_page(store: ArtifactStore, instance: DagsterInstance, release: str) -> str | None:
    """The page as HTML; None where nothing is made of such a release."""
    earlier = earlier_releases(instance, release)[::-1]
    kinds = [kind for stage in _DATA if (kind := _kind(store, stage, release, earlier)) is not None]
    if not kinds:
        return None
    missing = [stage.asset for stage in _DATA if stage.asset not in {kind.asset for kind in kinds}]
    sections = [
        PageSection(Words("In short", "요약"), lines=[*map(_in_short, kinds), *map(_not_made, missing)]),
        PageSection(Words("Where to go on", "이어서 볼 곳"), lines=list(_links(kinds))),
        PageSection(Words("Not read", "읽지 못한 것"), table=_unread(kinds)),
        *(_changed(kind) for kind in kinds),
        PageSection(Words("What was dropped, by rule", "제외한 것, 규칙별"), table=_dropped(kinds), filter_by=(0, 1)),
        *(section for kind in kinds for section in _examples(kind)),
        PageSection(Words("What was made of it", "이 릴리스로 만든 모델"), lines=list(_models(store, release))),
    ]
    return page(f"Release {release}", sections)


def _kind(store: ArtifactStore, stage: Stage, release: str, earlier: list[str]) -> _Kind | None:
    manifest = _newest(store, stage, release)
    if manifest is None or not isinstance(manifest.details, DataDetails):
        return None
    before = next((kind for name in earlier if (kind := _kind(store, stage, name, [])) is not None), None)
    return _Kind(stage.asset, manifest, manifest.details, before)


def _newest(store: ArtifactStore, stage: Stage, release: str, model: str | None = None) -> Manifest | None:
    """What was made last of a partition."""
    manifests = [place.read_manifest() for place in store.cell(stage, model, release).places]
    made = (manifest for manifest in manifests if manifest is not None)
    return max(made, key=lambda manifest: manifest.attempts[-1].ended or 0.0, default=None)


def _in_short(kind: _Kind) -> Line:
    read, kept = read_and_kept(kind.details)
    share = f"{kept / read:.1%}" if read else "0%"
    english = [f"{kind.asset}: {kept:,} of {read:,} kept ({share})"]
    korean = [f"{kind.asset}: {read:,} 중 {kept:,}({share}) 남음"]
    if kind.inherited_from:
        english.append(f"inherited from {kind.inherited_from}")
        korean.append(f"{kind.inherited_from}에서 이어받음")
    if lost := sum(row.bytes for row in kind.details.unread):
        english.append(f"NOT READ: {lost:,} bytes")
        korean.append(f"읽지 못함: {lost:,}바이트")
    return Line(Words(", ".join(english), ", ".join(korean)), "bad" if lost else "")


def _not_made(asset: str) -> Line:
    return Line(Words(f"{asset}: not made yet", f"{asset}: 아직 만들지 않음"))


def _links(kinds: list[_Kind]) -> Iterator[Line]:
    for kind in kinds:
        yield Line(Words(f"asset {kind.asset}", f"에셋 {kind.asset}"), href=asset_link(kind.asset, kind.release))
        if any(record.path == PAGE for record in kind.manifest.files):
            href = report_link(kind.manifest.request.relative_path)
            yield Line(Words(f"report of {kind.asset}", f"{kind.asset} 보고서"), href=href)
    for name in dict.fromkeys(kind.before.release for kind in kinds if kind.before):
        yield Line(Words(f"the release before: {name}", f"이전 릴리스: {name}"), href=release_link(name))


def _unread(kinds: list[_Kind]) -> Table:
    rows = [
        [kind.asset, row.file, row.reason, f"{row.bytes:,}", row.detail]
        for kind in kinds
        for row in kind.details.unread
    ]
    columns = (Words("kind", "종류"), Words("file", "파일"), Words("reason", "이유"), Words("bytes", "바이트"), "")
    return Table(columns, rows)


def _changed(kind: _Kind) -> PageSection:
    if kind.before is None or kind.inherited_from:
        return PageSection("")
    title = Words(
        f"{kind.asset}: what changed against release {kind.before.release}",
        f"{kind.asset}: 이전 릴리스 {kind.before.release}과(와) 달라진 것",
    )
    return PageSection(title, table=changes_since(kind.details, kind.before.details, kind.before.release))


def _dropped(kinds: list[_Kind]) -> Table:
    """Each rule's rows and share, the most first, beside its share in the release before."""
    rows: list[list[Text | Line]] = []
    for kind in kinds:
        for reason, count in sorted(kind.details.excluded.items(), key=lambda item: -item[1]):
            share = excluded_share(kind.details, reason)
            earlier = excluded_share(kind.before.details, reason) if kind.before else None
            is_much = earlier is not None and abs(share - earlier) > MUCH
            before = "" if earlier is None else f"{earlier:.1%}"
            rows.append([kind.asset, reason, f"{count:,}", Line(f"{share:.1%}", "bad" if is_much else ""), before])
    columns = ("kind", "종류"), ("rule", "규칙"), ("rows", "행"), ("share", "비율"), ("release before", "이전 릴리스")
    return Table([Words(*words) for words in columns], rows)


def _examples(kind: _Kind) -> Iterator[PageSection]:
    """What was dropped and what was changed, shown."""
    details = kind.details
    if isinstance(details, CorpusDetails):
        by_rule = Words("corpus: dropped and kept, by filter rule", "corpus: 거른 글과 남긴 글, 규칙별")
        yield PageSection(by_rule, table=rule_effects(details))
        lines = Words("corpus: lines before and after", "corpus: 줄의 전과 후")
        yield PageSection(lines, table=line_changes(details))
        return
    rows = [[reason, row] for reason, some in details.dropped.items() for row in some]
    columns = (Words("rule", "규칙"), Words("the first rows, and why", "처음 나온 행과 이유"))
    yield PageSection(Words(f"{kind.asset}: dropped", f"{kind.asset}: 제외한 행"), table=Table(columns, rows))
    masked = details.masked if isinstance(details, DatasetDetails) else {}
    title = Words(f"{kind.asset}: personal data masked", f"{kind.asset}: 가린 개인정보")
    yield PageSection(title, table=Table(("", ""), [[f"[{name}]", f"{count:,}"] for name, count in masked.items()]))


def _models(store: ArtifactStore, release: str) -> Iterator[Line]:
    """Each model's report on this release, with its verdict."""
    stage = STAGES["evaluate"]
    for folder in sorted((store.root / stage.asset).glob(f"[!.]*/{release}")):
        report = _newest(store, stage, release, folder.parent.name)
        if report is not None and isinstance(report.details, EvaluationDetails):
            passed = report.details.gate_passed
            english, korean = ("gate passed", "게이트 통과") if passed else ("gate FAILED", "게이트 실패")
            words = Words(f"{report.request.model}: {english}", f"{report.request.model}: {korean}")
            yield Line(words, "good" if passed else "bad", report_link(report.request.relative_path))
