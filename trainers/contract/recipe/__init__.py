"""Recipes: one page of YAML that holds one complete, pinned run, read into typed sections (pages: `loading`)."""

from trainers.contract.recipe.alignment import RlhfSection
from trainers.contract.recipe.data import (
    BenchmarksSection,
    CorpusSection,
    DataSection,
    InstructionsSection,
    PreferencesSection,
)
from trainers.contract.recipe.evaluation import EvaluateSection, ExportSection, GateSection
from trainers.contract.recipe.section import Section
from trainers.contract.recipe.training import (
    BaseSection,
    CptSection,
    LoraSettings,
    ModelShape,
    ReplaySettings,
    SftSection,
    TrainingSection,
)

__all__ = [
    "BaseSection",
    "BenchmarksSection",
    "CorpusSection",
    "CptSection",
    "DataSection",
    "EvaluateSection",
    "ExportSection",
    "GateSection",
    "InstructionsSection",
    "LoraSettings",
    "ModelShape",
    "PreferencesSection",
    "ReplaySettings",
    "RlhfSection",
    "Section",
    "SftSection",
    "TrainingSection",
]
