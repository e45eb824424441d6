"""The unigram model that continued pre-training must beat, on the same tokens."""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from transformers import PreTrainedTokenizerBase

LOG2 = math.log(2)


class Unigram:
    """Token frequencies with add-one smoothing over the whole vocabulary.

    Add-one gives every token that the training split lacks the count 1, so that held-out text has a finite
    cost. With far more training tokens than vocabulary its effect on the figure is small, and it favours
    the unigram model over no smoothing at all (which would be infinite).
    """

    def __init__(self, counts: Counter[int], vocabulary: int):
        self._counts = counts
        self._log_total = math.log(counts.total() + vocabulary)

    @classmethod
    def fit(cls, texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, most_bytes: int) -> "Unigram":
        """Count the tokens of texts, up to so many bytes of them."""
        counts: Counter[int] = Counter()
        seen = 0
        remaining = iter(texts)
        while seen < most_bytes and (some := list(islice(remaining, 256))):
            seen += sum(len(text.encode()) for text in some)
            for ids in tokenizer(some, add_special_tokens=False, split_special_tokens=True)["input_ids"]:
                counts.update(ids)
        return cls(counts, len(tokenizer))

    def bits(self, ids: Iterable[int]) -> float:
        """Bits that the tokens cost."""
        return sum(self._log_total - math.log(self._counts[token] + 1) for token in ids) / LOG2
