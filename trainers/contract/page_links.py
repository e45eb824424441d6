"""Where the platform's pages are: paths on Dagster's web server, which shows reports, too (`commands/webserver.py`).

A path names no server, whose port and name change: it is right wherever that server shows the page that links to it.
"""

from collections.abc import Mapping
from urllib.parse import quote

from trainers.contract.manifest import Manifest
from trainers.contract.page import Line, PageSection, Words
from trainers.contract.request import StageRequest
from trainers.contract.stages import STAGES

PAGE = "report.html"
"""The file of an artifact that is its page."""
REPORTS, RELEASES, TRACKING = "reports", "releases", "tracking"
"""Below these the server shows an artifact's page, a release's page, and leads to a run of the tracker."""
_NOTE = Words(
    "These links lead on where Dagster shows this page: on the asset's page, at `report page`.",
    "이 링크는 Dagster에서 이 페이지를 열었을 때(에셋 페이지의 `report page`) 이어집니다.",
)


def report_link(path: str) -> str:
    """The page of the artifact with this path."""
    return f"/{REPORTS}/{quote(path)}"


def release_link(release: str) -> str:
    """The page of a release."""
    return f"/{RELEASES}/{quote(release)}"


def tracking_link(run: str) -> str:
    """A run of the tracker."""
    return f"/{TRACKING}/{quote(run)}"


def asset_link(asset: str, partition: str) -> str:
    """The page of an asset, at a partition: its runs, figures and checks."""
    return f"/assets/{quote(asset)}?view=partitions&partition={quote(partition)}"


def where_to_go(
    request: StageRequest, inputs: Mapping[str, Manifest] | None = None, run: str | None = None
) -> PageSection:
    """The links of an artifact's page: its asset, its release, what it was made from, what is made of it, its run.

    Args:
        inputs: the manifests of what it was made from, by name.
        run: the tracker's, where it is known.
    """
    links = [Line(Words("runs and checks of this", "이 항목의 실행과 검사"), href=_asset(request, request.asset))]
    if request.release:
        links.append(Line(Words("the release", "릴리스"), href=release_link(request.release)))
    for name, manifest in (inputs or {}).items():
        if any(record.path == PAGE for record in manifest.files):
            href = report_link(manifest.request.relative_path)
            links.append(Line(Words(f"report of {name}", f"{name} 보고서"), href=href))
    for stage in STAGES.values():
        if request.stage in stage.reads and stage.by_model and request.model:
            links.append(Line(Words(stage.asset, stage.asset), href=_asset(request, stage.asset)))
    if run:
        links.append(Line(Words("run in MLflow", "MLflow 실행"), href=tracking_link(run)))
    return PageSection(Words("Where to go on", "이어서 볼 곳"), lines=links, note=_NOTE)


def _asset(request: StageRequest, asset: str) -> str:
    return asset_link(asset, "|".join(key for key in (request.model, request.release) if key))
