"""A client that leaves in the middle of an answer: its worker has the slot again within two seconds."""

SECONDS = 2
ENDLESS = {"question": "Count from 1 to 1000 in words.", "max_tokens": 1500}


def freed_in_time(found, left):
    """Assert that a slot was taken until the client left, and that all were free soon after (a probe may ask later)."""
    assert [taken for at, taken in found if at < left][-3:] != [0, 0, 0], "no answer was made when the client left"
    free = min((at for at, taken in found if at >= left and not taken), default=None)
    assert free is not None and free - left < SECONDS, f"not free within {SECONDS} s: {found[-10:]}, left at {left}"


def test_in_the_middle_of_a_whole_answer(site, client):
    with site.watched() as found:
        said = client.chat(**ENDLESS, options={"timeout": 3})
    assert any("Timeout" in kind for kind in said["kinds"]), said
    freed_in_time(found, said["left"])


def test_in_the_middle_of_a_stream(site, client):
    with site.watched() as found:
        said = client.chat(**ENDLESS, call="stream", most=5)
    assert said["pieces"] == 5 and said["finish"] == [], said
    freed_in_time(found, said["left"])


def test_when_its_process_is_killed(site, another):
    running = another("openai")
    assert "error" not in running("models")  # it runs
    with site.watched() as found:
        left = running.killed_after(4, **ENDLESS)
    freed_in_time(found, left)
