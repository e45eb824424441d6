"""A plan: what is done to which files. Work of one plan is never mixed with that of another."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trainers.text
from trainers.contract import BadRequest, canonical_json
from trainers.contract.digests import file_sha256
from trainers.contract.files import write_atomically
from trainers.contract.recipe import filters
from trainers.contract.recipe.data import CorpusSection
from trainers.text.read import Block

_BUCKET_BYTES = 1 << 20
_EXPANSION = 4  # text bytes per packed byte, roughly: only the number of buckets depends on it


@dataclass(frozen=True)
class CorpusPlan:
    """The section, the files to read by name, and the suites to keep out of the corpus."""

    section: CorpusSection
    files: dict[str, Path]
    suites: tuple[Path, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Identity of the plan: code (the chain, `text`, the filters), the section, name and bytes of each input."""
        rooms = (Path(__file__).parent, Path(trainers.text.__file__).parent)
        modules = [*(path for room in rooms for path in sorted(room.glob("*.py"))), Path(filters.__file__)]
        code = hashlib.sha256(b"".join(path.read_bytes() for path in modules))
        return hashlib.sha256(
            canonical_json(
                {
                    "code": code.hexdigest(),
                    "section": self.section.model_dump(mode="json", exclude={"needs"}),
                    "files": {name: file_sha256(path) for name, path in self.files.items()},
                    "suites": {path.name: file_sha256(path) for path in self.suites},
                }
            ).encode()
        ).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files as they lie there."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def buckets(self) -> int:
        """In how many parts the hashes are cut, so that one part of all blocks fits into memory."""
        return max(16, min(4096, 1 << (self.size * _EXPANSION // _BUCKET_BYTES).bit_length()))

    def place(self, folder: Path, block: Block) -> Path:
        """Where a cleaned block is published; it exists when the block is done."""
        return folder / f"{block.number:06d}-{self.digest[:16]}"

    def claim(self, folder: Path, restart: bool) -> None:
        """Make a folder of cleaned blocks this plan's own.

        Args:
            folder: where blocks are published.
            restart: throw away what another plan left there, instead of refusing.

        Raises:
            BadRequest: the folder holds work of another plan.
        """
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder.with_name(f"{folder.name}.plan.json")
        if mark.exists():
            owner = json.loads(mark.read_text())["plan"]
            if owner == self.digest:
                return
            if not restart:
                raise BadRequest(
                    f"{folder} holds work of another plan ({owner[:16]}, not {self.digest[:16]}): settings, input "
                    "files or the code changed. Remove the folder to start anew, or use another one."
                )
            shutil.rmtree(folder)
            folder.mkdir()
        write_atomically(mark, json.dumps({"plan": self.digest, "files": sorted(self.files)}, ensure_ascii=False))
