#!/usr/bin/env python3
"""Draws what docs/scheduling.md shows: curves measured on this machine, and simulated ones.

    curves.py cost [--binary FILE] [--rounds N] [--into DIR]   cost-rows.svg, cost-tokens.svg
    curves.py slo  [--binary FILE] [--seconds S] [--into DIR]  slo.svg
    curves.py draw [--into DIR]                                all of them again, from the figures kept there

`cost` serves MiniLM with one session and sends it one request at a time, of each number of rows and each length, in
rounds over all of them; /decisions of the admin plane tells what each run took, and /stats what was learned by the end
of each round. Whatever else the machine does is in it. `slo` simulates loads of scripts/make_trace.py at rising rates, under `adaptive` and as
other servers would serve them. Both keep their figures as JSON beside the pictures.

Needs Python 3.10 and its standard library only.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from server import MODEL, Failure, Server
from plot import Axis, Line, chart

ROOT = Path(__file__).resolve().parent.parent
LENGTHS, ROWS = [8, 16, 32, 64, 128, 256], [1, 2, 4, 8, 16, 32, 64]
# Rounds that only teach.
TAUGHT = 2
# No larger batch is measured: it would run for seconds.
MOST_TOKENS = 4096
SHAPES = [(rows, length) for length in LENGTHS for rows in ROWS if rows * length <= MOST_TOKENS]
RATES = [200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000, 2200, 2400, 2600, 2800, 3000]
RULES = ["none+drop", "fixed:32:2ms+drop", "fifo:1024+drop", "window:256:12", "window:256:12+drop"]
WAYS = ["adaptive", "adaptive, deadline", *RULES]
SLO = "100ms"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cost", "slo", "draw"])
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/inferneo")
    parser.add_argument("--model", type=Path, default=ROOT / ".cache/models/minilm")
    parser.add_argument("--library", type=Path, default=ROOT / ".cache/onnxruntime/libonnxruntime.so")
    parser.add_argument("--rounds", type=int, default=13, help="of runs of each shape; at least 4")
    parser.add_argument("--seconds", type=int, default=20, help="of each simulated load")
    parser.add_argument("--into", type=Path, default=ROOT / "docs/img")
    return parser.parse_args()


def request(rows, length):
    """One item of so many rows: a batch of its own while nothing else is sent."""
    def tensor(name, value):
        return {"name": name, "datatype": "INT64", "shape": [rows, length], "data": [value] * (rows * length)}

    inputs = [tensor("input_ids", 2023), tensor("attention_mask", 1), tensor("token_type_ids", 0)]
    return json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()


def infer(url, body):
    where, headers = f"{url}/v2/models/{MODEL}/infer", {"content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(where, body, headers), timeout=60).read()


def ask(admin, path):
    with urllib.request.urlopen(f"http://{admin}{path}", timeout=10) as answer:
        return json.load(answer)


def measure(arguments, folder):
    """Runs every shape in every round; the figures of each shape."""
    policies = folder / "policies"
    policies.mkdir()
    server = Server(arguments, folder, "curves", policies, "instances = 1\nthreads = 1\n")
    chance, took, trends = random.Random(1), {}, []
    try:
        url = server.wait_until_ready()
        admin = json.loads(server.ready_file.read_text(encoding="utf-8"))["admin_listen"]
        for number in range(arguments.rounds):
            # Never in the same order: what the machine does meanwhile is not to look like the shape.
            for rows, length in chance.sample(SHAPES, len(SHAPES)):
                infer(url, request(rows, length))
                run = ask(admin, "/decisions?n=1")[-1]
                if (run["rows"], run["padded_length"]) != (rows, length):
                    raise Failure(f"{rows} × {length} ran as {run['rows']} × {run['padded_length']}")
                took.setdefault((rows, length), []).append(run["compute_ms"])
            trends.append(ask(admin, "/stats")["models"][MODEL]["cost_model"]["devices"][0]["coefficients_ms"])
            print(f"round {number + 1}/{arguments.rounds}", flush=True)
        server.stop()
    finally:
        server.kill()
    return [figures(shape, took[shape][TAUGHT:], trends[TAUGHT:]) for shape in SHAPES]


def figures(shape, took, trends):
    """What a shape's runs took, by quartile, and the trend that was learned by the end of each round, in the median."""
    rows, length = shape
    tokens = rows * length
    trend = [t["base"] + t["per_token"] * tokens + t["per_squared_token"] * tokens * length for t in trends]
    quarters = [round(quarter, 3) for quarter in statistics.quantiles(took, n=4)]
    learned = round(statistics.median(trend), 3)
    return {"rows": rows, "length": length, "learned_ms": learned, "measured_ms": quarters, "runs": len(took)}


