#!/usr/bin/env python3
"""Measures how long a worker's death lasts, from SIGKILL to its successor's first committed turn.

  tests/soak/recovery.py [--bin FOLDER] [--kills N] [--seed S] [--job revdeps|orders]

The job runs with an input that is far from its end while soak_recovery kills workers; then the
job is left to finish, and its table must be the oracle's. Times are microseconds since the SIGKILL.
"""

import argparse
import collections
import random
import sys

from system import Ended, SOURCE, Failure, Place, System, become_subreaper

STEPS = ["dead", "started", "attached", "ready", "turned"]


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def show(rows):
    print(f"{'':10}" + "".join(f"{each:>10}" for each in STEPS))
    for name, part in [("p50", 0.5), ("p99", 0.99), ("max", 1)]:
        print(f"{name:10}" + "".join(f"{quantile([row[i] for row in rows], part):>10}"
                                     for i in range(len(STEPS))))
    print("each step alone, p50:")
    print(f"{'':10}" + "".join(
        f"{quantile([row[i] - (row[i - 1] if i else 0) for row in rows], 0.5):>10}"
        for i in range(len(STEPS))))


def measure(place, given, size):
    """Times of each death by worker, or None when the job was over before the last."""
    # Each death costs the job some 30 ms in which it still gets on.
    if given.job == "orders":
        data = place.orders(given.seed % 1000, size * (4000 * given.kills + 200_000), 40)
    else:
        data = place.packages(size * (2 + given.kills // 8))
    system = System(place, given.job, data)
    try:
        system.start()
        system.wait_ready()
        answer = place.call(place.bin / "soak_recovery", system.name, given.kills, given.seed)
        if answer.returncode not in (0, 3):
            raise Failure(f"soak_recovery: {answer.returncode} {answer.stderr} {system.said()}")
        # What is left of the input may take a busy machine longer than all the deaths did.
        system.finish(600)
        if answer.returncode == 3:
            return None
    except Ended:
        system.judge()
        return None
    finally:
        system.destroy()
    rows = collections.defaultdict(list)
    for line in answer.stdout.splitlines():
        worker, *times = line.split()
        rows[worker.split("/")[0]].append([int(each) for each in times])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=SOURCE / "build/release/bin")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--job", choices=["revdeps", "orders"], default="orders")
    given = parser.parse_args()
    become_subreaper()
    place = Place(given.bin)
    rows = None
    try:
        size = 1
        while rows is None:
            rows = measure(place, given, size)
            size *= 2
    except Failure as failure:
        print(f"recovery: FAILED with seed {given.seed}: {failure}")
        return 1
    finally:
        place.close()
    everything = [row for group in rows.values() for row in group]
    print(f"recovery: {len(everything)} deaths, seed {given.seed}, job {given.job}, table equal")
    show(everything)
    for group, part in sorted(rows.items()):
        print(f"{group}: {len(part)} deaths, p50 {quantile([row[-1] for row in part], 0.5)}, "
              f"p99 {quantile([row[-1] for row in part], 0.99)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
