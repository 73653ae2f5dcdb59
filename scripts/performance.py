#!/usr/bin/env python3
"""Holds the sidecar against ONNX Runtime's own ceiling and against other ways to batch, all in one run.

    performance.py [--texts NAME=FILE]... [--parts closed,open,slo] [--rounds N] [--duration D] [--json FILE] [--plot FILE]

`closed`: 64 connections, each waiting for its answer, on each file of texts: adaptive, fixed batches of 32 and one request
at a time (the better of two placements), in turns, and the ceiling: the model run in process on sorted texts.
`open`: requests at times drawn beforehand, at shares of what the compared way carries in a closed loop.
`slo`: the highest rate whose p99 stays below 100 ms; `--plot` draws what was seen on the way.

Ratios only are printed against a bar; absolute figures move with the machine. Python's standard library is enough.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from plot import Axis, Line, chart
from server import Failure, Servers, bench

SHIPPED = Path(__file__).resolve().parent.parent / "src/bench/texts/mixed.txt"
CONNECTIONS = 64
# The part of the shipped texts that is short one-liners; the rest is paragraphs.
SHORT_SHARE = 0.7
ADAPTIVE, FIXED, ALONE = "adaptive", "fixed_size (32)", "one at a time"
# Of each kind of texts: least share of the ceiling, and least ratio over one request at a time.
BARS = {"mixed": (0.95, 1.5), "short": (0.90, 2.2), "docs": (0.95, 1.0)}


class Run:
    """The servers, what they are asked, and the checks that came of it."""

    def __init__(self, arguments, servers):
        self.arguments, self.servers = arguments, servers
        shipped = servers.start("shipped-policies", arguments.policies.resolve())
        self.ways = {ADAPTIVE: (shipped, []), FIXED: (shipped, ["--tenant", "fixed_size"])}
        self.alone = []
        for instances, threads, url in servers.start_alone():
            name = f"{ALONE}, {instances} × {threads}"
            self.ways[name] = (url, [])
            self.alone.append(name)
        self.figures, self.checks = {}, []

    def load(self, way, texts, *flags):
        url, own = self.ways[way]
        return bench(self.arguments, self.servers.folder, url, "--texts", texts, *own, *flags)

    def turns(self, ways, measure):
        """Has the ways take turns, every other round backwards; the reports of each way."""
        reports = {way: [] for way in ways}
        for number in range(self.arguments.rounds):
            for way in ways if number % 2 == 0 else list(reversed(ways)):
                reports[way].append(measure(way, number))
        return reports

    def check(self, what, ratio, bar, at_most=False):
        met = ratio <= bar if at_most else ratio >= bar
        self.checks.append({"what": what, "ratio": round(ratio, 3), "bar": bar, "at_most": at_most, "met": met})
        print(f"  {what}: {ratio:.2f} ({'at most' if at_most else 'at least'} {bar}: {'met' if met else 'NOT MET'})", flush=True)


def mean(reports, pick):
    """The mean of what is known; None where nothing is."""
    known = [value for value in map(pick, reports) if value is not None]
    return statistics.fmean(known) if known else None


def throughput(reports):
    return mean(reports, lambda report: report["throughput_rps"])


def latency(reports, key):
    return mean(reports, lambda report: report["latency_ms"] and report["latency_ms"][key])


def line(name, reports):
    rows = mean(reports, lambda report: report["batch"]["avg_rows"])
    useful = mean(reports, lambda report: report["padding_efficiency"])
    errors = sum(report["errors"] for report in reports)
    print(
        f"  {name:<24}{throughput(reports):9.1f}/s  p50 {latency(reports, 'p50'):8.1f} ms  p99 {latency(reports, 'p99'):8.1f} ms"
        f"  rows {rows or 0:5.2f}  useful {100 * (useful or 0):5.1f} %  errors {errors}",
        flush=True,
    )


def closed(run, name, texts):
    """One kind of texts in closed loops; the mean throughput of each way."""
    print(f"\n{name}: closed loop, {CONNECTIONS} connections, {run.arguments.rounds} × {run.arguments.duration} each", flush=True)
    ends = {0, run.arguments.rounds - 1}

    def measure(way, number):
        flags = ["--concurrency", CONNECTIONS, "--duration", run.arguments.duration]
        if way == ADAPTIVE and number in ends:
            flags += ["--ceiling", "--model-dir", run.arguments.model, "--onnxruntime-library", run.arguments.library]
        return run.load(way, texts, *flags)

    reports = run.turns(list(run.ways), measure)
    for way, measured in reports.items():
        line(way, measured)
    speeds = {way: throughput(measured) for way, measured in reports.items()}
    ceiling = mean(reports[ADAPTIVE], lambda report: report["ceiling"] and report["ceiling"]["rps"])
    best = max(run.alone, key=speeds.get)
    run.figures[name] = {"ceiling_rps": ceiling, "throughput_rps": speeds, "best_alone": best}
    print(f"  {'the ceiling':<24}{ceiling:9.1f}/s; {best} is {speeds[best] / ceiling:.2f} of it", flush=True)
    of_ceiling, over_alone = BARS.get(name, (0.95, 1.0))
    run.check(f"{name}: adaptive ÷ ceiling", speeds[ADAPTIVE] / ceiling, of_ceiling)
    run.check(f"{name}: adaptive ÷ one at a time", speeds[ADAPTIVE] / speeds[best], over_alone)
    if name == "mixed":
        run.check("mixed: adaptive ÷ fixed_size", speeds[ADAPTIVE] / speeds[FIXED], 6.0)
        run.check("mixed: useful tokens", mean(reports[ADAPTIVE], lambda report: report["padding_efficiency"]), 0.95)
    return speeds, best


def open_loop(run, texts, speeds, best):
    """Shares of each baseline's own capacity, at the same planned times for both."""
    run.figures["open"] = []
    for way, share, key, bar in (
        (FIXED, 0.5, "p99", 0.6), (FIXED, 0.8, "p99", 0.6), (best, 0.5, "p99", 1.0), (best, 0.8, "p99", 1.0), (best, 0.1, "p50", 1.1),
    ):
        rate = round(speeds[way] * share, 2)
        print(f"\nopen loop at {rate}/s, {share:.0%} of {way}", flush=True)
        flags = ["--rate", rate, "--duration", run.arguments.duration]
        reports = run.turns([ADAPTIVE, way], lambda name, number: run.load(name, texts, *flags, "--seed", number + 1))
        for name, measured in reports.items():
            line(name, measured)
        seen = {name: {which: latency(measured, which) for which in ("p50", "p99")} for name, measured in reports.items()}
        run.figures["open"].append({"rate": rate, "share": share, "of": way, "latency_ms": seen})
        ratio = seen[ADAPTIVE][key] / seen[way][key]
        run.check(f"{key} at {share:.0%}: adaptive ÷ {way}", ratio, bar, at_most=True)


