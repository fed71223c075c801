"""A running system as the blows see it: the command, its processes, its table, and what is left.

All processes that a system starts become children of this one when their supervisor dies (it is
their subreaper), so they are found by parentage and nothing else is ever killed.
"""

import ctypes
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36
LIMIT_SECONDS = 120  # A run that takes longer hangs.


class Failure(Exception):
    """What must hold did not."""


class TooLong(Failure):
    """What was waited for did not come."""


class Ended(Failure):
    """The system is gone where it should run."""


def become_subreaper():
    """From here on orphans come here; and a word to stop cleans up first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(each) for each in text.split()]


def descendants_of(pid):
    found = []
    for each in children_of(pid):
        found.append(each)
        found.extend(descendants_of(each))
    return found


def stat_of(pid):
    """State letter and start time, or None when there is no such process."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[19])


def lives(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def send(pid, number):
    """Through a pidfd, and only to a process of ours. Returns whether there was one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if pid not in descendants_of(os.getpid()):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def wait_until(condition, seconds=60, what="it"):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TooLong(f"{what} did not come true within {seconds} s")
        time.sleep(0.002)


class Place:
    """A folder for a whole series of runs: inputs, oracle tables, topologies, runtime folder."""

    def __init__(self, bin_dir):
        self.bin = pathlib.Path(bin_dir).resolve()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cyto-soak-"))
        self.runtime = self.dir / "run"
        self.runtime.mkdir(mode=0o700)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(self.runtime))
        self.count = 0

    def close(self):
        shutil.rmtree(self.dir)

    def call(self, *arguments, **more):
        return subprocess.run([str(each) for each in arguments], env=self.env, text=True,
                              capture_output=True, timeout=LIMIT_SECONDS, check=False, **more)

    def cyto(self, *arguments, **more):
        return self.call(self.bin / "cyto", *arguments, **more)

    def name(self):
        self.count += 1
        return f"soak-{os.getpid()}-{self.count}"

    def orders(self, seed, orders, symbols):
        path = self.dir / f"orders-{seed}-{orders}-{symbols}"
        if not path.exists():
            path.write_text(self.call(self.bin / "orders_generate", seed, orders, symbols).stdout)
        return path

    def packages(self, copies):
        """The excerpt of a package index several times, each time with names of its own."""
        path = self.dir / f"packages-{copies}"
        if not path.exists():
            text = gzip.decompress((SOURCE / "tests/data/packages.gz").read_bytes())
            parts = [text.replace(b"\nPackage: ", b"\nPackage: copy%d-" % i) for i in range(copies)]
            path.write_bytes(b"\n" + b"\n".join(parts))
        return path

    def oracle(self, job, path):
        table = path.with_name(path.name + ".table")
        if not table.exists():
            answer = self.call(self.bin / f"{job}_oracle", path)
            if answer.returncode != 0:
                raise Failure(f"{job}_oracle {path}: {answer.stderr}")
            table.write_text(answer.stdout)
        return table.read_text()

    def topology(self, job, restart="intensity = 1000\nperiod_ms = 1\n"):
        """The example's topology; the blows of a soak are more than a job usually bears."""
        path = self.dir / f"{job}.toml"
        text = (SOURCE / f"examples/{job}/{job}.toml").read_text()
        path.write_text(text + "\n[restart]\n" + restart)
        return path


class System:
    """One job under one name, from its first supervisor to its table."""

    def __init__(self, place, job, data, options=(), stdin=False, topology=None):
        self.place = place
        self.job = job
        self.data = data
        self.stdin = stdin
        self.name = place.name()
        self.table = place.dir / f"{self.name}.table"
        self.command = [place.bin / "cyto", "run", topology or place.topology(job), "--name",
                        self.name, "--input", "-" if stdin else data, "--output", self.table,
                        "--json", *options]
        self.supervisor = None
        self.out = None

    def start(self, wrap=()):
        self.out = tempfile.TemporaryFile(mode="w+")
        self.err = tempfile.TemporaryFile(mode="w+")
        command = [str(each) for each in [*wrap, *self.command]]
        with open(self.data if self.stdin else "/dev/null", "rb") as source:
            self.supervisor = subprocess.Popen(command, env=self.place.env, stdin=source,
                                               stdout=self.out, stderr=self.err)

    def said(self):
        self.out.seek(0)
        self.err.seek(0)
        return self.out.read(), self.err.read()

    def workers(self):
        """Process numbers of everything of this system but its supervisor."""
        found = children_of(self.supervisor.pid)
        for pid in children_of(os.getpid()):
            if pid != self.supervisor.pid and self.holds_memory(pid):
                found.append(pid)
        return [pid for pid in found if lives(pid)]

    def holds_memory(self, pid):
        try:
            for each in os.scandir(f"/proc/{pid}/fd"):
                if f":{self.name}:" in os.readlink(each.path):
                    return True
        except OSError:
            pass
        return False

    def reap(self):
        """Takes the orphans' ends, as the system's first process would."""
        for pid in children_of(os.getpid()):
            if pid == self.supervisor.pid:
                continue
            stat = stat_of(pid)
            if stat is not None and stat[0] == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass

    def status(self):
        answer = self.place.cyto("status", self.name, "--json")
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def pids(self):
        """Process numbers by worker, as the system itself says."""
        status = self.status()
        if status is None:
            return {}
        return {each["name"]: each["pid"] for each in status["workers"] if each["state"] != "dead"}

    def wait_ready(self):
        def ready():
            if self.supervisor.poll() is not None:
                raise Ended(f"{self.name} ended too soon: {self.said()}")
            status = self.status()
            good = status and all(each["state"] == "ready" for each in status["workers"])
            return status if good else None
        return wait_until(ready, what="all workers ready")

    def delivered(self):
        status = self.status()
        return sum(each["delivered"] for each in status["lanes"]) if status else None

    def wait_progress(self, seconds=30):
        """Something more is delivered than now, or the job is done."""
        before = self.delivered()

        def moved():
            now = self.delivered()
            return self.supervisor.poll() is not None or (now is not None and now != before)
        wait_until(moved, seconds, "progress")

    def kill_supervisor(self):
        self.supervisor.kill()
        self.supervisor.wait()

    def wait_end(self, seconds, circumstances=""):
        """Exit code of the supervisor, which must end."""
        try:
            return self.supervisor.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} hangs{circumstances}: {self.status()} "
                          f"{self.said()}") from None

    def finish(self, seconds=LIMIT_SECONDS):
        """Waits for the end and judges it. Returns the report of the last supervisor."""
        self.wait_end(seconds)
        return self.judge()

    def judge(self):
        out, err = self.said()
        if self.supervisor.returncode != 0:
            raise Failure(f"{self.name}: exit code {self.supervisor.returncode}: {err}")
        report = json.loads(out)
        if not report["ok"] or not report["audit"]["ok"]:
            raise Failure(f"{self.name}: the audit is broken: {out}")
        for lane in report["audit"]["lanes"]:
            if lane["accepted"] != lane["delivered"] or lane["in_flight"] != 0:
                raise Failure(f"{self.name}: not all was delivered: {lane}")
        self.compare()
        self.expect_nothing_left()
        return report

    def compare(self):
        want = self.place.oracle(self.job, self.data)
        got = self.table.read_text()
        if got == want:
            self.table.unlink()
            return
        kept = pathlib.Path(tempfile.gettempdir()) / f"{self.name}.differs"
        kept.write_text(got)
        ours, theirs = got.splitlines(), want.splitlines()
        for number, (left, right) in enumerate(zip(ours, theirs), 1):
            if left != right:
                raise Failure(f"{self.name}: line {number} of {kept} is '{left}', the oracle "
                              f"has '{right}'")
        raise Failure(f"{self.name}: {kept} has {len(ours)} lines, the oracle {len(theirs)}")

    def expect_nothing_left(self):
        self.reap()
        left = [pid for pid in descendants_of(os.getpid()) if self.holds_memory(pid)]
        if left:
            raise Failure(f"{self.name}: processes {left} are left")
        names = [str(each) for each in self.place.runtime.rglob("*") if self.name in each.name]
        names += [each for each in os.listdir("/dev/shm") if self.name in each]
        if names:
            raise Failure(f"{self.name}: {names} are left")

    def destroy(self):
        """After a failure: ends what this system started."""
        if self.supervisor is None:
            return
        if self.supervisor.poll() is None:
            send(self.supervisor.pid, signal.SIGKILL)
            self.supervisor.wait()
        for pid in descendants_of(os.getpid()):
            if self.holds_memory(pid):
                send(pid, signal.SIGKILL)
        time.sleep(0.05)
        self.reap()
