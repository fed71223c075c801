#!/usr/bin/env python3
"""Makes the tables of docs/PERFORMANCE.md and README.md, and the picture, from bench/results/.

  bench/figures.py            writes them
  bench/figures.py --check    says whether they are what the results say; exit code 1 if not

There is a folder for each machine, with what `cyto bench all --json` (run-N.json) and
`bench/idle.py --json` (idle-N.json) have printed on it. A figure is the median over the runs.
"""
import json
import math
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"

# (case, what it is, its floor, at most or at least, aim); a bound with ">" is a least, one with "+"
# is of nanoseconds more than the floor.
ROWS = [
    ("lane/raw/spin/48", "lane, 48 bytes", "one cache line", 1.2, 1.05),
    ("turn/raw/spin/48", "turn, 48 bytes", "one cache line", 1.3, 1.1),
    ("turn/flatbuffer/spin/56", "turn, FlatBuffer of 56 bytes, built and verified",
     "one cache line", 1.9, 1.5),
    ("turn/template/spin/56", "turn, the same prebuilt", "one cache line", 1.4, 1.2),
    ("turn/flatbuffer/spin/248", "turn, FlatBuffer of 248 bytes", "bare ring", 2.0, 1.5),
    ("turn/flatbuffer/spin/1024", "turn, FlatBuffer of 1 KiB", "bare ring", 2.0, 1.5),
    ("turn/in_place/spin/65536", "turn, 64 KiB built in place", "one buffer and a flag", 1.3, 1.1),
    ("turn/in_place/spin/1048576", "turn, 1 MiB built in place", "one buffer and a flag", 1.3, 1.1),
    ("turn/glance/spin/1048576", "turn, 1 MiB of which one line is read", "64 bytes", 1.5, 1.2),
    ("mailbox/lanes_16/spin/48", "turn, 16 lanes, one speaks", "1 lane", 1.1, 1.05),
    ("mailbox/lanes_64/spin/48", "turn, 64 lanes, one speaks", "1 lane", 1.3, 1.15),
    ("mailbox/lanes_255/spin/48", "turn, 255 lanes, one speaks", "1 lane", 1.6, 1.3),
    ("wake/turn/park/48", "turn, both sides asleep", "bare futex", 1.15, 1.05),
    ("turn/one_thread/spin/48", "turn sent and taken in one thread", "bare lane", "+5", "+2"),
    ("lane/one_way/spin/48", "lane, one way", "bare ring, one way", ">0.7", ">1.0"),
    ("turn/one_way_16/spin/48", "turns of 16, one way", "lane, one way", ">0.5", ">0.8"),
]


def key(row):
    return f"{row['bench']}/{row['case']}/{row['mode']}/{row['bytes']}"


class machine:
    """What was measured on one."""

    def __init__(self, folder):
        self.name = folder.name.capitalize()
        self.results = [json.loads(path.read_text()) for path in sorted(folder.glob("run-*.json"))]
        self.idle = [json.loads(path.read_text()) for path in sorted(folder.glob("idle-*.json"))]
        self.rows = {}
        for result in self.results:
            for row in result["rows"]:
                self.rows.setdefault(key(row), []).append(row)
        self.facts = self.results[0]["machine"] if self.results else {}


def load():
    folders = sorted(path for path in (ROOT / "bench/results").iterdir() if path.is_dir())
    machines = [each for each in map(machine, folders) if each.results]
    if not machines:
        sys.exit("figures.py: bench/results has no results")
    return machines


def time_text(ns):
    if ns < 10_000:
        return f"{ns:.0f} ns"
    return f"{ns / 1000:.1f} µs"


def figure(rows, name):
    """Of a case: its own figure as text, and its ratio."""
    found = [row for row in rows.get(name, []) if "failure" not in row]
    if not found:
        return None
    ratio = statistics.median(row["ratio_to_floor"] for row in found)
    p50 = statistics.median(row["p50_ns"] for row in found)
    if p50 > 0:
        return time_text(p50), ratio
    per_s = statistics.median(row["per_s"] for row in found)
    return f"{per_s / 1e6:.1f} million a second", ratio


def bound_text(bound):
    if isinstance(bound, str):
        return f"{bound} ns" if bound[0] == "+" else f"at least {bound[1:]}"
    return f"{bound}"


def holds(ratio, bound):
    return ratio >= float(bound[1:]) if isinstance(bound, str) else ratio <= bound


def compared(rows, name, ratio, bound):
    """What stands under "ratio", and whether it is within the bound."""
    if not (isinstance(bound, str) and bound[0] == "+"):
        return f"{ratio:.2f}", holds(ratio, bound)
    found = [row for row in rows[name] if "failure" not in row]
    more = statistics.median(row["p50_ns"] * (1 - 1 / row["ratio_to_floor"]) for row in found)
    return f"{ratio:.2f}, +{more:.0f} ns", more <= float(bound[1:])


