"""A padded batch without its padding: whole sequences side by side in rows, logits only where they are read."""

from typing import Any

import torch

_FILL = 0.99
"""Share of a packed batch's cells that hold a token, at least."""


class PaddingFree:
    """A model whose forward pass leaves out padding, and logits that nobody reads; all else is as before.

    TRL's losses want one sequence to a row, so that short ones are padded to the longest, and logits of the whole
    sequence, of which they read the answer's. Here sequences are laid end to end in fewer rows, positions that start
    again keep them apart (as in `PackedCollator`), only the hidden states that predict an answer's token reach the
    model's head, and their logits are returned where the caller expects them: the same figures, less work.
    """

    def __init__(self, model: Any, head: torch.nn.Module, answers: torch.Tensor):
        """`head`: the layer of the model that makes logits; `answers` (sequences, tokens): 1 for an answer's tokens."""
        self._model = model
        self._head = head
        self._read = torch.nn.functional.pad(answers[:, 1:], (0, 1)).bool()  # a token is predicted at the one before it

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **named: Any) -> Any:
        """The model's output for right-padded `input_ids` (sequences, tokens); logits that are not read are zeros."""
        real = attention_mask.bool()
        begins, rows, width = _places(attention_mask.sum(1).tolist())
        steps = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        cells = begins.to(input_ids.device)[:, None] + steps
        packed, positions = (input_ids.new_zeros(rows * width) for _ in range(2))
        packed[cells[real]], positions[cells[real]] = input_ids[real], steps[real]
        read = cells[self._read]
        hook = self._head.register_forward_pre_hook(lambda _, hidden: (hidden[0].flatten(0, 1)[None, read],))
        try:
            outputs = self._model(input_ids=packed.view(rows, -1), position_ids=positions.view(rows, -1), **named)
        finally:
            hook.remove()
        logits = outputs.logits.new_zeros(*input_ids.shape, outputs.logits.shape[-1])
        logits[self._read] = outputs.logits[0]
        outputs.logits = logits
        return outputs


def _places(lengths: list[int]) -> tuple[torch.Tensor, int, int]:
    """Where each sequence begins among all cells of the packed rows; the rows' number and width."""
    rows = layout(lengths)
    width = max(sum(lengths[sequence] for sequence in row) for row in rows)
    begins = torch.zeros(len(lengths), dtype=torch.long)
    for number, row in enumerate(rows):
        at = number * width
        for sequence in row:
            begins[sequence] = at
            at += lengths[sequence]
    return begins, len(rows), width


def layout(lengths: list[int]) -> list[list[int]]:
    """Sequences by row: as many rows as leave at most a hundredth of their cells empty.

    Many short rows are cheaper than few long ones: attention is reckoned, if not paid, over a whole row.
    """
    layouts = (_balanced(lengths, count) for count in range(len(lengths), 0, -1))
    return next(rows for rows, filled in layouts if sum(filled) >= _FILL * len(rows) * max(filled))


def _balanced(lengths: list[int], count: int) -> tuple[list[list[int]], list[int]]:
    """The longest sequence first, each into the row that is shortest by then (Graham 1969); the rows' tokens, too."""
    rows: list[list[int]] = [[] for _ in range(count)]
    filled = [0] * count
    for sequence in sorted(range(len(lengths)), key=lambda sequence: -lengths[sequence]):
        row = filled.index(min(filled))
        rows[row].append(sequence)
        filled[row] += lengths[sequence]
    return rows, filled