def slo(run, texts, speeds, best):
    """The highest rate with p99 under 100 ms, each searched for around its own capacity."""
    print("\nhighest rate with p99 < 100 ms", flush=True)
    steps = run.figures["steps"] = {ADAPTIVE: [], best: []}

    def search(way, _):
        span = f"{speeds[way] * 0.1:.0f}..{speeds[way] * 1.1:.0f}"
        found = run.load(way, texts, "--rate", span, "--slo", "100ms", "--duration", run.arguments.duration)
        rate = found["ramp"]["highest_rate"]
        steps[way] += [(step["rate"], step["latency_ms"]["p99"]) for step in found["ramp"]["steps"] if step["latency_ms"]]
        print(f"  {way:<24}{rate or 0:9.1f}/s", flush=True)
        return rate or 0.0

    rates = {way: statistics.median(found) for way, found in run.turns([ADAPTIVE, best], search).items()}
    run.figures["slo"] = rates
    if rates[best]:
        run.check("mixed: highest rate, adaptive ÷ one at a time", rates[ADAPTIVE] / rates[best], 1.4)


def draw(run, path):
    """The 99th percentile of every step of the ramps, by rate: the median of each rate that was tried more than once."""
    lines = []
    for way, steps in run.figures["steps"].items():
        by_rate = {}
        for rate, p99 in steps:
            by_rate.setdefault(round(rate), []).append(p99)
        lines.append(Line(way, sorted((rate, statistics.median(seen)) for rate, seen in by_rate.items())))
    most = max(rate for line in lines for rate, _ in line.line)
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500) if most / size <= 8)
    rates = list(range(0, int(most) + step + 1, step))
    milliseconds = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    title = "99th percentile at rising rates, mixed texts (the objective: 100 ms)"
    path.write_text(chart(title, Axis("requests a second", rates), Axis("p99 ms", milliseconds, log=True), lines), encoding="utf-8")


def shipped_texts(folder):
    """The shipped texts as three kinds: all of them, their short lines, their paragraphs."""
    lines = [text for text in SHIPPED.read_text(encoding="utf-8").splitlines() if text.strip()]
    cut = sorted(map(len, lines))[int(len(lines) * SHORT_SHARE)]
    kinds = {"mixed": lines, "short": [t for t in lines if len(t) < cut], "docs": [t for t in lines if len(t) >= cut]}
    for name, texts in kinds.items():
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return {name: folder / f"{name}.txt" for name in kinds}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--model", type=Path, default=Path(".cache/models/minilm"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--policies", type=Path, default=Path("policies"))
    parser.add_argument("--texts", action="append", default=[], metavar="NAME=FILE", help="instead of the shipped ones; mixed, short, docs have bars")
    parser.add_argument("--parts", default="closed,open,slo", help="closed is always run: the others need its figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", default="10s", help="of one round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG of the ramps; wants the part slo")
    arguments = parser.parse_args()
    for name in ("binary", "model", "library", "policies"):
        if not getattr(arguments, name).exists():
            parser.error(f"--{name}: {getattr(arguments, name)} does not exist")
    if any("=" not in pair or not Path(pair.partition("=")[2]).is_file() for pair in arguments.texts):
        parser.error("--texts: NAME=FILE is wanted, of a file that exists")
    return arguments


def measure(arguments, servers):
    kinds = dict(pair.split("=", 1) for pair in arguments.texts) or shipped_texts(servers.folder)
    run = Run(arguments, servers)
    speeds = {name: closed(run, name, texts) for name, texts in kinds.items()}
    main_kind = "mixed" if "mixed" in kinds else next(iter(kinds))
    if "open" in arguments.parts:
        open_loop(run, kinds[main_kind], *speeds[main_kind])
    if "slo" in arguments.parts:
        slo(run, kinds[main_kind], *speeds[main_kind])
        if arguments.plot:
            draw(run, arguments.plot)
    servers.stop()
    if arguments.json:
        arguments.json.write_text(json.dumps({"figures": run.figures, "checks": run.checks}, indent=2) + "\n", encoding="utf-8")
    print(f"\n{sum(check['met'] for check in run.checks)} of {len(run.checks)} bars met")


def main():
    arguments = parse_arguments()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A terminated run leaves no server behind: this unwinds through the `with` block below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("performance: terminated"))
    with tempfile.TemporaryDirectory(prefix="inferneo-performance-") as name, Servers(arguments, Path(name)) as servers:
        try:
            measure(arguments, servers)
        except Failure as failure:
            sys.exit(f"performance: {failure}")
        except KeyboardInterrupt:
            sys.exit("performance: interrupted")


if __name__ == "__main__":
    main()
