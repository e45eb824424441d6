"""New tokens: those that byte-pair encoding would learn next, also where a tokenizer merges over whole documents."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.support.toy import sentences, train_tokenizer
from trainers.training.data.merges import learn_tokens

KOREAN = ["나는 학교에 갑니다. 너는 학교에 안 갑니다.\n학교는 가깝습니다.", "우리는 내일 학교에 갑니다!"] * 3


def sentencepiece(characters: str = "abcdefghijklmnopqrstuvwxyz", spaces: str = "normalizer") -> Tokenizer:
    """As Llama 2's or Gemma's: no words, spaces are letters, unknown characters are spelled in bytes."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    learned.train_from_iterator(
        ["the cat is in the house and the bus is there"],
        trainers.BpeTrainer(vocab_size=60, initial_alphabet=list(characters + "\u2581"), show_progress=False),
    )
    content = json.loads(learned.to_str())
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *content["model"]["vocab"]]
    content["model"] |= {"vocab": {token: number for number, token in enumerate(tokens)}, "byte_fallback": True}
    tokenizer = Tokenizer.from_str(json.dumps(content | {"pre_tokenizer": None}))
    if spaces == "normalizer":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def with_tokens(tokenizer: Tokenizer, learned: list[tuple[str, ...]]) -> Tokenizer:
    """The tokenizer with new tokens, as `expand` writes it."""
    content = json.loads(tokenizer.to_str())
    for pieces in learned:
        content["model"]["vocab"].setdefault("".join(pieces), len(content["model"]["vocab"]))
        if len(pieces) > 1:
            content["model"]["merges"].append(list(pieces))
    return Tokenizer.from_str(json.dumps(content))


def test_pairs_are_those_of_byte_pair_encoding():
    tokenizer = train_tokenizer(sentences(200, seed=0), vocabulary=400).backend_tokenizer
    learned = learn_tokens(["abab abab abcab"] * 2, tokenizer, 3)
    assert learned[0] == ("a", "b")
    assert ("ab", "ab") in learned


@pytest.mark.parametrize("spaces", ["normalizer", "pre_tokenizer"])
def test_a_tokenizer_without_words_learns_within_words_lines_and_signs(spaces):
    tokenizer = sentencepiece(spaces=spaces)
    learned = learn_tokens(KOREAN, tokenizer, 60)
    tokens = ["".join(pieces) for pieces in learned]
    assert "\u2581학교에" in tokens and "\u2581갑니다" in tokens
    for token in tokens:
        assert "\u2581" not in token[1:] and "\n" not in token, "no token crosses a space or a line"
        assert not any(sign in token for sign in ".!") or not any("가" <= letter <= "힣" for letter in token)
    assert not any("<0x" in token for token in tokens), "a byte stands for itself alone"


def test_characters_that_are_spelled_in_bytes_become_tokens_and_texts_read_the_same():
    tokenizer = sentencepiece()
    learned = learn_tokens(KOREAN, tokenizer, 60)
    characters = [piece for pieces in learned if len(pieces) == 1 for piece in pieces]
    assert characters[:5] == ["는", "학", "교", "니", "다"], "the most frequent first"
    expanded = with_tokens(tokenizer, learned)
    for text in (*KOREAN, "그런데 the cat is 뷁."):
        assert expanded.decode(expanded.encode(text).ids) == tokenizer.decode(tokenizer.encode(text).ids) == text
    before, after = (sum(len(one.encode(text).ids) for text in KOREAN) for one in (tokenizer, expanded))
    assert after < 0.4 * before
    assert expanded.encode("the house").ids == tokenizer.encode("the house").ids


def test_a_document_is_no_word(monkeypatch):
    """Its length must not matter: each word is counted once, however often it stands in how long a text."""
    calls = []
    monkeypatch.setattr(
        "trainers.training.data.merges._learn_merges", lambda pieces, counts, most: calls.append((pieces, counts)) or []
    )
    learn_tokens([" ".join(KOREAN) * 100], sentencepiece(), 10)
    ((pieces, counts),) = calls
    assert len(pieces) < 20 and max(counts) >= 300
