"""Chat templates: a model family is one file, whose name the recipe knows."""

from pathlib import Path
from typing import get_args

from trainers.contract.recipe import BaseSection
from trainers.training import templates


def test_the_recipe_and_the_folder_know_the_same_families():
    files = {path.stem for path in Path(templates.__file__).parent.glob("*.jinja")}
    assert set(get_args(BaseSection.model_fields["template"].annotation)) == files
