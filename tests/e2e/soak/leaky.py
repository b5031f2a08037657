"""The control: a process that loses memory and files, which a soak must catch: `python -m tests.e2e.soak.leaky`."""

from __future__ import annotations

import os
import sys
import time

EVERY_S = 0.5


def main(kilobytes: int) -> None:
    """Lose so many kilobytes twice a second, and a file every time, until killed."""
    lost: list[object] = []
    while True:
        lost.append(bytearray(os.urandom(kilobytes * 1024)))
        if len(lost) % 20 == 0 or kilobytes > 100:
            lost.append(open(os.devnull, "rb"))  # noqa: SIM115, PTH123
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(int(sys.argv[1]))
