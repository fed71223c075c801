#!/usr/bin/env python3
"""Hits running jobs with everything that is not a plain SIGKILL, and judges every table.

  tests/soak/blows.py [--bin FOLDER] [--long] [NAME...]

Each blow is a function below; --long stops processes for 30 s instead of one. A blow that this
machine does not allow says why it is skipped. Exit code 1, and what differed, if one fails.
"""

import argparse
import fcntl
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from system import (SOURCE, Ended, Failure, Place, System, TooLong, become_subreaper, lives, send,
                    stat_of, wait_until)


class Skipped(Exception):
    """This machine does not allow the blow."""


def small_lanes(job):
    return {"orders": ["--set", "order_lane_bytes=4KiB", "--set", "trade_lane_bytes=4KiB"],
            "revdeps": ["--set", "update_lane_bytes=4KiB"]}[job]


def start_held(place, topology=None, stdin=False):
    """A job that cannot end by itself: its matchers are stopped, and orders wait for them.

    A short job may be nearly over before they are; then a longer one is taken."""
    orders = 60_000
    while True:
        system = System(place, "orders", place.orders(1, orders, 40), small_lanes("orders"),
                        stdin=stdin, topology=topology)
        try:
            system.start()
            system.wait_ready()
            if hold(system, orders // 2):
                return system
        except Ended:
            system.judge()
        except BaseException:
            system.destroy()
            raise
        system.destroy()
        orders *= 4


def members(system, group):
    return [pid for name, pid in system.pids().items() if name.startswith(group + "/")]


def hold(system, orders_most):
    """Stops the matchers. True once orders wait for them and most are still to come."""
    for pid in members(system, "matcher"):
        send(pid, signal.SIGSTOP)

    def waiting():
        if system.supervisor.poll() is not None:
            raise Ended(system.name)
        status = system.status()
        all_lanes = status["lanes"] if status else []
        lanes = [each for each in all_lanes if "-> matcher/" in each["name"]]
        return lanes if any(each["in_flight"] for each in lanes) else None
    try:
        lanes = wait_until(waiting, seconds=5, what="orders that wait")
    except TooLong:
        return False  # The source has no more.
    return sum(each["accepted"] for each in lanes) < orders_most


def let_go(pids):
    for pid in pids:
        send(pid, signal.SIGCONT)


def expect(condition, text):
    if not condition:
        raise Failure(text)


def cpu_seconds(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text[text.rindex(")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stopped_workers(place, seconds):
    """A stopped worker is waited for, never replaced."""
    system = start_held(place)
    try:
        everybody = system.pids()
        matchers = members(system, "matcher")
        # One group after another; as one of them is always stopped, the job cannot end meanwhile.
        for group in ["source", "ledger"]:
            stopped = members(system, group)
            for pid in stopped:
                send(pid, signal.SIGSTOP)
            let_go(matchers)
            time.sleep(seconds)
            expect(system.pids() == everybody, f"{group}: {everybody} became {system.pids()}")
            for pid in matchers:
                send(pid, signal.SIGSTOP)
            let_go(stopped)
        time.sleep(seconds)
        expect(system.pids() == everybody, f"matcher: {everybody} became {system.pids()}")
        let_go(matchers)
        expect(system.finish()["restarts"] == 0, "somebody was restarted")
    finally:
        system.destroy()


def stopped_supervisor(place, seconds):
    """Workers go on without it; what dies meanwhile is mended afterwards; tools do not hang."""
    system = start_held(place)
    try:
        matchers = members(system, "matcher")
        ledger = members(system, "ledger")
        source = members(system, "source")
        before = system.delivered()
        for pid in [system.supervisor.pid, *source]:
            send(pid, signal.SIGSTOP)
        let_go(matchers)
        wait_until(lambda: system.delivered() != before, what="a delivery without the supervisor")
        for pid in ledger:
            send(pid, signal.SIGKILL)
        let_go(source)
        time.sleep(seconds)
        # Callers that nobody lets in fill the door; the next one must not wait for ever.
        path = next(place.runtime.rglob(system.name + ".sock"))
        callers = []
        for _ in range(200):
            caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            caller.setblocking(False)
            callers.append(caller)
            try:
                caller.connect(str(path))
            except BlockingIOError:
                break
        # Nobody waits for ever: call() would not have it.
        answer = place.cyto("status", system.name, "--json")
        expect(answer.returncode == 0, f"status of a stopped supervisor: {answer}")
        again = place.call(*system.command)
        expect(again.returncode == 100, f"a second supervisor beside a stopped one: {again}")
        for caller in callers:
            caller.close()
        send(system.supervisor.pid, signal.SIGCONT)
        expect(system.finish()["restarts"] >= len(ledger), "the dead ledger was not mended")
    finally:
        system.destroy()


def debugger(place, seconds):
    """gdb attaches to each process in turn, holds it, and lets it go."""
    if shutil.which("gdb") is None:
        raise Skipped("gdb is not installed")
    system = start_held(place)
    try:
        matchers = members(system, "matcher")
        victims = [("supervisor", system.supervisor.pid), *system.pids().items()]
        # Half a minute of reading symbols is for the long version.
        for name, pid in victims if seconds > 1 else victims[:2]:
            if pid in matchers:
                send(pid, signal.SIGCONT)
            answer = place.call("gdb", "-nx", "-batch", "-p", pid, "-ex",
                                f"shell sleep {min(seconds, 5)}", "-ex", "detach")
            if "ptrace" in answer.stderr and "not permitted" in answer.stderr:
                raise Skipped("ptrace is not permitted")
            expect("detached" in answer.stdout or not lives(pid), f"gdb on {name}: {answer}")
        let_go(matchers)
        expect(system.finish()["restarts"] == 0, "somebody was restarted")
    finally:
        system.destroy()


def starved_workers(place, seconds):
    """Out of memory: a worker gets what the out-of-memory killer sends, its successors find so
    little that they die while they start, and the first that gets enough goes on."""
    count = place.dir / "starts"
    wrapper = place.dir / "starved_matcher"
    wrapper.write_text(f"""#!/bin/sh
if [ -e {count} ]; then
  echo x >>{count}
  case $(wc -l <{count}) in
    1 | 2) ulimit -d 64 ;;
    3 | 4) ulimit -d 140 ;;
    5 | 6) ulimit -d 180 ;;
  esac
fi
exec {place.bin}/orders_matcher
""")
    wrapper.chmod(0o755)
    topology = place.dir / "starved.toml"
    topology.write_text(place.topology("orders").read_text().replace(
        'program = "orders_matcher"', f'program = "{wrapper}"'))
    system = start_held(place, topology=topology)
    try:
        count.touch()  # Only from now on, however many starts it took to hold the job.
        for pid in members(system, "matcher"):
            send(pid, signal.SIGKILL)
        report = system.finish()
        expect(report["restarts"] >= 6, f"only {report['restarts']} restarts")
    finally:
        system.destroy()


def few_descriptors(place, seconds):
    """A supervisor with too few descriptors does the job or says in one line why not; one that
    runs out of them while it runs neither hangs nor spins."""
    data = place.orders(2, 2_000, 3)
    place.oracle("orders", data)
    outcomes = {}
    for limit in range(3, 40, 1 if seconds > 1 else 4):
        system = System(place, "orders", data)
        try:
            system.start(wrap=["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"])
            code = system.wait_end(30, f" with {limit} descriptors")
            outcomes[code] = outcomes.get(code, 0) + 1
            if code == 0:
                system.judge()
                continue
            expect(code in (1, 2, 127), f"{limit} descriptors: exit code {code}: {system.said()}")
            lines = system.said()[1].strip().splitlines()
            expect(len(lines) == 1, f"{limit} descriptors: {lines}")
            system.expect_nothing_left()
        finally:
            system.destroy()
    expect(0 in outcomes and len(outcomes) > 1, f"the limits were no limits: {outcomes}")

    # A start that fails counts as a death: with a soak's patience it would be tried for ever.
    restart = "intensity = 5\nperiod_ms = 10000\n"
    system = start_held(place, topology=place.topology("orders", restart))
    try:
        matchers = members(system, "matcher")
        pid = system.supervisor.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, used))
        before = cpu_seconds(pid)
        for _ in range(5):
            place.cyto("status", system.name, "--json")
        callers = []
        path = next(place.runtime.rglob(system.name + ".sock"))
        for _ in range(20):
            caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            caller.connect(str(path))
            callers.append(caller)
        time.sleep(seconds)
        expect(cpu_seconds(pid) - before < seconds / 2, "a supervisor without descriptors spins")
        for caller in callers:
            caller.close()
        for each in members(system, "ledger"):
            send(each, signal.SIGKILL)
        let_go(matchers)
        system.wait_end(30, " without descriptors")
        if system.supervisor.returncode == 0:
            system.judge()
        else:
            lines = system.said()[1].strip().splitlines()
            expect(system.supervisor.returncode == 1 and len(lines) == 1, f"{lines}")
            system.expect_nothing_left()
    finally:
        system.destroy()


def no_memory(place, seconds):
    """Memory that is not there is refused in words when the system is created: never SIGBUS."""
    data = place.orders(2, 2_000, 3)
    place.oracle("orders", data)
    available = int(pathlib.Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    system = System(place, "orders", data, ["--set", "cells_bytes=16GiB", "--set",
                                            f"matchers={3 + available // (16 << 20)}"])
    try:
        system.start()
        code = system.supervisor.wait(30)
        text = system.said()[1]
        expect(code == 2 and text.count("bytes") >= 2, f"too much memory: {code} {text}")
        system.expect_nothing_left()
    finally:
        system.destroy()
    limits = [f"-v {kib}" for kib in [8_000, 20_000, 60_000, 70_000, 80_000, 90_000, 120_000,
                                      160_000, 200_000]]
    limits += ["-f 0", "-f 1000", "-f 100000", "-d 100", "-d 400", "-d 1000"]
    outcomes = {}
    for limit in limits:
        system = System(place, "orders", data)
        try:
            # Standard error of a shell that cannot even start the program is no error of ours.
            system.start(wrap=["sh", "-c", f'ulimit {limit}; exec "$@"', "sh"])
            code = system.wait_end(60, f" with ulimit {limit}")
            outcomes[code] = outcomes.get(code, 0) + 1
            if code == 0:
                system.judge()
                continue
            expect(code in (1, 2, 127), f"ulimit {limit}: {code} {system.said()}")
            system.expect_nothing_left()
        finally:
            system.destroy()
    expect(0 in outcomes and len(outcomes) > 1, f"the limits were no limits: {outcomes}")


def memory_group():
    """A control group of our own whose memory can be limited, and the file that limits it."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            base, limit = pathlib.Path("/sys/fs/cgroup/memory" + path), "memory.limit_in_bytes"
        elif controllers == "":
            base, limit = pathlib.Path("/sys/fs/cgroup" + path), "memory.max"
        else:
            continue
        group = base / f"cyto-soak-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            return group, group / limit
        group.rmdir()
    raise Skipped("no control group can be made whose memory could be limited")


def out_of_memory(place, seconds):
    """In a group with little memory a system is refused in words; and whoever the kernel's
    out-of-memory killer takes, nothing is lost: with enough memory the job is done."""
    group, limit = memory_group()
    outcomes = {}
    try:
        topology = place.topology("orders", "intensity = 5\nperiod_ms = 10000\n")
        data = place.orders(1, 60_000, 40)
        # The segment has 11 MB; processes take a few more.
        for kib in range(8 << 10, 24 << 10, 128 if seconds > 1 else 1024):
            limit.write_text(str(kib << 10))
            system = System(place, "orders", data, ["--set", "cells_bytes=2MiB"] +
                            small_lanes("orders"), topology=topology)
            try:
                system.start(wrap=["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"])
                code = system.wait_end(60, f" in {kib} KiB")
                outcomes[code] = outcomes.get(code, 0) + 1
                if code == -signal.SIGKILL:
                    limit.write_text(str(1 << 30))
                    system.start()
                    system.finish()
                elif code == 0:
                    system.judge()
                else:
                    lines = system.said()[1].strip().splitlines()
                    expect(code in (1, 2) and len(lines) == 1, f"{kib} KiB: {code} {lines}")
                    system.expect_nothing_left()
            finally:
                system.destroy()
        expect(0 in outcomes and 2 in outcomes, f"the limits were no limits: {outcomes}")
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="an empty group")
        group.rmdir()


def other_input(place, seconds):
    """A command with standard input beside workers that read a file is refused, and they live."""
    system = start_held(place)
    try:
        matchers = members(system, "matcher")
        before = system.pids()
        system.kill_supervisor()
        with open(system.data, "rb") as source:
            command = ["-" if each == system.data else each for each in system.command]
            again = place.call(*command, stdin=source)
        expect(again.returncode == 2, f"another input: {again}")
        system.start()
        system.wait_ready()
        expect(system.pids() == before, f"{before} became {system.pids()}")
        let_go(matchers)
        system.finish()
    finally:
        system.destroy()


def nothing_to_do(place, seconds):
    """A job that is over before its workers are there ends with what their setup has made."""
    data = place.dir / "no-orders"
    data.write_text("")
    for _ in range(10):
        system = System(place, "orders", data)
        try:
            system.start()
            system.finish()
        finally:
            system.destroy()


def become(pid):
    """Makes a process that has this number. Only the first process of a PID namespace may."""
    for _ in range(100):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        stranger = subprocess.Popen(["sleep", "1000"])
        if stranger.pid == pid:
            return stranger
        stranger.kill()
        stranger.wait()
    raise Failure(f"no process got number {pid}")


def reused_numbers_inside(place):
    """The supervisor, a worker and the worker that was its latest child die together, and strangers
    get their numbers: the next supervisor neither adopts nor harms them."""
    system = start_held(place)
    strangers = []
    try:
        matchers = members(system, "matcher")
        supervisor = system.supervisor.pid
        dead = members(system, "ledger") + members(system, "source")
        send(supervisor, signal.SIGKILL)
        for pid in dead:
            send(pid, signal.SIGKILL)
        system.supervisor.wait()
        wait_until(lambda: (system.reap(), all(stat_of(pid) is None for pid in dead))[1],
                   what="the end of the dead")
        strangers = [become(pid) for pid in [supervisor, *dead]]
        system.start()
        status = wait_until(lambda: [each for each in [system.status()] if each and
                                     each["supervisor_pid"] == system.supervisor.pid],
                            what="adoption")[0]
        expect(status["adoptions"] == 1, f"not adopted: {status}")
        system.wait_ready()
        now = system.pids()
        expect(members(system, "matcher") == matchers, f"{matchers} were replaced: {now}")
        expect(not set(now.values()) & {each.pid for each in strangers}, f"adopted: {now}")
        let_go(matchers)
        system.finish()
        expect(all(each.poll() is None for each in strangers), "a stranger was killed")
    finally:
        for each in strangers:
            each.kill()
            each.wait()
        system.destroy()


def reused_numbers(place, seconds):
    """In a PID namespace, where a number can be given out again at will."""
    if os.geteuid() != 0:
        raise Skipped("only root can choose process numbers")
    test = place.call("unshare", "--pid", "--fork", "--mount-proc", "true")
    if test.returncode != 0:
        raise Skipped(test.stderr.strip())
    answer = place.call("unshare", "--pid", "--fork", "--mount-proc", sys.executable, __file__,
                        "--bin", place.bin, "--inside")
    expect(answer.returncode == 0, answer.stdout + answer.stderr)


def hold_memory_only(asked):
    """Becomes a holder of the memory of the worker whose number it is told, and of nothing else."""
    try:
        worker = int(os.read(asked, 32))
        opened = [os.open(f"/proc/{worker}/fd/{each}", os.O_RDWR) for each in [3, 4]]
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 50) for each in opened]
        os.closerange(3, 50)
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)
        os.closerange(50, 100)
        signal.pause()
    finally:
        os._exit(0)


def dying_holder(place, seconds):
    """A worker that dies while the next supervisor takes the memory over from it has no descriptors
    any more to take the kept input from; here a process stands for it that has lost just that."""
    asked, ask = os.pipe()
    system = None
    holder = 0
    try:
        while True:
            # Forked first, so that its number is lower and it is looked at first; but numbers wrap.
            holder = os.fork()
            if holder == 0:
                hold_memory_only(asked)
            system = start_held(place, stdin=True)
            matchers = members(system, "matcher")
            if holder < min(matchers):
                break
            system.destroy()
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
        os.write(ask, str(matchers[0]).encode())
        wait_until(lambda: system.holds_memory(holder), what="a second holder")
        system.kill_supervisor()
        system.start()
        system.wait_ready()
        for pid in members(system, "source"):
            send(pid, signal.SIGKILL)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        holder = 0
        let_go(matchers)
        system.finish()
    finally:
        if holder:
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
        os.close(asked)
        os.close(ask)
        if system is not None:
            system.destroy()


BLOWS = [stopped_workers, stopped_supervisor, debugger, starved_workers, few_descriptors, no_memory,
         out_of_memory, reused_numbers, dying_holder, other_input, nothing_to_do]


def attempt(place, name, blow, *arguments):
    begin = time.monotonic()
    try:
        blow(place, *arguments)
        verdict = "survived"
    except Skipped as reason:
        verdict = f"skipped: {reason}"
    except Failure as failure:
        verdict = f"FAILED: {failure}"
    print(f"blows: {name}: {verdict} ({time.monotonic() - begin:.1f} s)", flush=True)
    return not verdict.startswith("FAILED")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=SOURCE / "build/release/bin")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        choices=[[], *(each.__name__ for each in BLOWS)])
    given = parser.parse_args()
    become_subreaper()
    place = Place(given.bin)
    try:
        if given.inside:
            return 0 if attempt(place, "inside", reused_numbers_inside) else 1
        chosen = [each for each in BLOWS if not given.names or each.__name__ in given.names]
        results = [attempt(place, each.__name__, each, 30 if given.long else 0.5)
                   for each in chosen]
        return 0 if all(results) else 1
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
