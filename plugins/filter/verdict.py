"""The verdict of verify on a host, as data and in words: pure functions."""

from collections.abc import Mapping
from pathlib import Path

import yaml

NO_ROOM = (
    "not asked: the GPU has no memory for a second copy of the model beside its worker; to chat here, stop that worker"
    " or give it --device cpu"
)
SAID = ("answer", "tokens", "tokens_per_second", "fault")


def verdict_of(asked: Mapping, host: str, models: str) -> dict:
    """Return {host, models, serving, ways: {way: {model, question, answer, tokens, tokens_per_second, fault}}}.

    A way has ``room: False`` where fastchat-chat found no memory beside the worker; such a host serves all the same.

    ``asked`` is {way: what the task registered that asked each model with chat_probe}; a way that was skipped is none.
    Its items are models, or for gateways ((gateway, its certificate), model); those are named by their URL. With
    several models a way is named after each of them. ``models`` is the directory of their descriptions.
    """
    answers = [
        (way, result)
        if isinstance(result["item"], str)
        else (result["item"][0][0]["url"], {**result, "item": result["item"][1]})
        for way, registered in asked.items()
        for result in registered.get("results", [])
        if not result.get("skipped")
    ]
    names = list(dict.fromkeys(result["item"] for _way, result in answers))
    ways = {}
    for way, result in answers:
        probe = yaml.safe_load((Path(models) / f"{result['item']}.yml").read_text())["probe"]
        said = {"model": result["item"], "question": probe["question"], **{key: result[key] for key in SAID}}
        # Only fastchat-chat says what it was asked with; then the next run need not load the model again.
        said |= {key: result[key] for key in ("with", "earlier") if result.get(key)}
        said |= {"room": False} if not result.get("room", True) else {}
        ways[way if len(names) == 1 else f"{way}, {result['item']}"] = said
    serving = all(not said["fault"] for said in ways.values())
    return {"host": host, "models": names, "serving": serving, "ways": ways}


def verdict_in_words(verdict: Mapping) -> str:
    """Return a verdict as one line."""
    told = []
    for way, said in verdict["ways"].items():
        loading = " with loading" if way.startswith("fastchat-chat") else ""
        when = ", asked when its environment and weights were new" if said.get("earlier") else ""
        if not said.get("room", True):
            told.append(f"{way}: {NO_ROOM}")
            continue
        answer = f"{said['answer']} ({said['tokens']} tokens, {said['tokens_per_second']} tokens/s{loading}{when})"
        told.append(f"{way}: {said['question']} → {said['fault'] or answer}")
    return "; ".join(told)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"verdict_in_words": verdict_in_words, "verdict_of": verdict_of}
