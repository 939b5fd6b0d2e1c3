"""Wait until a controller answers ``POST <url>/list_models``, and say so every minute."""

import sys
import time

from services.common.asking import post


def answers(url: str) -> bool:
    """Return whether the controller at a base URL answers."""
    try:
        post(url + "/list_models", {}, 5)
    except OSError:
        return False
    return True


def main(url: str) -> None:
    """Return as soon as the controller answers."""
    waited = 0
    while not answers(url):
        if waited % 60 == 0:
            print(f"waiting for the controller at {url} ({waited} s)", flush=True)
        time.sleep(2)
        waited += 2


if __name__ == "__main__":
    main(sys.argv[1])
