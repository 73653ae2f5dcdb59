#!/usr/bin/env python3
"""Holds the sidecar with a model that only hands its input back against a bare HTTP server that does the same.

    overhead.py [--binary FILE] [--echo FILE] [--rounds N] [--duration D] [--json FILE]

`small`: one row of four numbers, an open loop at 200 requests a second over 8 connections: how much longer the 99th
percentile is. `large`: 1 MiB of tensor data there and back, one connection a core in a closed loop: the share of the bare
server's throughput. Both servers are asked the same bytes in turns. Python's standard library is enough.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from server import Failure, Servers, bench, cores

NULL = "null"
SMALL = ["--protocol", "v2-binary", "--tensor", "x:FP32:1x4", "--rate", "200", "--connections", "8"]
LARGE = ["--protocol", "v2-binary", "--tensor", "x:FP32:1x262144"]
MOST_ADDED_US = 200
LEAST_SHARE = 0.9


class Echo:
    """The bare server; ends with the `with` block."""

    def __init__(self, binary):
        self.process = subprocess.Popen([str(binary)], stdout=subprocess.PIPE, text=True)
        self.url = "http://" + self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def turns(arguments, folder, urls, flags):
    """The reports of each server, asked in turns, every other round backwards."""
    reports = {name: [] for name in urls}
    for number in range(arguments.rounds):
        for name in list(urls) if number % 2 == 0 else list(reversed(urls)):
            seeded = [*flags, "--duration", arguments.duration, "--seed", number + 1]
            report = bench(arguments, folder, urls[name], *seeded, model=NULL)
            if report["errors"]:
                raise Failure(f"{name} answered {report['errors_by_reason']}")
            reports[name].append(report)
    return reports


def shown(reports, pick, form):
    """The median of each server, as a line."""
    found = {name: statistics.median(map(pick, measured)) for name, measured in reports.items()}
    print("  " + ", ".join(f"{name} {value:{form}}" for name, value in found.items()), flush=True)
    return found


def measure(arguments, servers):
    policies = servers.folder / "policies"
    policies.mkdir()
    (policies / "default.toml").write_text("schema = 1\n", encoding="utf-8")
    checks = []
    with Echo(arguments.echo) as echo:
        urls = {"sidecar": servers.start("null", policies, "", NULL), "bare": echo.url}
        print(f"\none row of 4 numbers, 200/s, 8 connections, {arguments.rounds} × {arguments.duration} each", flush=True)
        reports = turns(arguments, servers.folder, urls, SMALL)
        print("  p50, µs:", end="")
        shown(reports, lambda report: 1e3 * report["latency_ms"]["p50"], ".0f")
        print("  p99, µs:", end="")
        p99 = shown(reports, lambda report: 1e3 * report["latency_ms"]["p99"], ".0f")
        added = p99["sidecar"] - p99["bare"]
        checks.append({"what": "p99 above the bare server, µs", "value": added, "bar": MOST_ADDED_US, "met": added < MOST_ADDED_US})
        print(f"\n1 MiB there and back, {cores()} connections, {arguments.rounds} × {arguments.duration} each", flush=True)
        reports = turns(arguments, servers.folder, urls, [*LARGE, "--concurrency", cores()])
        print("  requests a second:", end="")
        speed = shown(reports, lambda report: report["throughput_rps"], ".0f")
        share = speed["sidecar"] / speed["bare"]
        checks.append({"what": "share of the bare server's throughput", "value": share, "bar": LEAST_SHARE, "met": share >= LEAST_SHARE})
        servers.stop()
    for check in checks:
        print(f"{check['what']}: {check['value']:.2f} (bar {check['bar']}: {'met' if check['met'] else 'NOT MET'})")
    if arguments.json:
        arguments.json.write_text(json.dumps({"checks": checks}, indent=2) + "\n", encoding="utf-8")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--echo", type=Path, default=Path("target/release/examples/echo"))
    parser.add_argument("--model", type=Path, default=Path(".cache/models/test/null"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", default="10s", help="of one round")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    for name in ("binary", "echo", "model", "library"):
        if not getattr(arguments, name).exists():
            parser.error(f"--{name}: {getattr(arguments, name)} does not exist")
    return arguments


def main():
    arguments = parse_arguments()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("overhead: terminated"))
    with tempfile.TemporaryDirectory(prefix="inferneo-overhead-") as name, Servers(arguments, Path(name)) as servers:
        try:
            measure(arguments, servers)
        except Failure as failure:
            sys.exit(f"overhead: {failure}")
        except KeyboardInterrupt:
            sys.exit("overhead: interrupted")


if __name__ == "__main__":
    main()
