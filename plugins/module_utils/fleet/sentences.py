"""The same sentence about many hosts is said once, with the hosts counted."""

from __future__ import annotations

from collections.abc import Mapping

NAMED = 3  # hosts that stand by name before the rest is only counted


def hosts_in_words(hosts: list[str]) -> str:
    """Return "a", "a, b, c", or of more "100 hosts (a, b, c, ...)"."""
    if len(hosts) <= NAMED:
        return ", ".join(hosts)
    return f"{len(hosts)} hosts ({', '.join(hosts[:NAMED])}, ...)"


def hosts_by_sentence(said: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return {sentence: hosts about which it is said} of {host: sentences}, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for host, sentences in said.items():
        for sentence in dict.fromkeys(sentences):
            found.setdefault(sentence, []).append(host)
    return found


def counted(said: Mapping[str, list[str]]) -> list[str]:
    """Return each sentence of {host: sentences} once, after its hosts; one that holds for all has none before it."""
    return [
        sentence if len(hosts) == len(said) else f"{hosts_in_words(hosts)}: {sentence}"
        for sentence, hosts in hosts_by_sentence(said).items()
    ]


def said_of(host: str, said: Mapping[str, list[str]]) -> str:
    """Return what is said of one host; what an earlier host was told already is only counted, by that host's name."""
    first = {sentence: hosts[0] for sentence, hosts in hosts_by_sentence(said).items()}
    own = [sentence for sentence in dict.fromkeys(said[host]) if first[sentence] == host]
    others: dict[str, int] = {}
    for sentence in dict.fromkeys(said[host]):
        if first[sentence] != host:
            others[first[sentence]] = others.get(first[sentence], 0) + 1
    told = [f"{'the reason' if count == 1 else f'{count} reasons'} of {other}" for other, count in others.items()]
    return " ".join([*own, *(["As above, " + " and ".join(told) + "."] if told else [])])
