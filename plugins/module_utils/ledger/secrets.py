"""Takes secrets out of what the ledger keeps: by the values of variables, and by how a secret looks in a text.

Tasks with ``no_log`` arrive censored by Ansible. This is for the rest: a key in a template's diff, in the message of a
task that fails, in an address.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

GONE = "•••"
# Shorter values are words: replacing them would spoil every text and protect nothing.
SHORTEST = 6
SHORTEST_LINE = 16
# What of a run's texts is remembered with its answer: names come again and again.
NAME_LENGTH, MOST_NAMES = 200, 20_000
NAME = re.compile(
    r"pass(word|wd|phrase)?|secret|token|credential|vault|(api|private|auth|access|_|^)_?keys?(_|$)", re.I
)
WORDS = r"(?:password|passwd|passphrase|secret|token|(?:api|private|auth|access)[_-]?key)[\w.-]*"
LOOKS = [
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), GONE),
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]{8,}", re.I), rf"\1 {GONE}"),
    (re.compile(r"\b(?:hf_|sk-|gh[opsu]_|github_pat_|glpat-|xox[abp]-|AKIA)[\w-]{8,}"), GONE),
    (re.compile(rf"({WORDS}[\"']?\s*[:=]\s*[\"']?)(?!\d+\b)[^\s\"',;{{}}\[\]]{{6,}}", re.I), rf"\1{GONE}"),
    (re.compile(r"(://[^\s/:@]+:)[^\s/@]+(?=@)"), rf"\1{GONE}"),
]


def strings_in(value: object) -> Iterable[str]:
    """Yield every text below a value (mappings: of their values)."""
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from strings_in(part)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from strings_in(part)


def secrets_in(variables: Mapping, encrypted: type | tuple = ()) -> set[str]:
    """Return the texts below variables that are called like a secret, and all that Ansible Vault ``encrypted``.

    A value that is still a template has no secret yet; the caller templates it first.
    """
    found = set()
    for name, value in variables.items():
        try:
            if encrypted and isinstance(value, encrypted):
                found.add(str(value))
            elif NAME.search(str(name)):
                found.update(strings_in(value))
            elif isinstance(value, Mapping):
                found |= secrets_in(value, encrypted)
            elif isinstance(value, list | tuple):
                for part in value:
                    found |= secrets_in({"": part}, encrypted)
        except Exception:  # noqa: S112  # a vault whose password is wrong: there is no text to hide
            continue
    return {text for text in found if len(text.strip()) >= SHORTEST}


def forms(secret: str) -> set[str]:
    """Return how a secret may be written: plain, line by line, in JSON, in an address, in base64."""
    plain = secret.strip()
    lines = {line.strip() for line in plain.splitlines() if len(line.strip()) >= SHORTEST_LINE}
    encoded = {base64.b64encode(text.encode()).decode().rstrip("=") for text in (plain, plain + "\n")}
    return {plain, json.dumps(plain)[1:-1], quote(plain), quote(plain, safe=""), *lines, *encoded}


class Censor:
    """Replaces secrets; it learns them while a run goes on."""

    def __init__(self) -> None:
        """Know no secret yet."""
        self.known: list[str] = []
        self.said: dict[str, str] = {}

    def learn(self, secrets: Iterable[str]) -> None:
        """Know these secrets, in every form, from now on."""
        known = {form for secret in secrets for form in forms(secret)} | set(self.known)
        if len(known) > len(self.known):
            # The longest first: one that holds another goes as a whole.
            self.known = sorted(known, key=len, reverse=True)
            self.said = {}

    def text(self, text: str) -> str:
        """Return a text without secrets. Short ones, such as names of hosts, are remembered."""
        if text in self.said:
            return self.said[text]
        told = text
        for form in self.known:
            if form in told:
                told = told.replace(form, GONE)
        for looks, instead in LOOKS:
            told = looks.sub(instead, told)
        if len(text) <= NAME_LENGTH and len(self.said) < MOST_NAMES:
            self.said[text] = told
        return told

    def data(self, value: object) -> object:
        """Return plain data without secrets, in keys as well; what JSON does not know becomes text."""
        if isinstance(value, str):
            return self.text(str(value))
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.data(part) for key, part in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.data(part) for part in value]
        return self.text(str(value))
