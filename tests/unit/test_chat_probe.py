import importlib.util
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "chat_probe.py"
SPEC = importlib.util.spec_from_file_location("chat_probe", MODULE)
chat_probe = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(chat_probe)


def test_the_answer_is_cut_out_of_a_transcript_of_the_command_line():
    text = "<|im_start|>user: <|im_start|>assistant: Paris: a city.\nOn the Seine.\n<|im_start|>user: exit...\n"
    assert chat_probe.TRANSCRIPT.search(text)["answer"] == "Paris: a city.\nOn the Seine."


def test_vicuna_s_roles():
    assert chat_probe.TRANSCRIPT.search("USER: ASSISTANT: Paris.\nUSER: exit...\n")["answer"] == "Paris."


def test_output_without_an_answer_is_no_transcript():
    assert chat_probe.TRANSCRIPT.search("Traceback (most recent call last):\n") is None
