"""Who finds the nouns of Korean text, behind one function: soynlp, kiwi, or konlpy's Okt.

soynlp finds them by statistics alone, without a dictionary, so new names are found too: the default. kiwi knows
morphemes and is as fast; Okt does too, and needs a JDK. All three give counts of nouns of two syllables and more.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from trainers.contract import BadRequest

_LEAST_SYLLABLES = 2


def nouns_of(tagger: str, texts: Sequence[str]) -> Counter[str]:
    """How often each noun occurs.

    Raises:
        BadRequest: the tagger's package is not installed; says what to install.
    """
    counts = _TAGGERS[tagger](texts)
    return Counter({noun: count for noun, count in counts.items() if len(noun) >= _LEAST_SYLLABLES})


def _by_soynlp(texts: Sequence[str]) -> Counter[str]:
    extractor = _imported("soynlp.noun", "soynlp").LRNounExtractor_v2(verbose=False)
    return Counter({noun: score.frequency for noun, score in extractor.train_extract(list(texts)).items()})


def _by_kiwi(texts: Sequence[str]) -> Counter[str]:
    kiwi = _imported("kiwipiepy", "kiwipiepy").Kiwi(num_workers=1)
    return Counter(token.form for tokens in kiwi.tokenize(texts) for token in tokens if token.tag in ("NNG", "NNP"))


def _by_konlpy(texts: Sequence[str]) -> Counter[str]:
    tag, jpype = _imported("konlpy.tag", "konlpy"), _imported("jpype", "JPype1")
    try:
        okt = tag.Okt()
    except jpype.JVMNotFoundException as error:
        raise BadRequest(
            "noun_tagger konlpy needs a JDK: install one (apt-get install default-jdk-headless) and set JAVA_HOME, "
            "or write noun_tagger: soynlp"
        ) from error
    return Counter(noun for text in texts for noun in okt.nouns(text))


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadRequest(f"noun_tagger needs the package {package} ({error}): pip install {package}") from error


_TAGGERS: dict[str, Callable[[Sequence[str]], Counter[str]]] = {
    "soynlp": _by_soynlp,
    "kiwi": _by_kiwi,
    "konlpy": _by_konlpy,
}
