"""Unlike cards in one host: they are planned by groups of like ones, and never told as one figure."""

import itertools

from tests.support.plans import V100_16, V100_32, host, placed, plan

A100 = "a100-sxm4-40gb_535.129.03.txt"


def cards_of(*kinds):
    """Return what gpu_facts says of a host with some cards of each kind: (recording, count, what is other in each)."""
    cards = []
    for recording, count, other in kinds:
        cards += [{**card, **other} for card in host(recording, count, topo="")["gpus"]]
    cards = [{**card, "bus": f"00000000:{index + 1:02X}:00.0"} for index, card in enumerate(cards)]
    return {"count": len(cards), "gpus": cards, "fault": "", "hint": ""}


T400 = ("t4_530.30.02.txt", 1, {"name": "NVIDIA T400 4GB", "memory_mb": 4096})
A100_80 = (A100, 4, {"name": "NVIDIA A100-SXM4-80GB", "memory_mb": 81920})


def test_a_small_card_for_a_display_is_left_out_and_the_others_serve():
    for kinds, first in (((A100_80, T400), 0), ((T400, A100_80), 1)):
        gpus = cards_of(*kinds)
        result = plan("vicuna-7b-v1.5", gpus=gpus)
        assert placed(result) == {first + n: ("vicuna-7b-v1.5", [first + n]) for n in range(4)}
        small = (first + 4) % 5
        bus = gpus["gpus"][small]["bus"]
        assert (
            f"GPU {small} ({bus}, NVIDIA T400 4GB) is left out: 1 x NVIDIA T400 4GB with 4096 MiB"
            " can not hold vicuna-7b-v1.5, and other GPUs of this host can; nothing is to be done."
        ) in result["words"]
        assert not any("idle" in word or "of 4096 MiB" in word for word in result["words"])


def test_a_model_that_fits_no_group_is_refused_with_each_group_by_its_own_figures():
    (fault,) = plan("vicuna-33b-v1.3", gpus=cards_of((V100_16, 1, {}), T400))["faults"]
    assert "this host has 1 x Tesla V100-SXM2-16GB with 16384 MiB and 1 x NVIDIA T400 4GB with 4096 MiB." in fault
    assert "Give the host 8 x Tesla V100-SXM2-16GB, or" in fault


def test_each_group_takes_its_own_number_of_cards():
    gpus = cards_of((V100_16, 4, {}), (V100_32, 2, {}))
    result = plan("vicuna-13b-v1.5", gpus=gpus)
    assert placed(result) == {n: ("vicuna-13b-v1.5", on) for n, on in ((0, [0, 1, 2, 3]), (4, [4]), (5, [5]))}
    words = " ".join(result["words"])
    assert "of 16384 MiB on each" in words and "GPU 4, port 21006, 32250 of 32480 MiB" in words


def test_a_worker_never_spans_unlike_cards_when_like_ones_hold_the_model():
    kinds = ((V100_16, {}), (V100_32, {}), (A100, {}), (T400[0], T400[2]))
    for counts in itertools.product((0, 1, 4), repeat=len(kinds)):
        gpus = cards_of(*((recording, count, other) for (recording, other), count in zip(kinds, counts, strict=True)))
        for name in ("vicuna-7b-v1.5", "vicuna-13b-v1.5", "vicuna-33b-v1.3"):
            like = [
                bool(plan(name, gpus=cards_of((recording, count, other)))["instances"])
                for (recording, other), count in zip(kinds, counts, strict=True)
                if count
            ]
            result = plan(name, gpus=gpus)
            taken = [index for one in result["instances"] for index in one["gpus"]]
            assert len(taken) == len(set(taken)), (name, counts)
            if any(like):
                assert result["instances"], (name, counts)
                for one in result["instances"]:
                    assert len({gpus["gpus"][index]["name"] for index in one["gpus"]}) == 1, (name, counts)


def test_unlike_cards_hold_together_what_none_holds_alone_and_each_is_told():
    gpus = cards_of((V100_32, 2, {}), (A100, 2, {"memory_mb": 32510}))
    result = plan("vicuna-33b-v1.3", gpus=gpus)
    assert placed(result) == {0: ("vicuna-33b-v1.3", [0, 1, 2, 3])}
    assert "of 32480 and 32510 MiB on each" in result["words"][-1]


def test_a_model_that_fits_few_cards_gets_them_before_one_that_fits_all():
    gpus = cards_of((V100_16, 2, {}), (A100_80[0], 1, A100_80[2]))
    result = plan("vicuna-7b-v1.5", "vicuna-33b-v1.3", gpus=gpus)
    assert placed(result) == {0: ("vicuna-7b-v1.5", [0, 1]), 2: ("vicuna-33b-v1.3", [2])}
    asked = plan("vicuna-7b-v1.5", "vicuna-33b-v1.3", gpus=gpus, shares={"vicuna-7b-v1.5": 2})
    (fault,) = asked["faults"]
    assert fault.startswith(
        "2 x vicuna-7b-v1.5 on 2 x Tesla V100-SXM2-16GB or 1 x NVIDIA A100-SXM4-80GB and 1 x vicuna-33b-v1.3 on"
        " 1 x NVIDIA A100-SXM4-80GB need more than there is: this host has 2 x Tesla V100-SXM2-16GB with 16384 MiB each"
        " and 1 x NVIDIA A100-SXM4-80GB with 81920 MiB. Lower fastchat_worker_shares,"
    )


def test_a_troubled_card_of_one_group_leaves_the_other_group_alone():
    gpus = cards_of((V100_32, 2, {}), A100_80)
    gpus["gpus"][0]["unreadable"] = ["total memory (Unknown Error)"]
    assert list(placed(plan("vicuna-13b-v1.5", gpus=gpus))) == [1, 2, 3, 4, 5]


def test_the_same_memory_under_another_name_is_another_group():
    gpus = cards_of((V100_16, 1, {}), (V100_16, 1, {"name": "Tesla V100-PCIE-16GB"}))
    (fault,) = plan("vicuna-13b-v1.5", gpus=gpus, num_gpus=3)["faults"]
    assert "1 x Tesla V100-SXM2-16GB with 16384 MiB and 1 x Tesla V100-PCIE-16GB with 16384 MiB" in fault
