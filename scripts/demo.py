#!/usr/bin/env python3
"""Measures the sidecar on this machine under three ways to batch, and prints one table.

Starts one server for the shipped policies, and one for each way to run requests one at a time (as many sessions as
cores with one thread each; one session with as many threads as cores): that baseline gets whichever of the two is
better. All stay up while rounds of load take turns, so that a noisy machine hits all alike. An idle server costs
nothing but memory. At the end every server is sent SIGTERM and must exit with code 0.

Needs Python 3.10 and its standard library only.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

START_LIMIT_S = 180
STOP_LIMIT_S = 60
MODEL = "minilm"
ADAPTIVE, FIXED, ALONE = "adaptive", "fixed_size (32)", "one at a time"


class Failure(Exception):
    """What went wrong, for the person at the terminal."""


class Server:
    """One `inferneo serve` process, from start to a clean exit."""

    def __init__(self, arguments, folder, name, policies, placement=""):
        self.name = name
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready.json"
        config = folder / f"{name}.toml"
        config.write_text(
            f"policies = {json.dumps(str(policies))}\n"
            f"[onnxruntime]\nlibrary = {json.dumps(str(arguments.library.resolve()))}\n"
            f"[[model]]\nname = {json.dumps(MODEL)}\npath = {json.dumps(str(arguments.model.resolve()))}\n{placement}",
            encoding="utf-8",
        )
        command = [str(arguments.binary), "serve", "--config", str(config), "--ready-file", str(self.ready_file)]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_ready(self):
        """Returns the data plane's URL; the ready file appears once the model is warm."""
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise Failure(f"the server ended with code {self.process.returncode} before it was ready:\n{self.tail()}")
            try:
                return "http://" + json.loads(self.ready_file.read_text(encoding="utf-8"))["listen"]
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.05)
        raise Failure(f"the server was not ready within {START_LIMIT_S} s:\n{self.tail()}")

    def stop(self):
        """Sends SIGTERM and waits for a clean exit."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"the server was still there {STOP_LIMIT_S} s after SIGTERM:\n{self.tail()}") from None
        if code != 0:
            raise Failure(f"the server exited with code {code} after SIGTERM:\n{self.tail()}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self, lines=20):
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join("  | " + line for line in text[-lines:]) or "  | (no output)"


@dataclass
class Way:
    """One way to batch, and what its rounds of load measured."""

    label: str
    url: str
    tenant: str = ""
    rounds: list = field(default_factory=list)

    def measure(self, arguments, folder):
        output = folder / "round.json"
        command = [str(arguments.binary), "bench", "--url", self.url, "--model", MODEL, "--json", str(output)]
        command += ["--protocol", arguments.protocol, "--concurrency", str(arguments.concurrency)]
        command += ["--duration", arguments.duration]
        command += ["--tenant", self.tenant] if self.tenant else []
        command += ["--texts", str(arguments.texts)] if arguments.texts else []
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            raise Failure(f"the measurement of {self.label} failed")
        report = json.loads(output.read_text(encoding="utf-8"))
        self.rounds.append(report)
        return report

    def total(self, key):
        return sum(report[key] for report in self.rounds)

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


def start(arguments, folder, servers):
    """Starts the servers, one after the other so that each warms up undisturbed, and names the ways to measure."""
    cores = len(os.sched_getaffinity(0))
    alone = folder / "alone"
    alone.mkdir()
    (alone / "alone.toml").write_text("schema = 1\ndynamic_batching = false\n", encoding="utf-8")

    def url(*settings):
        began = time.monotonic()
        server = Server(arguments, folder, *settings)
        servers.append(server)
        address = server.wait_until_ready()
        print(f"started {server.name} in {time.monotonic() - began:.1f} s", flush=True)
        return address

    shipped = url("shipped-policies", arguments.policies.resolve())
    ways = [Way(ADAPTIVE, shipped), Way(FIXED, shipped, tenant="fixed_size")]
    for instances, threads in sorted({(cores, 1), (1, cores)}):
        placement = f"instances = {instances}\nthreads = {threads}\n"
        label = f"{ALONE}, {instances} × {threads}"
        ways.append(Way(label, url(f"one-at-a-time-{instances}x{threads}", alone, placement)))
    return ways


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
    print(f"\nadaptive vs fixed_size:    {adaptive.throughput() / fixed.throughput():.1f}×")
    print(f"adaptive vs one at a time: {adaptive.throughput() / best.throughput():.1f}×")


def main():
    arguments = parse_arguments()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A terminated demo leaves no server behind: this unwinds through the `finally` below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: terminated"))
    servers = []
    with tempfile.TemporaryDirectory(prefix="inferneo-demo-") as name:
        folder = Path(name)
        try:
            ways = start(arguments, folder, servers)
            measure(arguments, folder, ways)
            for server in servers:
                server.stop()
            show(arguments, ways)
            print("stopped cleanly")
            errors = sum(way.total("errors") for way in ways)
            if errors:
                raise Failure(f"{errors} requests were not answered")
        except Failure as failure:
            sys.exit(f"demo: {failure}")
        except KeyboardInterrupt:
            sys.exit("demo: interrupted")
        finally:
            for server in servers:
                server.kill()


if __name__ == "__main__":
    main()
