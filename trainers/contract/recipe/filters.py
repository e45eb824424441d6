"""The quality filters of the corpus: each rule is one field here, with its feature, its default and why.

A rule over features that are counted already is one more field. A new count is one more member of `Feature`, and the
line of the kernel that counts it, in `trainers/text/filters.py`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from trainers.contract.recipe.section import Plugin, Strict


@dataclass(frozen=True)
class Rule:
    """Excludes documents, with the reason `name`, whose `feature` is under the value of a field called `min_...`, or
    over that of one called `max_...`.

    `feature`: counts of `trainers/text/filters.py`, in lower case: one of them, the share of one in another, or a sum
    of such: `digits/characters`. `least`: a fixed limit in the place of the field's value. `on`: the documents that
    the rule is for; `lines` and `words` are those that have enough of them (`line_rules_from`, `word_rules_from`);
    `foreign` are those that are not Korean, `korean` those that are and have enough of either.
    """

    name: str
    feature: str
    on: Literal["all", "lines", "foreign lines", "words", "korean"] = "all"
    least: int | None = None


class FilterSettings(Strict):
    """Thresholds of the quality filters; a document outside one of them is excluded with that reason.

    The first rule that a document breaks, in the order of the fields, is its reason.
    """

    line_rules_from: int = Field(default=8, ge=1, description="lines a document must have for the rules on lines")
    word_rules_from: int = Field(default=20, ge=1, description="words a document must have for the rules on words")
    latin_languages: tuple[str, ...] = Field(
        default=(), description="languages of Latin script that stay (en, de), told apart by py3langid; []: all of them"
    )
    min_characters: Annotated[int, Rule("too_short", "characters")] = Field(
        default=30, ge=0, description="of a document"
    )
    max_characters: Annotated[int, Rule("too_long", "characters")] = Field(
        default=2_000_000, ge=1, description="of a document"
    )
    min_hangul_or_latin_share: Annotated[
        float,
        Rule("no_letters", "letters", least=1),
        Rule("language", "hangul/letters + latin/letters + hanja/letters"),
    ] = Field(default=0.5, ge=0, le=1, description="Hangul, Latin, and Hanja in words that Hangul ends / letters")
    max_replacement_share: Annotated[float, Rule("replacement_characters", "replacements/characters")] = Field(
        default=0.01, ge=0, le=1, description="U+FFFD, lost in an earlier decoding"
    )
    max_symbol_share: Annotated[float, Rule("symbols", "symbols/characters")] = Field(
        default=0.3, ge=0, le=1, description="symbols / characters"
    )
    max_digit_share: Annotated[float, Rule("digits", "digits/characters")] = Field(
        default=0.5, ge=0, le=1, description="digits / characters"
    )
    min_mean_word_length: Annotated[float, Rule("short_words", "word_characters/words", "words")] = Field(
        default=1, ge=0, description="characters; words are runs of letters and digits"
    )
    max_mean_word_length: Annotated[float, Rule("long_words", "word_characters/words", "words")] = Field(
        default=8, ge=1, description="FineWeb-2's 6 counts morphemes, this counts words"
    )
    max_duplicate_line_share: Annotated[
        float, Rule("duplicate_lines", "duplicate_line_characters/line_characters", "lines")
    ] = Field(
        default=0.5,
        ge=0,
        le=1,
        description="characters in lines seen before in the text / in lines; of a Korean text only lines with Hangul "
        "count as seen before, as code repeats itself",
    )
    max_repeated_ngram_share: Annotated[float, Rule("repeated_ngrams", "repeated_ngrams/ngrams", "words")] = Field(
        default=0.3, ge=0, le=1, description="word 8-grams seen before in the text"
    )
    max_bullet_line_share: Annotated[float, Rule("bullets", "bullet_lines/lines", "foreign lines")] = Field(
        default=0.9, ge=0, le=1, description="lines that begin with a bullet / lines, where a text is not Korean"
    )
    max_ellipsis_line_share: Annotated[float, Rule("ellipses", "ellipsis_lines/lines", "lines")] = Field(
        default=0.7, ge=0, le=1, description="lines that end with an ellipsis / lines; FineWeb-2's 0.3 takes diaries"
    )
    min_ended_line_share: Annotated[float, Rule("unfinished_lines", "ended_lines/lines", "foreign lines")] = Field(
        default=0.062, ge=0, le=1, description="lines that end with punctuation, where a text is not Korean"
    )
    min_functional_word_share: Annotated[float, Rule("no_stop_words", "functional_words/korean_words", "korean")] = (
        Field(default=0.15, ge=0, le=1, description="Korean words ending in a particle or an ending: prose has a third")
    )
    rules: tuple[Plugin, ...] = Field(
        default=(), description="rules of your own, module:function: slow Python (trainers/text/own_rules.py)"
    )


RULES: tuple[tuple[str, Rule], ...] = tuple(
    (key, rule)
    for key, field in FilterSettings.model_fields.items()
    for rule in field.metadata
    if isinstance(rule, Rule)
)
"""Key of the settings, and rule, in the order in which they are tried."""
