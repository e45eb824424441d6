"""Recipe sections of the data assets: corpus, instructions, preferences, benchmarks."""

from typing import Literal

from pydantic import Field

from trainers.recipe.section import Section, Strict


class NormaliseSettings(Strict):
    """How text is brought to one form."""

    unicode: Literal["NFC", "NFKC"] = "NFC"
    repeats: int = Field(default=2, ge=0, description="longest run kept of a repeated letter or emoticon; 0 keeps all")


class FilterSettings(Strict):
    """Thresholds of the quality filters; a document outside one of them is excluded with that reason."""

    min_characters: int = Field(default=30, ge=0)
    max_characters: int = Field(default=2_000_000, ge=1)
    min_hangul_or_latin_share: float = Field(default=0.5, ge=0, le=1, description="letters of known scripts / letters")
    max_duplicate_line_share: float = Field(default=0.374, ge=0, le=1)
    max_symbol_share: float = Field(default=0.3, ge=0, le=1)
    min_mean_word_length: float = Field(default=1, ge=0)
    max_mean_word_length: float = Field(default=12, ge=1)


class CorpusSection(Section):
    """The corpus chain."""

    normalise: NormaliseSettings = NormaliseSettings()
    filter: FilterSettings = FilterSettings()
    mask_personal_data: bool = True
    exact_dedup: bool = True
    validation_share: float = Field(default=0.02, gt=0, lt=0.5)
    shard_megabytes: float = Field(default=64, gt=0)


class InstructionsSection(Section):
    """Instruction sets for SFT."""

    validation_share: float = Field(default=0.05, ge=0, lt=0.5)
    max_bad_share: float = Field(default=0.2, ge=0, le=1, description="more broken rows than this fail the asset")


class PreferencesSection(Section):
    """Preference pairs for RLHF."""

    validation_share: float = Field(default=0.05, ge=0, lt=0.5)
    max_bad_share: float = Field(default=0.2, ge=0, le=1)


class BenchmarksSection(Section):
    """Evaluation suites."""

    max_items_per_suite: int | None = Field(default=None, ge=1)


class DataRecipe(Strict):
    """`corpus.yaml`: the one recipe of the data assets."""

    seed: int = 42
    corpus: CorpusSection = CorpusSection()
    instructions: InstructionsSection = InstructionsSection()
    preferences: PreferencesSection = PreferencesSection()
    benchmarks: BenchmarksSection = BenchmarksSection()
