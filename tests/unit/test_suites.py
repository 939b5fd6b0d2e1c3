"""The table at the end of ``make test-full``: what passed, what failed, what was skipped and why."""

import pytest

from testbed import suites

OUTPUT = """
python -m pytest tests/integration/x
SKIPPED [2] tests/x/test_x.py:4: no GPU here
\x1b[32m======= \x1b[32m5 passed\x1b[0m, \x1b[33m2 skipped\x1b[0m\x1b[32m in 3.21s =======\x1b[0m
============================= 51 passed in 60.00s ==============================
========================= 1 failed, 7 passed in 0.12s ==========================
"""


def test_tests_are_counted_over_all_runs_of_pytest_and_skips_keep_their_reasons():
    assert suites.counted(OUTPUT) == (63, ["2 × no GPU here"])
    assert suites.counted("ruff check .\nAll checks passed!\n") == (0, [])


def test_the_table_replaces_the_last_one_and_names_the_commit():
    one = suites.Suite("airgap", 2, 125.4, 3, ["1 × a | b"])
    document = f"# V\n{suites.BEGIN}\nold\n{suites.END}\nrest\n"
    text = suites.recorded(document, [one], "abc1234", "2026-11-25")
    assert "| airgap | FAILED (2) | 2 min 05 s | 3 | 1 × a \\| b |" in text
    assert "Commit abc1234, 2026-11-25:" in text and "old" not in text and text.endswith("\nrest\n")
    assert suites.recorded(text, [one], "abc1234", "2026-11-25") == text


def test_a_document_without_a_place_for_it_is_refused():
    with pytest.raises(ValueError, match="has no lines"):
        suites.recorded("# V\n", [], "abc1234", "2026-11-25")


def test_a_target_that_fails_is_said_and_the_next_one_has_its_turn(tmp_path, monkeypatch):
    (tmp_path / "Makefile").write_text("bad:\n\t@echo broken; exit 3\ngood:\n\t@echo '= 4 passed in 1.0s ='\n")
    monkeypatch.setattr(suites, "CLONE", tmp_path)
    monkeypatch.setattr(suites, "LOGS", tmp_path / "logs")
    bad, good = suites.made("bad"), suites.made("good")
    assert (bad.status, bad.passed) == (2, 0) and "broken" in (tmp_path / "logs" / "bad.log").read_text()
    assert (good.status, good.passed) == (0, 4)
