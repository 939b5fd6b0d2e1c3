"""A file that is a git-lfs pointer or a web page is told from one that only looks a little like it."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.stand_ins import (
    begins_pointer,
    is_page,
    is_pointer,
    resembles_pointer,
)

from tests.support.standin_hub import pointer_of


@pytest.mark.parametrize(
    ("content", "pointer", "page"),
    [
        (pointer_of(b"weights"), True, False),
        (pointer_of(b"weights").ljust(1024, b"x"), False, False),
        (b" " + pointer_of(b"weights"), False, False),
        (b"<!doctype html>", False, True),
        (b"\xef\xbb\xbf\r\n <HTML lang=en>", False, True),
        (b"text, then <html>", False, False),
        (b"", False, False),
    ],
)
def test_what_stands_in_for_a_file_is_known_by_its_first_bytes(tmp_path, content, pointer, page):
    (tmp_path / "file").write_bytes(content)
    assert (is_pointer(str(tmp_path / "file")), is_page(str(tmp_path / "file"))) == (pointer, page)


def test_a_repository_may_hold_a_text_about_pointers_and_a_model_may_not():
    text = b"version https://git-lfs.example.com/other\n"
    assert resembles_pointer(text) and not begins_pointer(text)
    assert begins_pointer(b"version https://git-lfs.github.com/spec/v1\n")
