#!/usr/bin/env python3
"""What a system costs that has nothing to do: 16 workers and their supervisor, for a while.

  bench/idle.py [--seconds N] [--json]        with build/release/bin/cyto

CPU is the kernel's account of run time (schedstat), in thousandths of one core; wake-ups are
voluntary context switches. Both of all processes together, after all workers have fallen asleep.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin"
TOPOLOGY = f"""
name = "idle"
[[worker]]
name = "parser"
program = "{BIN}/revdeps_parser"
count = 8
[[worker]]
name = "counter"
program = "{BIN}/revdeps_counter"
count = 8
[[lane]]
from = "parser"
to = "counter"
"""


def account(pid):
    """Nanoseconds on a core, and how often it went to sleep."""
    ran = int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    slept = next(line for line in status.splitlines() if line.startswith("voluntary"))
    return ran, int(slept.split()[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        topology = pathlib.Path(folder) / "idle.toml"
        topology.write_text(TOPOLOGY)
        env = dict(os.environ, XDG_RUNTIME_DIR=folder)
        command = [BIN / "cyto", "run", topology]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as system:
            try:
                workers = []
                while len(workers) < 16 or any(w["parks"] == 0 for w in workers):
                    found = subprocess.run([BIN / "cyto", "status", "idle", "--json"], env=env,
                                           capture_output=True, check=False)
                    if system.poll() is not None:
                        raise SystemExit("idle.py: the system ended")
                    if found.returncode == 0:
                        workers = json.loads(found.stdout)["workers"]
                everybody = [system.pid] + [each["pid"] for each in workers]
                before = [account(pid) for pid in everybody]
                began = time.monotonic()
                time.sleep(given.seconds)  # This is the thing measured.
                took = time.monotonic() - began
                after = [account(pid) for pid in everybody]
            finally:
                system.terminate()
    cores = sum(b[0] - a[0] for a, b in zip(before, after)) / 1e9 / took
    wakes = sum(b[1] - a[1] for a, b in zip(before, after)) / took
    if given.json:
        print(json.dumps({"bench": "idle", "case": "workers_16", "seconds": took,
                          "core_permille": cores * 1e3, "wakes_per_s": wakes}))
    else:
        print(f"16 workers and a supervisor, idle for {took:.0f} s: "
              f"{cores * 1e3:.2f} thousandths of a core, {wakes:.1f} wake-ups a second")


if __name__ == "__main__":
    main()