def simulate(arguments, folder):
    """By rate: the share in time of each way to serve."""
    policies = [folder / "adaptive.toml", folder / "deadline.toml"]
    for policy, deadline in zip(policies, ["none", SLO]):
        slo = f'[slo]\ntarget = "{SLO}"\ndeadline = "{deadline}"\n'
        policy.write_text(f'strategy = "adaptive"\n{slo}[queue]\nmax_rows = 1000000\nmax_bytes = "1TiB"\n')
    found = []
    for rate in RATES:
        trace = folder / "trace.jsonl"
        make = [sys.executable, str(ROOT / "scripts/make_trace.py"), "--machine", "gpu", "--rate", str(rate)]
        with trace.open("w") as out:
            subprocess.run([*make, "--seconds", str(arguments.seconds)], stdout=out, check=True)
        command = [str(arguments.binary), "simulate", "--json", "--trace", str(trace), "--noise", "0.1", "--slo", SLO]
        command += ["--policy", *map(str, policies), "--baseline", *RULES]
        told = subprocess.run(command, capture_output=True, check=True).stdout
        shares = {}
        for name, row in zip(WAYS, json.loads(told), strict=True):
            sent = row["requests"] + row["errors"]
            shares[name] = round(100 * row["goodput_rps"] * row["duration_s"] / sent, 2)
        found.append({"rate": rate, "in_slo_percent": shares})
        print(rate, shares, flush=True)
    return found


def draw_cost(shapes, into):
    """Time a row against rows, and tokens a second against padded tokens."""
    by_row, by_token = [], []
    for length in LENGTHS:
        own = sorted((s for s in shapes if s["length"] == length), key=lambda s: s["rows"])
        a_row = [[quarter / s["rows"] for quarter in s["measured_ms"]] for s in own]
        by_row.append(
            Line(
                f"{length} tokens",
                [(s["rows"], s["learned_ms"] / s["rows"]) for s in own],
                [(s["rows"], middle) for s, (_, middle, _) in zip(own, a_row)],
                [(s["rows"], low, high) for s, (low, _, high) in zip(own, a_row)],
            )
        )
        rate = lambda s, ms: s["rows"] * length / ms
        by_token.append(
            Line(
                f"{length} tokens a row",
                [(s["rows"] * length, rate(s, s["learned_ms"])) for s in own],
                [(s["rows"] * length, rate(s, s["measured_ms"][1])) for s in own],
                [(s["rows"] * length, rate(s, s["measured_ms"][2]), rate(s, s["measured_ms"][0])) for s in own],
            )
        )
    rows = Axis("rows of the batch", ROWS, log=True)
    title = "Time a row: measured (dots, with quartiles), and the learned trend (lines)"
    times = Axis("ms a row", ends(by_row, [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]), log=True)
    (into / "cost-rows.svg").write_text(chart(title, rows, times, by_row))
    tokens = Axis("padded tokens of the batch", [8, 32, 128, 512, 2048, 4096], log=True)
    title = "Tokens computed: measured (dots, with quartiles), and the learned trend (lines)"
    rates = Axis("thousand tokens a second", ends(by_token, [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20]))
    (into / "cost-tokens.svg").write_text(chart(title, tokens, rates, by_token))


def ends(lines, marks):
    """The marks that hold all that is drawn."""
    values = [b for line in lines for _, b in line.line + line.dots]
    values += [end for line in lines for _, *pair in line.ranges for end in pair]
    first = max([at for at, mark in enumerate(marks) if mark <= min(values)], default=0)
    last = min([at for at, mark in enumerate(marks) if mark >= max(values)], default=len(marks) - 1)
    return marks[first : last + 1]


def draw_slo(found, into):
    lines = [Line(name, [(at["rate"], at["in_slo_percent"][name]) for at in found]) for name in WAYS]
    for line in lines:
        line.dots = line.line
    rates = Axis("requests a second", [0, 500, 1000, 1500, 2000, 2500, 3000])
    shares = Axis(f"answered within {SLO}, %", [0, 20, 40, 60, 80, 100])
    (into / "slo.svg").write_text(chart("Answered in time, by rate (simulated)", rates, shares, lines))


def kept(into, name, figures=None):
    """Keeps figures beside the pictures, or answers those that were kept."""
    file = into / f"{name}.json"
    if figures is not None:
        lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in figures["figures"])
        head = json.dumps(figures["machine"], ensure_ascii=False)
        file.write_text(f'{{"machine": {head}, "figures": [\n{lines}\n]}}\n', encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))["figures"]


def machine():
    """What was measured on: the processor, the cores, and how many programs wanted them at the end."""
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").open() if line.startswith("model name")]
    return {"processor": (names or [platform.machine()])[0], "cores": os.cpu_count(), "load": round(os.getloadavg()[1], 1)}


def main():
    arguments = parse_arguments()
    arguments.into.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.what == "cost":
                kept(arguments.into, "cost", {"figures": measure(arguments, Path(folder)), "machine": machine()})
            elif arguments.what == "slo":
                kept(arguments.into, "slo", {"figures": simulate(arguments, Path(folder)), "machine": machine()})
        if arguments.what != "slo":
            draw_cost(kept(arguments.into, "cost"), arguments.into)
        if arguments.what != "cost":
            draw_slo(kept(arguments.into, "slo"), arguments.into)
    except (Failure, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
