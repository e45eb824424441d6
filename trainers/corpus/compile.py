"""`python -m trainers.corpus.compile`: compile the chain's loops once, at set-up or image build, not in the first run.

Numba keeps the machine code beside the source files, or under NUMBA_CACHE_DIR where that is set.
"""

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from trainers.contract import DEDUP_INDEX, Needs
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.chain import build
from trainers.corpus.earlier import EarlierCorpus
from trainers.corpus.plan import CorpusPlan
from trainers.text.read import files_below

_TEXTS = (
    "강가에 나무가 한 그루 있고 그 아래에서 아이들이 책을 읽다가 해가 지면 집으로 돌아갔습니다.",
    "시장에서는 아침마다 상인들이 과일을 늘어놓고 손님을 부르며 하루를 시작한다고 했습니다.",
)


class _Silent:
    """Says nothing: the two documents are of no interest."""

    def say(self, text: str) -> None:
        """Nothing."""

    warn = say

    def progress(self, *_: object) -> None:
        """Nothing."""

    metrics = training_ended = progress


def main() -> int:
    """Run every loop on two documents, twice: the second run has a suite to keep out and an earlier release."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        suite = _write(home / "suite.jsonl", [f"{_TEXTS[0]} 그리고 별이 떴습니다."])
        first = _write(home / "first.jsonl", _TEXTS)
        second = _write(home / "second.jsonl", [" ".join(reversed(text.split())) for text in _TEXTS])
        section = CorpusSection(validation_share=0.4)
        for number, plan in enumerate(
            (CorpusPlan(section, files_below(first)), CorpusPlan(section, files_below(second), (suite,)))
        ):
            folder = home / str(number)
            (folder / "output").mkdir(parents=True)
            earlier = [EarlierCorpus("first", home / "0" / "output" / DEDUP_INDEX)] if number else []
            build(plan, folder, folder / "output", _Silent(), Needs(), earlier)
    return 0


def _write(path: Path, texts: Iterable[str]) -> Path:
    rows = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
