#!/usr/bin/env python3
"""What each public header costs who includes it: CPU seconds of the compiler for that header alone.

  bench/headers.py [RUNS]        5 runs unless told; the fastest and the one in the middle
"""
import pathlib
import resource
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def cpu_s(header):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["c++", "-std=c++20", "-fsyntax-only", "-w", "-x", "c++", "-I", ROOT / "include",
                    header], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'header':<20} {'fastest':>8} {'median':>8}   CPU seconds, {runs} runs each")
    for header in sorted((ROOT / "include/cyto").glob("*.hpp")):
        times = [cpu_s(header) for _ in range(runs)]
        print(f"{header.name:<20} {min(times):>8.2f} {statistics.median(times):>8.2f}")


if __name__ == "__main__":
    main()
