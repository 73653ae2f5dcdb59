#!/usr/bin/env python3
"""Says how well a server predicts its own batches: serves a model, loads it, and prints what /stats knows of it.

    cost_report.py [--binary FILE] [--seconds S] [--concurrency N] [--instances N]

The built-in policy is adaptive, the texts are the shipped ones of mixed length, the loop is closed. Figures are of the
last runs: the median of |predicted - measured| / measured over 128 of them, and the share that stayed within the 95 %
margin, averaged over about 256. Lines on the way show them converge. Whatever else the machine does is in them.

Needs Python 3.10 and its standard library only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from server import MODEL, Failure, Server


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--model", type=Path, default=Path(".cache/models/minilm"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--texts", type=Path, help="one text a line; default: the shipped texts of mixed length")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--instances", type=int, help="sessions of the model; default: the program's choice")
    return parser.parse_args()


def cost(admin):
    with urllib.request.urlopen(f"http://{admin}/stats", timeout=10) as answer:
        return json.load(answer)["models"][MODEL]["cost_model"]


def line(cost):
    """The figures of one look."""
    ratio = lambda key: "   –" if cost[key] is None else f"{100 * cost[key]:5.1f} %"
    margin = "–" if cost["margin"] is None else f"{cost['margin']:.2f}"
    return (
        f"{cost['observations']:6d} runs   median error {ratio('median_error')}   mean error {ratio('error_ratio')}"
        f"   coverage {ratio('coverage_ratio')}   margin × {margin}"
    )


def report(arguments, folder):
    policies = folder / "policies"
    policies.mkdir()
    placement = f"instances = {arguments.instances}\n" if arguments.instances else ""
    server = Server(arguments, folder, "cost", policies, placement)
    try:
        url = server.wait_until_ready()
        admin = json.loads(server.ready_file.read_text(encoding="utf-8"))["admin_listen"]
        print(f"{'warm-up':>8}  {line(cost(admin))}")
        command = [str(arguments.binary), "bench", "--url", url, "--model", MODEL]
        command += ["--concurrency", str(arguments.concurrency), "--duration", f"{arguments.seconds}s"]
        command += ["--texts", str(arguments.texts)] if arguments.texts else []
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            step = max(arguments.seconds // 6, 1)
            at = 0
            while load.poll() is None and at < 2 * arguments.seconds:
                time.sleep(step)
                at += step
                print(f"{at:6d} s  {line(cost(admin))}", flush=True)
            if load.wait(60) != 0:
                raise Failure("the load failed")
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
        server.stop()
    finally:
        server.kill()


def main():
    arguments = parse_arguments()
    try:
        with tempfile.TemporaryDirectory() as folder:
            report(arguments, Path(folder))
    except (Failure, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
