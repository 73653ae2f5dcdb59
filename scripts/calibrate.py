#!/usr/bin/env python3
"""Holds `inferneo simulate` against a real server: records loads, simulates them, prints both beside each other.

    calibrate.py [--program FILE] [--model DIR] [--shares 0.3,0.5,0.8] [--seconds S] [--rounds N] [--seed N] [--keep DIR]

Starts `inferneo serve` on loopback, measures what it carries (`inferneo bench`, a closed loop), then sends texts of mixed
length at shares of that rate, at times drawn beforehand that wait for no answer (a Poisson process), while POST /trace
records. For each recording, the policy that served is simulated. What is compared is what both mean: from the end of
decoding to the answer handed out. Nothing but Python's own library is needed; ONNX Runtime is found as `serve` finds it.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICY = 'strategy = "adaptive"\n[queue]\nmax_rows = 4096\n'
WORDS = "trains are kept apart by signals that the line ahead is clear and the next one has left it".split()
# Words of a query and of a document in the middle, and how far they spread (of their logarithm): seven of ten are queries.
QUERY, DOCUMENT, SPREAD = 8, 40, 0.5
# Seconds that pass before a recording begins, so that caches and the cost model have met the load.
BEFORE = 3.0


def text(chance):
    count = max(1, round((QUERY if chance.random() < 0.7 else DOCUMENT) * 2.718 ** chance.gauss(0.0, SPREAD)))
    return " ".join(chance.choice(WORDS) for _ in range(min(count, 200)))


async def answer(reader):
    """Reads one HTTP/1.1 answer; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
    await reader.readexactly(int(length.split(":")[1]))
    return int(head.split()[1])


class Sender:
    """Sends each text at its time, on a connection that is free or a new one."""

    def __init__(self, address):
        self.host, self.port = address.rsplit(":", 1)
        self.free, self.late, self.failed = [], [], 0

    async def send(self, words):
        body = json.dumps({"model": "m", "input": words, "encoding_format": "base64"}).encode()
        head = f"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection(self.host, self.port)
        writer.write(head.encode() + body)
        self.failed += await answer(reader) != 200
        self.free.append((reader, writer))

    async def run(self, rate, seconds, chance):
        begun, at, sent = time.monotonic(), 0.0, []
        while (at := at + chance.expovariate(rate)) < seconds:
            words = text(chance)
            await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
            self.late.append(time.monotonic() - begun - at)
            sent.append(asyncio.create_task(self.send(words)))
        await asyncio.gather(*sent)


def record(admin, seconds):
    body = json.dumps({"seconds": seconds}).encode()
    return urllib.request.urlopen(f"http://{admin}/trace", data=body, timeout=seconds + 60).read()


async def recorded(addresses, rate, seconds, seed):
    """A trace of so many seconds of such a load."""
    sender = Sender(addresses["listen"])
    # A replay starts from an empty queue, so a recording does too.
    await sender.run(rate, BEFORE, random.Random(f"before {seed}"))
    trace = asyncio.create_task(asyncio.to_thread(record, addresses["admin_listen"], seconds))
    await asyncio.sleep(0.05)
    await sender.run(rate, seconds + 1, random.Random(seed))
    trace = await trace
    late = sorted(sender.late)
    if sender.failed:
        print(f"  {sender.failed} requests were not answered well", file=sys.stderr)
    return trace, 1e3 * late[len(late) * 99 // 100]


def compare(program, folder, name, trace, share):
    path = folder / f"{name}.jsonl"
    path.write_bytes(trace)
    footer = json.loads(trace.splitlines()[-1])
    measured = footer["measured"]["m"]
    command = [program, "simulate", "--json", "--trace", path, "--policy", folder / "policies"]
    row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    told = [f"{footer['load']:8}"]
    for key in ("p50", "p99"):
        real, simulated = measured["latency_ms"][key], row["latency_ms"][key]
        told.append(f"{real:8.2f} {simulated:8.2f} {simulated / real:6.2f}")
    busy = measured["busy_s"] / (footer["duration_us"] / 1e6)
    print(f"{share:5.0%} {footer['arrivals'] / footer['duration_us'] * 1e6:7.1f} {busy:5.2f} {'  '.join(told)}", end="")
    return [row["latency_ms"][key] / measured["latency_ms"][key] for key in ("p50", "p99")]


def serve(program, model, folder):
    (folder / "policies").mkdir()
    (folder / "policies" / "all.toml").write_text(POLICY)
    ready, log = folder / "ready.json", open(folder / "log", "wb")
    flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--policies", folder / "policies"]
    command = [program, "serve", "--model", f"m={model}", *flags, "--ready-file", ready]
    server = subprocess.Popen(command, stderr=log)
    while not ready.exists():
        if server.poll() is not None:
            sys.exit((folder / "log").read_text())
        time.sleep(0.05)
    return server, json.loads(ready.read_text())


def capacity(program, address):
    command = [program, "bench", "--url", f"http://{address}", "--model", "m", "--concurrency", "32", "--duration", "8s"]
    words = tempfile.NamedTemporaryFile("w", suffix=".txt")
    chance = random.Random(0)
    words.write("\n".join(text(chance) for _ in range(2000)))
    words.flush()
    told = subprocess.run([*command, "--texts", words.name, "--json", "-"], check=True, capture_output=True)
    return json.loads(told.stdout)["throughput_rps"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target" / "release" / "inferneo")
    parser.add_argument("--model", default=ROOT / ".cache" / "models" / "minilm")
    parser.add_argument("--shares", default="0.3,0.5,0.8")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder that traces are left in")
    options = parser.parse_args()
    library = ROOT / ".cache" / "onnxruntime" / "libonnxruntime.so"
    if library.exists():
        os.environ.setdefault("INFERNEO_ONNXRUNTIME_LIBRARY", str(library))
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True, parents=True)
        server, addresses = serve(options.program, options.model, folder)
        try:
            most = capacity(options.program, addresses["listen"])
            print(f"capacity {most:.0f} requests a second (32 connections); load average {os.getloadavg()[0]:.1f}")
            print("share   req/s  busy load     p50 ms simulated ratio    p99 ms simulated ratio  late p99 ms")
            ratios = []
            for turn in range(options.rounds):
                for share in map(float, options.shares.split(",")):
                    seed = options.seed + turn
                    trace, late = asyncio.run(recorded(addresses, share * most, options.seconds, seed))
                    ratios += compare(options.program, folder, f"{share}-{turn}", trace, share)
                    print(f"  {late:6.1f}")
            within = sum(1 / 1.15 <= ratio <= 1.15 for ratio in ratios)
            print(f"{within} of {len(ratios)} within 15 %; load average {os.getloadavg()[0]:.1f}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


if __name__ == "__main__":
    main()
