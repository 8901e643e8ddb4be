#!/usr/bin/env python3
"""The fault drill: the real program with real ranks, and real faults; every run must end as if nothing had happened.

usage: drill.py RANKTUNE GROUP [--seed N]        GROUP: processes, one_rank, damage, disks, hosts (the last two in namespaces of their own)
"""
import argparse
import importlib
import time

from lab import Failed, Lab


def main():
    parser = argparse.ArgumentParser(description="Faults against the real program.")
    parser.add_argument("ranktune")
    parser.add_argument("group")
    parser.add_argument("--seed", type=int, default=1, help="chooses the moments")
    arguments = parser.parse_args()
    begin = time.monotonic()
    group = importlib.import_module(arguments.group)
    if hasattr(group, "prepare"):
        group.prepare()
    lab = Lab(arguments.ranktune, seed=arguments.seed)
    try:
        group.drill(lab)
    except (Failed, AssertionError) as finding:
        raise SystemExit(f"FAILED: {finding}") from finding
    finally:
        lab.remove()
    print(f"{arguments.group}: all ended as they should, in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
