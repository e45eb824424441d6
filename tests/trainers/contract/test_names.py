"""Names from outside: which may become a path, and how they are shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.contract.names import LONGEST_PART, UnsafeName, checked, inside, shown


@pytest.mark.parametrize("name", ["뉴스 11월/a.txt", "A-1_b.c", "a/b/c", "가" * 85, "..a"[2:], "한글(1).jsonl"])
def test_a_usual_name_is_as_it_was(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "a//b", "/etc", "a/", ".", "..", "a/../b", "./a", ".git", "a/.x", "가" * 86, "\udcb4a", "a\nb", "\0"],
)
def test_any_other_is_refused_in_words_on_one_line(name: str) -> None:
    with pytest.raises(UnsafeName) as error:
        checked(name)
    assert str(error.value).isprintable()


def test_a_link_on_the_way_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "in").symlink_to(tmp_path / "root")
    assert inside(tmp_path / "root", "in/a") == tmp_path / "root/in/a"
    with pytest.raises(UnsafeName, match="leads out of"):
        inside(tmp_path / "root", "out/a")


@given(st.text(st.characters()))
def test_whatever_is_let_through_stays_below_its_root_and_fits_a_disk(name: str) -> None:
    try:
        path = inside(Path("/somewhere"), name)
    except UnsafeName:
        return
    assert path.is_relative_to("/somewhere") and path.as_posix() == f"/somewhere/{name}" and "\0" not in name
    assert all(0 < len(part.encode()) <= LONGEST_PART for part in path.parts)


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_one_line_that_any_stream_can_take(text: str) -> None:
    line = shown(text)
    assert len(line.splitlines()) <= 1 and "\x1b" not in line
    line.encode()