def idle_row(machines):
    """The median run; its bound is a thousandth of a core."""
    cells = []
    for each in machines:
        if not each.idle:
            cells.append("")
            continue
        share = statistics.median(one["core_permille"] for one in each.idle)
        wakes = statistics.median(one["wakes_per_s"] for one in each.idle)
        missed = "" if share <= 1 else " (missed)"
        cells.append(f"{wakes:.0f} wake-ups a second, {share:.2f} ‰{missed}")
    return ("| 16 idle workers and their supervisor | one core | 1 ‰ | 0 wake-ups | "
            + " | ".join(cells) + " |")


def about(each):
    """A machine, its floors, and what makes its figures unfit to be quoted."""
    floors = ", ".join(
        f"{what} {figure(each.rows, name)[0]}" for name, what in
        (("floor/line/spin/48", "one cache line"), ("floor/ring/spin/248", "bare ring of 248 B"),
         ("floor/futex/park/8", "futex")) if figure(each.rows, name))
    facts = each.facts
    commit = f" at commit {facts['commit']}" if "commit" in facts else ""
    return (f"{each.name}: {facts['cpu']}, {facts['cores']} cores, {facts['kernel']}, "
            f"{facts['compiler']}; {len(each.results)} runs of `cyto bench all`{commit}, each the "
            f"median of {facts['passes']} passes. Floors: {floors}. "
            f"Not fit to be quoted elsewhere: {'; '.join(facts['unfit_to_quote'])}.")


def table(machines):
    names = " | ".join(each.name for each in machines)
    lines = [f"| round trip between two processes | its floor | bound | aim | {names} |",
             "|---" * (4 + len(machines)) + "|"]
    for name, what, floor, bound, aim in ROWS:
        cells = []
        for each in machines:
            found = figure(each.rows, name)
            if found is None:
                cells.append("")
                continue
            text, ratio = found
            shown, is_good = compared(each.rows, name, ratio, bound)
            cells.append(f"{text}, {shown}{'' if is_good else ' (missed)'}")
        lines.append(f"| {what} | {floor} | {bound_text(bound)} | {bound_text(aim)} | "
                     + " | ".join(cells) + " |")
    lines.append(idle_row(machines))
    for each in machines:
        lines += ["", about(each)]
    for each in machines:
        peers = peers_of(each.rows)
        if peers:
            lines += ["", *peer_table(each, peers)]
    return "\n".join(lines)


def peer_table(of, peers):
    """Round trips of everybody, polling, and how many times cyto's they are."""
    sizes = [size for size in peers if len(peers[size]) > 2]
    own = {size: dict(peers[size]).get("cyto") for size in sizes}
    names = [name for name, _ in peers[sizes[0]]]
    columns = [f"round trip, both sides polling; {of.name}", *map(size_text, sizes)]
    lines = [f"| {' | '.join(columns)} |",
             "|---" * (len(sizes) + 1) + "|"]
    for name in names:
        cells = []
        for size in sizes:
            ns = dict(peers[size]).get(name)
            if ns is None:
                cells.append("")
            elif name == "cyto" or own[size] is None:
                cells.append(time_text(ns))
            else:
                cells.append(f"{time_text(ns)}, {ns / own[size]:.1f}×")
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return lines


def peers_of(rows):
    """{bytes: [(peer, ns)]} of polling round trips, quickest first."""
    out = {}
    for name, found in rows.items():
        bench, case, mode, size = name.split("/")
        found = [row for row in found if "failure" not in row]
        if bench == "peers" and mode == "spin" and found:
            out.setdefault(int(size), []).append(
                (case, statistics.median(row["p50_ns"] for row in found)))
    return {size: sorted(of, key=lambda each: each[1]) for size, of in sorted(out.items())}


def size_text(size):
    return f"{size >> 10} KiB" if size >= 1024 else f"{size} bytes"


def picture(peers):
    """Bars on a logarithmic scale, a group for each size."""
    left, width, bar = 190, 520, 18
    low = min(ns for of in peers.values() for _, ns in of) / 1.5
    high = max(ns for of in peers.values() for _, ns in of) * 1.5
    place = lambda ns: width * math.log(ns / low) / math.log(high / low)
    body, y = [], 10
    for size, of in peers.items():
        body.append(f'<text x="{left}" y="{y + 14}" font-weight="bold">{size_text(size)}</text>')
        y += 22
        for name, ns in of:
            color = "#0a7" if name == "cyto" else "#999"
            body.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>')
            body.append(f'<rect x="{left}" y="{y}" width="{place(ns):.0f}" height="{bar - 4}" '
                        f'fill="{color}"/>')
            body.append(f'<text x="{left + place(ns) + 5:.0f}" y="{y + 12}">{time_text(ns)}</text>')
            y += bar
        y += 10
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" '
                      f'height="{y}" font-family="sans-serif" font-size="12">',
                      '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>", ""])


def with_block(text, block):
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:begin] + "\n" + block + "\n" + text[end:]


def main():
    machines = load()
    wanted = {}
    for name in ("README.md", "docs/PERFORMANCE.md"):
        path = ROOT / name
        wanted[path] = with_block(path.read_text(), table(machines))
    peers = peers_of(machines[0].rows)
    if peers:
        wanted[ROOT / "docs/latency.svg"] = picture(peers)
    stale = [path for path, text in wanted.items()
             if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"figures.py: {path.relative_to(ROOT)} is not what bench/results says; run "
                  "bench/figures.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
