#!/usr/bin/env python3
"""Runs a few short cases of each kind and says whether machine and rows have every field.

  bench/rows.py CYTO_BENCH

Nothing is expected of the figures but quantiles in order and nothing lost: where much else runs, so
short a case may have counted nothing.
"""
import json
import subprocess
import sys

FIELDS = ("bench case mode bytes p50_ns p90_ns p99_ns p999_ns max_ns mean_ns count per_s "
          "bytes_per_s cpu_s context_switches lost passes floor ratios ratio_to_floor").split()
FACTS = "commit cpu cores kernel compiler governor pinned_to unfit_to_quote".split()
BENCHES = "lane wake updates tasks threads".split()


def main():
    command = [sys.argv[1], *BENCHES, "--seconds", "0.002", "--passes", "1"]
    document = json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True,
                                         text=True, timeout=200).stdout)
    rows, machine = document["rows"], document["machine"]
    wrong = [f"machine: no {fact}" for fact in FACTS if fact not in machine]
    wrong += [f"no row of {bench}" for bench in BENCHES
             if not any(row["bench"] == bench for row in rows)]
    for row in rows:
        name = f"{row['bench']} {row['case']} {row['mode']}"
        if list(row) != FIELDS:
            wrong.append(f"{name}: has the fields {' '.join(row)}")
            continue
        times = [row[field] for field in ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")]
        if times != sorted(times):
            wrong.append(f"{name}: its quantiles are {times}")
        if row["lost"] != 0 or row["mode"] not in ("spin", "park"):
            wrong.append(f"{name}: lost {row['lost']}")
    print("\n".join(wrong) if wrong else f"{len(rows)} rows")
    return 1 if wrong else 0


sys.exit(main())
