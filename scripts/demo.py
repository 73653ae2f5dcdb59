#!/usr/bin/env python3
"""Measures the sidecar on this machine under three ways to batch, and prints one table.

Starts one server for the shipped policies, and one for each way to run requests one at a time (as many sessions as
cores with one thread each; one session with as many threads as cores): that baseline gets whichever of the two is
better. All stay up while rounds of load take turns, so that a noisy machine hits all alike. An idle server costs
nothing but memory. At the end every server is sent SIGTERM and must exit with code 0.

Needs Python 3.10 and its standard library only.
"""

import argparse
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from server import Failure, Servers, bench

ADAPTIVE, FIXED, ALONE = "adaptive", "fixed_size (32)", "one at a time"


@dataclass
class Way:
    """One way to batch, and what its rounds of load measured."""

    label: str
    url: str
    tenant: str = ""
    rounds: list = field(default_factory=list)

    def measure(self, arguments, folder):
        flags = ["--protocol", arguments.protocol, "--concurrency", arguments.concurrency]
        flags += ["--duration", arguments.duration]
        flags += ["--tenant", self.tenant] if self.tenant else []
        flags += ["--texts", arguments.texts] if arguments.texts else []
        report = bench(arguments, folder, self.url, *flags)
        self.rounds.append(report)
        return report

    def total(self, key):
        return sum(report[key] for report in self.rounds)

    def refused(self):
        """Requests whose text the model cannot take: over its length, which OpenAI's API refuses."""
        return sum(report["errors_by_reason"].get("invalid_request", 0) for report in self.rounds)

    def throughput(self):
        return self.total("requests") / self.total("duration_s")

    def latency(self, key):
        """The mean over the rounds of a percentile."""
        return sum(report["latency_ms"][key] for report in self.rounds) / len(self.rounds)

    def rows(self):
        """The mean size of a batch over all rounds; None where the server did not say."""
        known = [report for report in self.rounds if report["batch"]["avg_rows"]]
        batches = sum(report["requests"] / report["batch"]["avg_rows"] for report in known)
        return sum(report["requests"] for report in known) / batches if batches else None

    def useful(self):
        """The mean over the rounds of the share of computed tokens that was text."""
        known = [report["padding_efficiency"] for report in self.rounds if report["padding_efficiency"] is not None]
        return sum(known) / len(known) if known else None


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--model", type=Path, default=Path(".cache/models/minilm"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--policies", type=Path, default=Path("policies"))
    parser.add_argument("--texts", type=Path, help="one text a line; default: the shipped texts of mixed length")
    parser.add_argument("--protocol", default="openai")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--duration", default="7s", help="of one round")
    arguments = parser.parse_args()
    for name in ("binary", "model", "library", "policies", "texts"):
        path = getattr(arguments, name)
        if path is not None and not path.exists():
            parser.error(f"--{name}: {path} does not exist")
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1 is wanted")
    return arguments


def start(arguments, servers):
    """Starts the servers and names the ways to measure."""
    shipped = servers.start("shipped-policies", arguments.policies.resolve())
    ways = [Way(ADAPTIVE, shipped), Way(FIXED, shipped, tenant="fixed_size")]
    return ways + [Way(f"{ALONE}, {instances} × {threads}", url) for instances, threads, url in servers.start_alone()]


def measure(arguments, folder, ways):
    """Lets the ways take turns; every other round goes backwards, so that a drift hits all alike."""
    for number in range(arguments.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            report = way.measure(arguments, folder)
            print(f"round {number + 1}/{arguments.rounds}  {way.label:<22}{report['throughput_rps']:8.1f} req/s", flush=True)


def show(arguments, ways):
    """Prints the table, then how adaptive compares."""
    adaptive, fixed, *alone = ways
    best = max(alone, key=Way.throughput)
    texts = arguments.texts or "the shipped mixed texts"
    print(f"\n{texts}, {arguments.concurrency} connections, {arguments.protocol}, ", end="")
    print(f"{arguments.rounds} × {arguments.duration} each; latencies are means over the rounds\n")
    print(f"{'':<22}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'batch':>8}{'useful tokens':>15}{'errors':>8}")
    for way in (best, fixed, adaptive):
        rows, useful = way.rows(), way.useful()
        print(
            f"{way.label:<22}{way.throughput():9.1f}{way.latency('p50'):9.1f}{way.latency('p99'):9.1f}"
            f"{'–' if rows is None else format(rows, '.2f'):>8}"
            f"{'–' if useful is None else format(useful, '.1%'):>15}{way.total('errors'):8d}"
        )
    for other in alone:
        if other is not best:
            print(f"({other.label}: {other.throughput():.1f} req/s, so the better of the two is shown)")
    print(f"\nadaptive vs fixed_size:    {adaptive.throughput() / fixed.throughput():.2f}×")
    print(f"adaptive vs one at a time: {adaptive.throughput() / best.throughput():.2f}×")


def main():
    arguments = parse_arguments()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A terminated demo leaves no server behind: this unwinds through the `with` block below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: terminated"))
    with tempfile.TemporaryDirectory(prefix="inferneo-demo-") as name, Servers(arguments, Path(name)) as servers:
        try:
            ways = start(arguments, servers)
            measure(arguments, servers.folder, ways)
            servers.stop()
            show(arguments, ways)
            print("stopped cleanly")
            refused = sum(way.refused() for way in ways)
            if refused:
                print(f"{refused} requests were refused as invalid: their texts are longer than the model takes")
            errors = sum(way.total("errors") for way in ways) - refused
            if errors:
                raise Failure(f"{errors} requests were not answered")
        except Failure as failure:
            sys.exit(f"demo: {failure}")
        except KeyboardInterrupt:
            sys.exit("demo: interrupted")


if __name__ == "__main__":
    main()
