"""Ollama's Modelfile: which file, the chat template in Go's language, and what ends a reply.

Ollama runs no Jinja. Its template is put together from what ours writes around each turn, and compared with ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SYSTEM, _USER, _ASSISTANT, _AGAIN = "첫째 말", "둘째 말", "셋째 말", "넷째 말"


@dataclass(frozen=True)
class TurnMarks:
    """What a chat template writes around the turns of a conversation."""

    before_system: str
    after_system: str
    before_all: str
    """Instead of a system turn, where there is none."""
    before_user: str
    after_user: str
    before_assistant: str
    after_assistant: str

    @classmethod
    def of(cls, tokenizer: Any) -> "TurnMarks | None":
        """Those of a tokenizer's template; None where it is no plain sequence of turns."""
        system, user = {"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}
        assistant, again = {"role": "assistant", "content": _ASSISTANT}, {"role": "user", "content": _AGAIN}

        def written(turns: list[dict[str, str]], then: bool = False) -> str:
            return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=then))

        whole, alone = written([system, user, assistant, again], then=True), written([user])
        if not all(whole.count(text) == 1 for text in (_SYSTEM, _USER, _ASSISTANT, _AGAIN)):
            return None
        first, rest = whole.split(_SYSTEM)
        between, rest = rest.split(_USER)
        turned, rest = rest.split(_ASSISTANT)
        handed_back, end = rest.split(_AGAIN)
        opening, after_user = alone.split(_USER)
        after_assistant = written([user, assistant]).split(_ASSISTANT)[1]
        before_user = handed_back.removeprefix(after_assistant)
        marks = cls(
            before_system=first,
            after_system=between.removesuffix(before_user),
            before_all=opening.removesuffix(before_user),
            before_user=before_user,
            after_user=after_user,
            before_assistant=end.removeprefix(after_user),
            after_assistant=after_assistant,
        )
        return marks if marks.whole == whole and turned == end else None

    @property
    def whole(self) -> str:
        """System, user, assistant, user, and where the assistant speaks next."""
        question = f"{self.before_user}{{}}{self.after_user}{self.before_assistant}"
        return (
            f"{self.before_system}{_SYSTEM}{self.after_system}{question.format(_USER)}"
            f"{_ASSISTANT}{self.after_assistant}{question.format(_AGAIN)}"
        )

    def in_go(self, begin: str) -> str:
        """For Ollama; without `begin`, the token that llama.cpp itself puts before a text."""
        opened, unopened = (text.removeprefix(begin) for text in (self.before_system, self.before_all))
        return (
            f"{{{{ if .System }}}}{opened}{{{{ .System }}}}{self.after_system}{{{{ else }}}}{unopened}{{{{ end }}}}"
            '{{ range .Messages }}{{ if eq .Role "user" }}'
            f"{self.before_user}{{{{ .Content }}}}{self.after_user}"
            '{{ else if eq .Role "assistant" }}'
            f"{self.before_assistant}{{{{ .Content }}}}{self.after_assistant}"
            f"{{{{ end }}}}{{{{ end }}}}{self.before_assistant}"
        )


def modelfile(file: str, marks: TurnMarks | None, begin: str, stops: Sequence[str], length: int, system: str) -> str:
    """The text of a Modelfile beside a GGUF file.

    Args:
        file: its name.
        marks: of the chat template; None leaves Ollama to what it makes of the template inside the file.
        begin: the token that llama.cpp puts before a text by itself, or nothing.
        stops: tokens that end a reply.
        length: tokens of a conversation, at most.
        system: the system turn that the model was trained with, or nothing.
    """
    lines = [f"FROM ./{file}"]
    lines += [f'TEMPLATE """{marks.in_go(begin)}"""'] if marks else []
    lines += [f'SYSTEM """{system}"""'] if system else []
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    return "\n".join([*lines, f"PARAMETER num_ctx {length}"]) + "\n"
