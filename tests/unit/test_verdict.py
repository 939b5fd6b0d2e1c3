"""The verdict of verify about one model or several, asked in one way or two."""

from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.filter.verdict import verdict_in_words, verdict_of

MODELS = str(Path(__file__).resolve().parents[2] / "files" / "models")


def asked(*models, fault=""):
    said = {"answer": "Paris.", "tokens": 3, "tokens_per_second": 1.5, "fault": fault, "changed": False}
    return {"results": [{"item": model, **said} for model in models]}


SKIPPED = {"results": [{"item": "smollm2-demo", "skipped": True}], "skipped": True}


def test_one_model_and_one_way():
    verdict = verdict_of({"API": asked("smollm2-demo"), "fastchat-chat": SKIPPED}, "ctl01", MODELS)
    assert (verdict["host"], verdict["serving"], verdict["models"]) == ("ctl01", True, ["smollm2-demo"])
    assert list(verdict["ways"]) == ["API"] and verdict["ways"]["API"]["question"] == "What is the capital of France?"
    assert verdict_in_words(verdict) == "API: What is the capital of France? → Paris. (3 tokens, 1.5 tokens/s)"


def test_each_of_several_models_is_asked_its_own_question_and_one_that_fails_is_enough():
    both = asked("smollm2-demo")["results"] + asked("smollm2-mha-alpaca-demo", fault="It said no.")["results"]
    verdict = verdict_of({"API": SKIPPED, "fastchat-chat": {"results": both}}, "gpu01", MODELS)
    assert verdict["serving"] is False
    assert verdict_in_words(verdict) == (
        "fastchat-chat, smollm2-demo: What is the capital of France? → Paris. (3 tokens, 1.5 tokens/s with loading); "
        "fastchat-chat, smollm2-mha-alpaca-demo: Name the capital of France. → It said no."
    )


def test_a_gpu_that_its_worker_fills_has_no_room_for_a_chat_and_serves_all_the_same():
    full = {"answer": "", "tokens": 0, "tokens_per_second": 0.0, "fault": "", "room": False}
    both = {"API": SKIPPED, "fastchat-chat": {"results": [{"item": "smollm2-demo", **full}]}}
    verdict = verdict_of(both, "gpu01", MODELS)
    assert verdict["serving"] is True and verdict["ways"]["fastchat-chat"]["room"] is False
    assert "fastchat-chat: not asked: the GPU has no memory" in verdict_in_words(verdict)


def test_a_host_that_was_asked_nothing_has_nothing_to_say():
    assert verdict_in_words(verdict_of({"API": {"skipped": True}}, "ctl01", MODELS)) == ""
