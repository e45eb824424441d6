"""Approvals: a person's decision to deploy a model whose gate failed, kept as a file beside the report's artifact."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainers.contract import STAGES, BadRequest, Manifest, settings
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.files import write_atomically


class Approval(BaseModel):
    """Who took responsibility, when, why, and for exactly which report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    who: str = Field(min_length=1)
    when: datetime
    why: str = Field(min_length=10, description="a reason that another person can judge")
    report: str = Field(description="content digest of the eval_report")

    @property
    def in_words(self) -> str:
        """One line for the UI."""
        return f"approved by {self.who} on {self.when:%Y-%m-%d %H:%M} UTC: {self.why}"


def approval_of(store: ArtifactStore, report: Manifest) -> Approval | None:
    """The approval of this very report, or None; one of another content does not count.

    Raises:
        BadRequest: there is a file, but it is no approval, is of another report, or of somebody who may not approve.
    """
    path = store.beside(report.request).approval
    if not path.exists():
        return None
    try:
        approval = Approval.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BadRequest(f"{path} is no approval (who, when, why, report): {error}") from error
    if approval.report != report.digest:
        raise BadRequest(f"{path} approves report {approval.report[:12]}, but this one is {report.digest[:12]}")
    check_approver(approval.who)
    return approval


def check_approver(who: str) -> None:
    """Refuse whoever is not on the list of KOREAN_LLM_APPROVERS, where there is one.

    Raises:
        BadRequest: with the names of those who may.
    """
    approvers = settings.APPROVERS.get()
    if approvers is not None and who not in approvers:
        names = ", ".join(approvers)
        raise BadRequest(
            f"{who or 'nobody'} may not answer for what is served; {names} may ({settings.APPROVERS.name})"
        )


def approve(store: ArtifactStore, report: Manifest, who: str, why: str) -> Approval:
    """Keep an approval beside the report.

    Raises:
        BadRequest: no name, or no real reason; or somebody who may not approve.
    """
    check_approver(who)
    try:
        approval = Approval(who=who, why=why, when=datetime.now(UTC), report=report.digest)
    except ValidationError as error:
        raise BadRequest(f"an approval needs a name and a reason of ten letters or more: {error}") from error
    write_atomically(store.beside(report.request).approval, approval.model_dump_json(indent=1) + "\n")
    return approval


def find_report(store: ArtifactStore, model: str, release: str, beginning: str = "") -> Manifest:
    """The report of a model and release, verified; `beginning` of its content digest, where there are several.

    Raises:
        BadRequest: there is none, or more than one; names those there are.
    """
    there = [place for place in store.cell(STAGES["evaluate"], model, release).places if place.manifest.exists()]
    reports = [report for place in there if (report := store.read(place.folder)).digest.startswith(beginning)]
    if len(reports) != 1:
        names = ", ".join(report.digest[:12] for report in reports) or "none"
        raise BadRequest(f"one report of {model}/{release} is needed (--report DIGEST); there is: {names}")
    return reports[0]
