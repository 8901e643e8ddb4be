#!/usr/bin/env python3
"""Runs a command and prints the most memory, in MB, that its `ranktune` processes had together at one time: of the weights' files
(or of the copy of them that the processes share), private memory, and all with the libraries. It is Pss: a page that N processes
map counts for 1/N in each of them.

usage: peak_pss.py COMMAND...     the command's own output goes to stderr; its exit code is passed on
"""
import re
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.05  # seconds
WEIGHTS = re.compile(r"\.safetensors$|^/memfd:ranktune ")
NOTHING = (0, 0, 0)


def children(process: int) -> list[int]:
    """All processes below that one."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
        except OSError:
            pass  # it has ended
    return found


def memory(process: int) -> tuple[int, ...]:
    """KiB of weights, private, and in all; nothing where the process is another program or has ended."""
    try:
        if Path(f"/proc/{process}/comm").read_text().strip() != "ranktune":
            return NOTHING
        rollup = dict(re.findall(r"^(\w+): +(\d+) kB$", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M))
        weights, counts = 0, False
        for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
            words = line.split(maxsplit=5)
            if not words[0].endswith(":"):  # address, permissions, offset, device, inode, path
                counts = len(words) == 6 and WEIGHTS.search(words[5]) is not None
            elif counts and words[0] == "Pss:":
                weights += int(words[1])
    except OSError:
        return NOTHING
    return weights, int(rollup.get("Pss_Anon", 0)), int(rollup.get("Pss", 0))


def total(processes: list[int]) -> list[int]:
    """Of all together. A page that a second process maps between the readings of the two would count too much: each process counts
    with the smaller of two readings."""
    first, second = ([memory(process) for process in processes] for _ in range(2))
    smaller = [tuple(map(min, a, b)) for a, b in zip(first, second)]
    return [sum(values) for values in zip(*smaller)]


def main() -> int:
    process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    peak = list(NOTHING)
    while process.poll() is None:
        peak = list(map(max, peak, total([process.pid, *children(process.pid)])))
        time.sleep(EVERY)
    print(*(round(kilobytes * 1024 / 1e6) for kilobytes in peak))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
