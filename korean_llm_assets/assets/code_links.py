"""Links from each asset to the lines that define it: on this machine, and in the repository at the commit that runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dagster import AssetsDefinition, AssetSpec, CodeReferencesMetadataValue, UrlCodeReference
from dagster import with_source_code_references as with_links_here

from trainers.contract import settings
from trainers.contract.commit import CHANGED, CODE, code_commit
from trainers.contract.redaction import without_secrets

_REFERENCES = "dagster/code_references"


def with_code_links(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with its links; that to the repository where KOREAN_LLM_CODE_URL says where it is shown."""
    return [
        each.map_asset_specs(_with_page) if isinstance(each, AssetsDefinition) else each
        for each in with_links_here(list(assets))
    ]


def code_page(path: str, line: int, commit: str | None) -> str | None:
    """The page of a line of code at a commit, where KOREAN_LLM_CODE_URL says where the repository is shown."""
    form = settings.CODE_URL.get()
    if form is None or commit is None:
        return None
    parts = {"{commit}": commit.removesuffix(CHANGED), "{path}": path, "{line}": str(line)}
    form = without_secrets(form)
    for name, value in parts.items():
        form = form.replace(name, value)
    return form


def _with_page(spec: AssetSpec) -> AssetSpec:
    (here,) = spec.metadata[_REFERENCES].code_references
    path = Path(here.file_path).relative_to(CODE).as_posix()
    page = code_page(path, here.line_number, code_commit())
    if page is None:
        return spec
    references = CodeReferencesMetadataValue(code_references=[here, UrlCodeReference(url=page, label=path)])
    return spec.replace_attributes(metadata={**spec.metadata, _REFERENCES: references})
