#!/usr/bin/env python3
"""Makes docs/EXPERIMENTS.md and its pictures from bench/results/experiments.json.

  bench/experiments.py --run build/release/bin/cyto   runs the experiments first
  bench/experiments.py                                writes what the results say
  bench/experiments.py --check                        says whether it is that; exit code 1 if not

The results are what `cyto experiment --json` has printed. Between the marks of the document nothing
is written by hand.
"""
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results/experiments.json"
DOCUMENT = ROOT / "docs/EXPERIMENTS.md"
BEGIN, END = "<!-- experiments:begin -->", "<!-- experiments:end -->"
COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 80, 130, 30, 40


def run(command):
    """The exit code says whether goals are met; the document tells that, too."""
    done = subprocess.run([command, "experiment", "all", "--json"], stdout=subprocess.PIPE,
                          check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"experiments.py: {command} experiment has failed")
    RESULTS.write_bytes(done.stdout)


def number_text(value):
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}"


def cell_text(value):
    if value is None:
        return "-"
    return value if isinstance(value, str) else number_text(value)


def check_text(check):
    unit = f" {check['unit']}" if check["unit"] else ""
    bound = "at most" if "at_most" in check else "at least"
    wanted = check.get("at_most", check.get("at_least"))
    word = "met" if check["ok"] else "missed"
    if check["kind"] == "law":
        word = "holds" if check["ok"] else "BROKEN"
    return (f"| {check['kind']} | {check['what']} | {number_text(check['value'])}{unit} "
            f"| {bound} {number_text(wanted)}{unit} | {word} |")


def section(found):
    title = f"## {found['number']}. {found['name']}"
    if "failure" in found:
        return [title, "", f"No result: {found['failure']}", ""]
    keys = list(found["columns"])
    texts = {key: any(isinstance(row.get(key), str) for row in found["rows"]) for key in keys}
    lines = [title, "", found["question"], "", found["method"], "",
             "| " + " | ".join(found["columns"].values()) + " |",
             "|" + "|".join("---" if texts[key] else "---:" for key in keys) + "|"]
    for row in found["rows"]:
        lines.append("| " + " | ".join(cell_text(row.get(key)) for key in keys) + " |")
    if found["plots"]:
        lines += ["", f"![{found['name']}]({picture_path(found).name})"]
    holding = [check for check in found["checks"] if check["kind"] == "law" and check["ok"]]
    others = [check for check in found["checks"] if check not in holding]
    lines += ["", f"{'Good' if found['good'] else 'NOT GOOD'}: of {len(found['checks'])} checks, "
              f"{len(holding)} are laws that hold" + ("; the others:" if others else "."), ""]
    if others:
        lines += ["| | what | value | wanted | |", "|---|---|---|---|---|"]
        lines += [*map(check_text, others), ""]
    return lines


def picture_path(found):
    return ROOT / f"docs/experiment-{found['number']}.svg"


def block(results):
    machine = results["machine"]
    lines = []
    for found in results["experiments"]:
        lines += section(found)
    unfit = machine["unfit_to_quote"]
    lines += [f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, "
              f"{machine['compiler']}. {machine['seconds_per_case']:g} s for each case.",
              "Not fit to be quoted elsewhere: " + "; ".join(unfit) + "." if unfit else
              "Nothing else ran on it."]
    return "\n".join(lines)


class Axis:
    """From values to places between two ends."""

    def __init__(self, values, begin, end, is_log):
        values = [value for value in values if value > 0] if is_log else list(values)
        low, high = (min(values), max(values)) if values else (1, 1)
        if is_log:
            low = 10 ** math.floor(math.log10(low))
            high = 10 ** max(math.ceil(math.log10(high)), round(math.log10(low)) + 1)
        elif high <= low:
            high = low + 1
        self.low, self.high, self.begin, self.end, self.is_log = low, high, begin, end, is_log

    def at(self, value):
        if self.is_log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        if not self.is_log:
            return [self.low + (self.high - self.low) * i / 4 for i in range(5)]
        decades = round(math.log10(self.high / self.low))
        return [self.low * 10 ** i for i in range(decades + 1)]


def short_text(value):
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):.4g}{unit}"
    return f"{value:.4g}"


def svg_text(x, y, anchor, text):
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def plot(found, down):
    """One plot, `down` points below the top of the picture."""
    points = [point for line in found["lines"].values() for point in line]
    x = Axis([point[0] for point in points], LEFT, WIDTH - RIGHT, False)
    y = Axis([point[1] for point in points] + ([] if found["log"] else [0]),
             down + HEIGHT - BOTTOM, down + TOP, found["log"])
    out = [svg_text(WIDTH / 2, down + 15, "middle", found["title"]),
           svg_text((x.begin + x.end) / 2, down + HEIGHT - 8, "middle", found["x"]),
           svg_text(4, down + TOP - 8, "start", found["y"])]
    for tick in y.ticks():
        out.append(f'<path d="M{x.begin} {y.at(tick):.1f}H{x.end}" stroke="#ddd"/>')
        out.append(svg_text(x.begin - 6, y.at(tick) + 4, "end", short_text(tick)))
    for tick in x.ticks():
        out.append(f'<path d="M{x.at(tick):.1f} {y.begin}V{y.end}" stroke="#ddd"/>')
        out.append(svg_text(x.at(tick), y.begin + 14, "middle", short_text(tick)))
    for i, (name, line) in enumerate(found["lines"].items()):
        color = COLORS[i % len(COLORS)]
        places = " ".join(f"{x.at(at):.1f},{y.at(value):.1f}" for at, value in line)
        out.append(f'<polyline points="{places}" fill="none" stroke="{color}"/>')
        at = down + TOP + 14 * (i + 1)
        out.append(f'<rect x="{x.end + 10}" y="{at - 5}" width="10" height="3" fill="{color}"/>')
        out.append(svg_text(x.end + 24, at, "start", name))
    return out


def picture(found):
    height = HEIGHT * len(found["plots"])
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             'font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="white"/>']
    for i, each in enumerate(found["plots"]):
        lines += plot(each, i * HEIGHT)
    return "\n".join([*lines, "</svg>", ""])


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "--run":
        run(arguments[1])
    elif arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    results = json.loads(RESULTS.read_text())
    text = DOCUMENT.read_text()
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    wanted = {DOCUMENT: text[:begin] + "\n" + block(results) + "\n" + text[end:]}
    for found in results["experiments"]:
        if found.get("plots"):
            wanted[picture_path(found)] = picture(found)
    stale = [path for path, content in wanted.items()
             if not path.exists() or path.read_text() != content]
    if arguments == ["--check"]:
        for path in stale:
            print(f"experiments.py: {path.relative_to(ROOT)} is not what {RESULTS.name} says; run "
                  "bench/experiments.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
