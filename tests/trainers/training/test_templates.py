"""Chat templates: a family is one file, whose name the recipe knows; a user's own file, and the model's own."""

import json
from pathlib import Path

import pytest

from tests.support.families import build_family
from tests.support.micro import Micro
from trainers.contract import BadRequest
from trainers.contract.recipe.training import TEMPLATES, BaseSection
from trainers.training import templates
from trainers.training.templates import template_text, without_generation_marks

OURS = "{{ '<|im_start|>system\\n우리 회사의 비서입니다.<|im_end|>\\n' }}" + template_text("chatml")


def test_the_recipe_and_the_folder_know_the_same_families():
    assert set(TEMPLATES) == {path.stem for path in Path(templates.__file__).parent.glob("*.jinja")}


def test_another_name_is_no_template():
    with pytest.raises(ValueError, match="must be one of chatml, .*, own, or a file that ends in .jinja"):
        BaseSection(source="folder", folder="x", template="chatgpt")


@pytest.fixture
def micro(tmp_path) -> Micro:
    made = Micro(tmp_path / "micro")
    folder = build_family("smollm2", tmp_path / "source")
    made.sections["base_model"] = {"source": "folder", "folder": str(folder)}
    return made


def test_a_template_of_ones_own_counts_by_its_content(micro, tmp_path):
    file = tmp_path / "company.jinja"
    file.write_text(OURS)
    micro.sections["base_model"]["template"] = str(file)
    made = micro.here("base_model")
    path = micro.store.root / made.request.relative_path / "model" / "chat_template.jinja"
    assert path.read_text() == OURS
    file.write_text(OURS + "{# another #}")
    assert micro.request("base_model").digest != made.request.digest


def test_a_models_own_template_is_kept_wherever_it_stands_or_refused_where_nobody_sees_who_speaks(micro):
    folder = Path(micro.sections["base_model"]["folder"])
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    micro.sections["base_model"]["template"] = "own"
    for own in (OURS, without_generation_marks(OURS)):
        path.write_text(json.dumps(settings | {"chat_template": own}))
        made = micro.here("base_model")
        model = micro.store.root / made.request.relative_path / "model"
        assert (model / "chat_template.jinja").read_text() == own
        assert "chat_template" not in json.loads((model / "tokenizer_config.json").read_text())
    path.write_text(json.dumps(settings | {"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}))
    with pytest.raises(BadRequest, match="no {% generation %} marks.*in a copy of it and name that file"):
        micro.here("base_model")


def test_a_template_that_asks_otherwise_than_it_writes_is_refused(micro, tmp_path):
    file = tmp_path / "thinks.jinja"
    file.write_text(template_text("chatml").replace("|im_start|>assistant\\n", "|im_start|>assistant\\n<think>\\n"))
    micro.sections["base_model"]["template"] = str(file)
    with pytest.raises(BadRequest, match=r"asks for a reply with '<think>\\n', but writes none so: '네, 안녕"):
        micro.here("base_model")
