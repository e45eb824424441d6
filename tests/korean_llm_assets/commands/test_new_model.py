"""`new-model`: a page that loads and is planned, for a folder and for a repository, small and large."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from korean_llm_assets.__main__ import main
from tests.support.toy import build_model
from trainers.contract.model_shape import Shape
from trainers.contract.recipe import BaseSection, CptSection
from trainers.contract.recipe.loading import load_model_recipe

LARGE = {
    **{"model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "head_dim": 128},
    **{"num_key_value_heads": 8, "intermediate_size": 28_672, "vocab_size": 128_256, "tie_word_embeddings": False},
    "max_position_embeddings": 131_072,
}
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def recipes(home, monkeypatch) -> Path:
    monkeypatch.setenv("KOREAN_LLM_HOME", str(home.root))
    folder = home.root / "recipes"
    folder.mkdir(parents=True)
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(folder))
    return folder


@pytest.fixture
def hub(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answers = {
                "/api/models/maker/large": {"sha": REVISION},
                f"/maker/large/resolve/{REVISION}/config.json": LARGE,
                "/api/models/maker/large-Instruct": {
                    **{"sha": REVISION, "siblings": [{"rfilename": "config.json"}]},
                    "config": {"tokenizer_config": {"chat_template": "..."}},
                },
                f"/maker/large-Instruct/resolve/{REVISION}/config.json": LARGE,
            }
            body = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()


def test_a_folder_becomes_a_recipe_of_its_size(recipes, tmp_path, capsys):
    folder = build_model(tmp_path / "My Model", seed=1)
    assert main(["new-model", str(folder)]) == 0
    page = load_model_recipe(recipes / "my-model.yaml")
    base = page.section(BaseSection)
    assert (base.source, base.folder) == ("folder", str(folder))
    assert (Shape.of(page).hidden, Shape.of(page).head_dim, Shape.of(page).tied) == (32, 16, True)
    cpt = page.section(CptSection)
    assert (cpt.needs.gpus, cpt.shard_weights, cpt.max_length) == (1, False, 256)
    assert "wrote" in capsys.readouterr().out
    assert main(["new-model", str(folder)]) == 64, "what is there is not written over"


def test_a_machine_without_gpus_gets_a_page_that_asks_for_none(recipes, hub, tmp_path, capsys):
    """Else its SFT would be refused: what one GPU is asked for trains by unsloth. What does not fit is told here."""
    assert main(["new-model", str(build_model(tmp_path / "small", seed=1)), "--gpu", "none"]) == 0
    page = load_model_recipe(recipes / "small.yaml")
    sections = [page.cpt, page.sft, page.rlhf, page.evaluate, page.base_model]
    assert [section.needs.gpus for section in sections] == [0] * 5
    assert [section.settled for section in sections[:3]] == [{}] * 3
    assert "python -m trainers try --recipe small" in capsys.readouterr().out
    assert main(["new-model", "maker/large", "--gpu", "none"]) == 78
    assert "GB; name a --gpu (a100, b200, h100, h200)" in capsys.readouterr().err


def test_a_repository_becomes_a_recipe_by_its_commit(recipes, hub):
    """70 billion weights do not train whole on four H100: the planner's lighter method stands on the page."""
    assert main(["new-model", "maker/large"]) == 0
    page = load_model_recipe(recipes / "large.yaml")
    base = page.section(BaseSection)
    assert (base.repo, base.revision, base.template) == ("maker/large", REVISION, "llama3")
    assert page.section(CptSection).method == "lora"
    assert "cpt: lora" in (recipes / "large.yaml").read_text()


def test_a_model_that_chats_keeps_its_own_template_and_a_base_gets_its_familys(recipes, hub, tmp_path):
    assert main(["new-model", "maker/large-Instruct"]) == 0
    assert load_model_recipe(recipes / "large-instruct.yaml").section(BaseSection).template == "own"
    unknown = build_model(tmp_path / "ours", seed=1)
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps(config | {"model_type": "olmo2"}))
    templates = {}
    for name, change in (("with", lambda: None), ("without", (unknown / "chat_template.jinja").unlink)):
        change()
        assert main(["new-model", str(unknown), "--name", name]) == 0
        templates[name] = load_model_recipe(recipes / f"{name}.yaml").section(BaseSection).template
    assert templates == {"with": "own", "without": "chatml"}


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("no such thing", 64, "neither a folder nor a repository"),
        ("maker/unknown", 69, "the hub at http://127.0.0.1"),
        (None, 64, "name a model folder"),
    ],
)
def test_what_is_no_model_is_told(recipes, hub, capsys, source, code, words):
    assert main(["new-model", *([source] if source else [])]) == code
    assert words in capsys.readouterr().err


def test_a_folder_without_a_config_is_told(recipes, tmp_path, capsys):
    assert main(["new-model", str(tmp_path)]) == 64
    assert "config.json cannot be read" in capsys.readouterr().err
