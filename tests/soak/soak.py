#!/usr/bin/env python3
"""Kills the processes of real jobs at random, for as long as asked, and judges every table.

  tests/soak/soak.py [--bin FOLDER] [--seconds N] [--seed S] [--job revdeps|orders|both]
                     [--who workers|supervisor|any]

Runs the jobs again and again, each time with other sizes, while SIGKILL hits workers, the
supervisor, and both at once, from outside, and now and then from inside (--chaos). A killed
supervisor's command is started again: the workers that live must be adopted, under their process
numbers. At the end of each run the table must be the oracle's, the audit must balance, and nothing
may be left. The seed decides what is done; when it happens also depends on the machine. Exit code
1, and what differed, at the first failure.
"""

import argparse
import collections
import random
import signal
import sys
import time

from system import SOURCE, LIMIT_SECONDS, Failure, Place, System, become_subreaper, lives, send


def choose_job(place, rng, job):
    """A job with sizes small enough that it is long, and its lanes full and empty by turns."""
    lane = rng.choice
    if job == "orders":
        data = place.orders(rng.randrange(4), rng.choice([20_000, 60_000]), rng.choice([3, 40]))
        sets = {"matchers": rng.randint(1, 3), "order_lane_bytes": lane(["4KiB", "16KiB"]),
                "trade_lane_bytes": lane(["4KiB", "64KiB"])}
    else:
        data = place.packages(rng.choice([1, 6]))
        sets = {"parsers": rng.randint(1, 3), "counters": rng.randint(1, 3),
                "stanza_lane_bytes": "64KiB", "update_lane_bytes": lane(["4KiB", "16KiB"])}
    options = []
    for key, value in sets.items():
        options += ["--set", f"{key}={value}"]
    return data, options


class Soak:
    def __init__(self, place, rng, who):
        self.place = place
        self.rng = rng
        self.who = who
        self.counts = collections.Counter()

    def expect_adopted(self, system, survivors):
        """The new supervisor speaks for all that live, under their numbers, or the job is done."""
        end = time.monotonic() + 60
        while system.supervisor.poll() is None:
            status = system.status()
            if status and status["supervised"] and \
                    status["supervisor_pid"] == system.supervisor.pid:
                spoken_for = {each["pid"] for each in status["workers"]}
                # One that was just being started has yet to take its place, or to find it taken.
                missing = [pid for pid in survivors if pid not in spoken_for and lives(pid)]
                if not missing:
                    self.counts["adoptions"] += status["adoptions"] > 0
                    return
            if time.monotonic() > end:
                raise Failure(f"{system.name}: {survivors} are not adopted: {status} "
                              f"{system.said()}")
            system.reap()

    def hit_supervisor(self, system, too):
        """`too` says how many workers die with it."""
        workers = system.workers()
        victims = self.rng.sample(workers, min(too, len(workers)))
        send(system.supervisor.pid, signal.SIGKILL)
        for pid in victims:
            self.counts["worker kills"] += send(pid, signal.SIGKILL)
        self.restart(system)

    def restart(self, system):
        system.supervisor.wait()
        if system.supervisor.returncode != -signal.SIGKILL:
            return
        self.counts["supervisor kills"] += 1
        if self.rng.random() < 0.3:
            time.sleep(self.rng.random() * 0.03)  # Workers go on alone for a while.
        system.reap()
        survivors = system.workers()
        system.start()
        if self.rng.random() < 0.5:
            self.expect_adopted(system, survivors)

    def hit_worker(self, system):
        workers = system.workers()
        if workers:
            self.counts["worker kills"] += send(self.rng.choice(workers), signal.SIGKILL)

    def stop_somebody(self, system):
        """Stopped for a moment: nobody takes its place, and it goes on."""
        victim = self.rng.choice(system.workers() + [system.supervisor.pid])
        if not send(victim, signal.SIGSTOP):
            return
        time.sleep(self.rng.random() * 0.03)
        send(victim, signal.SIGCONT)
        self.counts["stops"] += 1

    def audit(self, system):
        answer = self.place.cyto("audit", system.name, "--json")
        # 3: it is over, or all its workers are dead and nobody has started it again.
        if answer.returncode not in (0, 3):
            raise Failure(f"{system.name}: audit: {answer.returncode} {answer.stdout} "
                          f"{answer.stderr}")
        self.counts["audits"] += 1

    def one_run(self, job):
        rng = self.rng
        data, options = choose_job(self.place, rng, job)
        if rng.random() < 0.3:
            options += ["--chaos", f"kill-every-ms={rng.randint(5, 30)},who={self.who},"
                                   f"seed={rng.randint(1, 1 << 30)}"]
        system = System(self.place, job, data, options, stdin=rng.random() < 0.2)
        pause = rng.choice([0.003, 0.01, 0.03])
        begin = time.monotonic()
        system.start()
        try:
            while system.supervisor.poll() != 0:
                if time.monotonic() - begin > LIMIT_SECONDS:
                    raise Failure(f"{system.name} hangs: {system.status()}")
                if system.supervisor.poll() is not None:
                    if system.supervisor.returncode != -signal.SIGKILL:
                        system.judge()
                    self.restart(system)
                    continue
                # After a while the job may come to its end.
                patience = 1 + max(0.0, time.monotonic() - begin - 10)
                time.sleep(rng.expovariate(1 / (pause * patience)))
                roll = rng.random()
                if roll < 0.02:
                    self.audit(system)
                elif roll < 0.04:
                    self.stop_somebody(system)
                elif self.who == "supervisor":
                    self.hit_supervisor(system, 0)
                elif self.who == "workers" or roll < 0.85:
                    self.hit_worker(system)
                else:
                    self.hit_supervisor(system, rng.choice([0, 0, 1, 2, 99]))
                system.reap()
            report = system.judge()
            self.counts["chaos kills"] += report["kills"]
            self.counts["runs of " + job] += 1
        except BaseException:
            system.destroy()
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=SOURCE / "build/release/bin")
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--job", choices=["revdeps", "orders", "both"], default="both")
    parser.add_argument("--who", choices=["workers", "supervisor", "any"], default="any")
    given = parser.parse_args()
    print(f"soak: seed {given.seed}", flush=True)
    become_subreaper()
    place = Place(given.bin)
    soak = Soak(place, random.Random(given.seed), given.who)
    jobs = ["revdeps", "orders"] if given.job == "both" else [given.job]
    begin = said = time.monotonic()
    code = 0
    try:
        turn = 0
        while turn < len(jobs) or time.monotonic() - begin < given.seconds:
            soak.one_run(jobs[turn % len(jobs)])
            turn += 1
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"soak: {said - begin:.0f} s: {dict(soak.counts)}", flush=True)
    except Failure as failure:
        print(f"soak: FAILED with seed {given.seed}: {failure}", flush=True)
        code = 1
    finally:
        place.close()
    counts = ", ".join(f"{value} {key}" for key, value in sorted(soak.counts.items()))
    print(f"soak: {time.monotonic() - begin:.0f} s, seed {given.seed}, {counts}")
    return code


if __name__ == "__main__":
    sys.exit(main())
