"""Recipes: one page of YAML that holds one complete, pinned run, read into typed sections."""

from trainers.contract.recipe.alignment import RlhfSection
from trainers.contract.recipe.data import (
    BenchmarksSection,
    CorpusSection,
    DataRecipe,
    InstructionsSection,
    PreferencesSection,
)
from trainers.contract.recipe.evaluation import EvaluateSection, ExportSection, GateSection
from trainers.contract.recipe.loading import (
    ModelRecipe,
    load_data_recipe,
    load_model_recipe,
    load_model_recipes,
    recipe_folders,
    section_dict,
)
from trainers.contract.recipe.section import Section
from trainers.contract.recipe.training import (
    BaseSection,
    CptSection,
    LoraSettings,
    ModelShape,
    SftSection,
    TrainingSection,
)

SECTIONS: dict[str, type[Section]] = {
    "corpus": CorpusSection,
    "instructions": InstructionsSection,
    "preferences": PreferencesSection,
    "benchmarks": BenchmarksSection,
    "base_model": BaseSection,
    "cpt": CptSection,
    "sft": SftSection,
    "rlhf": RlhfSection,
    "evaluate": EvaluateSection,
    "export": ExportSection,
}
"""The typed section that each stage reads."""

__all__ = [
    "SECTIONS",
    "BaseSection",
    "BenchmarksSection",
    "CorpusSection",
    "CptSection",
    "DataRecipe",
    "EvaluateSection",
    "ExportSection",
    "GateSection",
    "InstructionsSection",
    "LoraSettings",
    "ModelRecipe",
    "ModelShape",
    "PreferencesSection",
    "RlhfSection",
    "Section",
    "SftSection",
    "TrainingSection",
    "load_data_recipe",
    "load_model_recipe",
    "load_model_recipes",
    "recipe_folders",
    "section_dict",
]
