"""The landed folders in the graph: an external asset for each kind of data, by release, observed by the drop sensor.

Its data version is the digest of the folder's content: what was made of a folder that holds something else by now shows
as outdated (what was made before the sensor saw it does not: Dagster then knows no version that it was made from). A
release that has no such folder inherits one (`landing/folders.py`), and has no observation.
"""

from dagster import AssetKey, AssetSpec, DagsterInstance, MetadataValue

from korean_llm_assets.assets.observation import observe
from korean_llm_assets.landing.folders import KINDS, Landing
from korean_llm_assets.partitions.keys import release_key, releases
from trainers.contract.names import shown

_PREFIX = "landing"


def landing_key(kind: str) -> AssetKey:
    """The asset that stands for the landed folders of a kind."""
    return AssetKey([_PREFIX, kind])


LANDING_ASSETS = [
    AssetSpec(
        landing_key(kind),
        description=f"What was dropped as `<release>/{kind}/`; its version is the content's digest.",
        group_name=_PREFIX,
        kinds={"file"},
        partitions_def=releases,
    )
    for kind in KINDS
]


def observe_release(instance: DagsterInstance, landing: Landing, name: str) -> None:
    """Record what lies in each folder of a release, where that is news.

    Raises:
        BadData: it cannot be read; says why.
    """
    for kind, digest in landing.digests(name).items():
        says = {"folder": MetadataValue.text(f"{shown(name)}/{kind}")}
        observe(instance, landing_key(kind), release_key(name), digest, says)
