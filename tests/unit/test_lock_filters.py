"""An operator may replace entries of a lock: tried on the real locks."""

from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.filter.locks import entries, lock_faults, lock_with

LOCKS = Path(__file__).resolve().parents[2] / "files" / "locks"
GUIDE = (LOCKS / "el7-v100-torch19.txt").read_text()
WHEEL = {
    "name": "torch",
    "url": "https://download.pytorch.org/whl/cu111/torch-1.9.1%2Bcu111-cp39-cp39-linux_x86_64.whl",
    "sha256": "ab" * 32,
}
GIT = {"url": "https://example.org/FastChat.git", "commit": "0123456789" * 4}


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda path: path.stem)
def test_without_wishes_every_lock_stays_as_it_is_byte_for_byte(lock):
    text = lock.read_text()
    assert lock_with(text, [], {}) == text
    assert text.count("==") == len([name for name, _lines in entries(text) if name])


def test_the_guide_s_torch_takes_the_place_of_the_lock_s_and_nothing_else_changes():
    assert lock_faults(GUIDE, [WHEEL], {}) == []
    changed = lock_with(GUIDE, [WHEEL], {})
    before, after = GUIDE.splitlines(), changed.splitlines()
    assert [line for line in after if line not in before] == [f"torch @ {WHEEL['url']} --hash=sha256:{'ab' * 32}"]
    gone = [line.strip(" \\") for line in before if line not in after]
    assert gone[0] == "torch==1.9.1" and all(line.startswith("--hash=sha256:") for line in gone[1:])


def test_fastchat_from_git_leaves_its_release_out_and_keeps_what_it_needs():
    names = [name for name, _lines in entries(lock_with(GUIDE, [], GIT))]
    assert "fschat" not in names and {"torch", "transformers", "accelerate"} <= set(names)


@pytest.mark.parametrize(
    ("wheel", "sentence"),
    [
        ({"name": "torchvision"}, "'torchvision', which is not in the stack's lock"),
        ({"url": "ftp://x/torch-1.whl"}, "wanted that of one .whl file"),
        ({"url": "https://x/torch-1.9.1.tar.gz"}, "wanted that of one .whl file"),
        ({"url": "https://x/numpy-1.26.4-cp39-cp39-linux_x86_64.whl"}, "another package's file, numpy-1.26.4"),
        ({"sha256": "..."}, "the sha256 of torch is '...', wanted 64 hexadecimal digits"),
    ],
)
def test_a_wish_that_can_not_come_true_is_one_sentence(wheel, sentence):
    assert any(sentence in fault for fault in lock_faults(GUIDE, [{**WHEEL, **wheel}], {}))


@pytest.mark.parametrize(
    ("git", "sentence"),
    [
        ({"commit": GIT["commit"]}, "has no url"),
        ({**GIT, "commit": "v0.2.15"}, "names the commit 'v0.2.15', wanted all 40 digits"),
    ],
)
def test_fastchat_comes_from_one_commit_only(git, sentence):
    assert any(sentence in fault for fault in lock_faults(GUIDE, [], git))


def test_fastchat_comes_from_one_place_only():
    wheel = {**WHEEL, "name": "fschat", "url": "https://x/fschat-0.2.15-py3-none-any.whl"}
    assert lock_faults(GUIDE, [wheel], GIT) == ["FastChat is wanted both from a wheel and from git: remove one."]
