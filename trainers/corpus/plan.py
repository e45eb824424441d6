"""A plan: what is done to which files. Work of one plan is never mixed with that of another."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trainers.text
from trainers.contract import canonical_json
from trainers.contract.digests import file_sha256
from trainers.contract.files import write_atomically
from trainers.contract.recipe import filters
from trainers.contract.recipe.data import CorpusSection
from trainers.contract.walk import Walk
from trainers.text.read import Block

_BUCKET_BYTES = 1 << 20
_EXPANSION = 4  # text bytes per packed byte, roughly: only the number of buckets depends on it


@dataclass(frozen=True)
class CorpusPlan:
    """The section, the drop, and the suites to keep out of the corpus."""

    section: CorpusSection
    drop: Walk
    suites: tuple[Path, ...] = ()

    @cached_property
    def code(self) -> str:
        """Digest of the code that does it."""
        return code_digest()

    @cached_property
    def digest(self) -> str:
        """Identity of the plan: code (the chain, `text`, the filters), the section, name and bytes of each input."""
        return hashlib.sha256(
            canonical_json(
                {
                    "code": self.code,
                    "section": self.section.model_dump(mode="json", exclude={"needs"}),
                    "files": {name: file_sha256(path) for name, path in self.drop.files.items()},
                    "refused": {name: refusal.reason for name, refusal in self.drop.refused.items()},
                    "suites": {path.name: file_sha256(path) for path in self.suites},
                }
            ).encode()
        ).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files as they lie there."""
        return sum(path.stat().st_size for path in self.drop.files.values())

    @property
    def buckets(self) -> int:
        """In how many parts the hashes are cut, so that one part of all blocks fits into memory."""
        return max(16, min(4096, 1 << (self.size * _EXPANSION // _BUCKET_BYTES).bit_length()))

    def place(self, folder: Path, block: Block) -> Path:
        """Where a cleaned block is published; it exists when the block is done."""
        return folder / f"{block.number:06d}-{self.digest[:16]}"

    def claim(self, work: Path, output: Path) -> None:
        """Make the folders of what is between the steps, and of the result, this plan's own.

        What another plan left there goes: the request is the same, so only the code can have changed.
        """
        mark = work.with_name(f"{work.name}.plan.json")
        if mark.exists() and json.loads(mark.read_text())["plan"] != self.digest:
            for folder in (work, output):
                shutil.rmtree(folder)
        for folder in (work, output):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(mark, json.dumps({"plan": self.digest, "files": sorted(self.drop.files)}, ensure_ascii=False))


def code_digest() -> str:
    """Digest of the chain's, the texts' and the filters' code that is installed here."""
    rooms = (Path(__file__).parent, Path(trainers.text.__file__).parent)
    modules = [*(path for room in rooms for path in sorted(room.rglob("*.py"))), Path(filters.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in modules)).hexdigest()
