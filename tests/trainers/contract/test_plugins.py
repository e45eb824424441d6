"""Plugins: found where they are looked for and nowhere else, known by their files, refused where data lies."""

import shutil
import sys

import pytest

from tests.support.plugins import FOLDER
from trainers.contract import BadRequest
from trainers.contract.plugins import PluginName, check_plugins, load_plugin, plugin_digests

KEY = "corpus.filter.rules"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "plugins"
    folder.mkdir()
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def forgotten():
    """Modules that a test loads are not there for the next one."""
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        del sys.modules[name]


def write(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def package(folder, name, **modules):
    (folder / name).mkdir()
    write(folder / name, __init__="", **modules)
    return folder / name


def digest(name):
    return plugin_digests({name: KEY})[name]


@pytest.mark.parametrize("name", ("rules", "rules:", ":f", "a..b:f", "a/b:f", "1a:f", "a:f:g", "a.class:f", "a: f"))
def test_what_is_no_name_of_a_plugin(name):
    with pytest.raises(ValueError, match="must be module:function"):
        PluginName(name)


def test_a_module_of_the_folder_and_one_of_a_package(folder):
    write(folder, alone="def f(text): return text + '!'")
    package(
        folder,
        "several",
        rules="from several.words import WORDS\ndef f(text): return text in WORDS",
        words="WORDS = ['가']",
    )
    assert load_plugin("alone:f", KEY)("네") == "네!"
    assert load_plugin("several.rules:f", KEY)("가") is True
    assert load_plugin("several.rules:f", KEY) is load_plugin("several.rules:f", KEY)


def test_an_installed_package_needs_no_folder():
    assert load_plugin("yaml:safe_load", KEY)("a: 1") == {"a": 1}
    assert len(digest("yaml:safe_load")) == 64


def test_the_digest_is_of_the_files_and_imports_nothing(folder):
    home = package(folder, "several", rules="raise RuntimeError('imported')")
    first = digest("several.rules:f")
    assert digest("several.rules:f") == first and "several" not in sys.modules
    (home / "__pycache__").mkdir()
    (home / "__pycache__" / "rules.cpython-311.pyc").write_bytes(b"x")
    (home / ".rules.py.swp").write_bytes(b"x")
    assert digest("several.rules:f") == first
    (home / "words.txt").write_text("광고")
    second = digest("several.rules:f")
    (home / "rules.py").write_text("raise RuntimeError('Imported')")
    assert len({first, second, digest("several.rules:f")}) == 3


def test_where_it_lies_does_not_change_the_digest(folder, monkeypatch):
    package(folder, "several", rules="")
    first = digest("several.rules:f")
    shutil.move(folder, folder.with_name("moved"))
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(folder.with_name("moved")))
    assert digest("several.rules:f") == first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent:f", [KEY, "absent is not there", "alone, broken, json, several", "KOREAN_LLM_PLUGINS", "Install"]),
        ("several.absent:f", ["several.absent is not there", "modules of several: rules"]),
        ("alone.deeper:f", ["alone.deeper is not there"]),
        ("bare.rules:f", ["bare is no package (it has no __init__.py)"]),
        ("alone:g", ["no such function", "alone.py", "it has: f"]),
        ("alone:WORDS", ["no such function"]),
        ("broken:f", ["broken.py fails when it is imported", "NameError"]),
        ("json:loads", ["json is another module here"]),
        ("neighbour:f", ["ModuleNotFoundError", "alone"]),
    ],
)
def test_what_is_wrong_is_told_by_key_and_module(folder, name, words):
    write(folder, alone="WORDS = []\ndef f(text): pass", broken="nothing", json="def loads(text): pass")
    package(folder, "several", rules="")
    (folder / "bare").mkdir()
    write(folder / "bare", rules="def f(text): pass")
    if name.startswith("neighbour"):  # its digest would not cover what it imports
        write(folder, neighbour="import alone")
    with pytest.raises(BadRequest) as caught:
        load_plugin(name, KEY)
    for word in words:
        assert word in str(caught.value)


def test_nothing_is_taken_from_the_working_folder_or_pythonpath(tmp_path, monkeypatch):
    write(tmp_path, nearby="def f(text): pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with pytest.raises(BadRequest, match="nearby is not there.*nothing is taken from the working folder"):
        load_plugin("nearby:f", KEY)
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", ".")
    assert load_plugin("nearby:f", KEY)


@pytest.mark.parametrize("called", ["site-packages", "dist-packages"])
def test_a_folder_of_pythonpath_is_not_where_packages_are_installed_whatever_it_is_called(
    tmp_path, monkeypatch, called
):
    folder = tmp_path / called
    folder.mkdir()
    write(folder, nearby="def f(text): pass")
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(BadRequest, match="nearby is not there"):
        load_plugin("nearby:f", KEY)


def test_a_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(tmp_path / "absent"))
    with pytest.raises(BadRequest, match="absent'; it must be a folder that exists"):
        load_plugin("alone:f", KEY)


def check(roots, digests=None):
    named = {"alone:f": KEY}
    check_plugins(named, plugin_digests(named) if digests is None else digests, roots)


def test_code_is_never_taken_from_where_data_lies(tmp_path, monkeypatch):
    landing, store = tmp_path / "landing", tmp_path / "artifacts"
    for inside in (landing / "r1" / "corpus", store / "corpus", landing):
        inside.mkdir(parents=True, exist_ok=True)
        write(inside, alone="def f(text): pass")
        monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(inside))
        with pytest.raises(BadRequest, match="where data lies: code is never taken from there"):
            check([landing, store])
    linked = tmp_path / "plugins"
    linked.mkdir()
    (linked / "alone.py").symlink_to(landing / "alone.py")
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(linked))
    with pytest.raises(BadRequest, match=r"alone\.py is data"):
        check([landing, store])
    check([store])


def test_data_of_single_files_keeps_code_from_their_folder_alone(folder):
    write(folder, alone="def f(text): pass")
    beside, within = folder.parent / "a.jsonl", folder / "texts" / "a.jsonl"
    within.parent.mkdir()
    for file in (beside, within):
        file.write_text("{}")
    check([beside])
    for data in (within, folder / "alone.py"):
        with pytest.raises(BadRequest, match=f"where the data {data} lies: code is never taken from there"):
            check([data])


def test_the_code_must_be_that_of_the_request(folder):
    write(folder, alone="def f(text): pass")
    there = plugin_digests({"alone:f": KEY})
    check([], there)
    write(folder, alone="def f(text): return True")
    for digests in (there, {}):
        with pytest.raises(BadRequest, match=r"is not that of the request .*the same package"):
            check([], digests)
    check_plugins({}, {}, [])


def test_the_package_of_the_tests_is_found(monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    assert load_plugin("korean_extras.rules:too_many_ads", KEY)("무료 쿠폰, 특가!") == "무료, 특가, 쿠폰"
