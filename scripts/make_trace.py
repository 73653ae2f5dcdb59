#!/usr/bin/env python3
"""Makes up a load and prints it as a trace for `inferneo simulate`: callers who do not wait for each other.

    make_trace.py --machine cpu|gpu --rate R --seconds S [--texts mixed|short] [--tenant NAME] [--seed N]

The machine is one of two, and says so in the head of the trace:

cpu  Two workers on two cores. Measured: all-MiniLM-L6-v2, fp32, ONNX Runtime 1.32, two cores of an AMD EPYC with
     AVX-512, both workers busy all the time.
gpu  One worker. Made up in the form that GPUs have, flat until some 400 tokens; measured on none:
     max(2.5, 0.8 + 0.004·B·S + 9.2e-7·B·S²) milliseconds for B rows of S tokens.

Texts are queries of 12 tokens in the middle; in mixed ones, three of ten are documents of 160 in the middle. None is
longer than 512 tokens, or 256 on the CPU, where no more was measured.
"""

import argparse
import json
import math
import random

LENGTHS = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
ROWS = [1, 2, 4, 8, 16, 32]
# Rows a second of both workers together: a line a length, a column a size of batch.
MEASURED = [
    [473, 727, 901, 1021, 1046, 1103],
    [435, 536, 629, 661, 733, 681],
    [352, 444, 498, 509, 548, 540],
    [271, 314, 355, 363, 329, 339],
    [233, 246, 263, 272, 279, 266],
    [156, 165, 175, 177, 179, 156],
    [118, 127, 127, 124, 115, 107],
    [76, 77, 81, 79, 75, 69],
    [60, 62, 61, 57, 55, 49],
    [39, 42, 38, 37, 34, 30],
    [28, 29, 27, 26, 22, 20],
]
# A query's and a document's middle length, and how far lengths spread (of their logarithm).
QUERY, DOCUMENT, SPREAD = 12, 160, 0.6


def cpu():
    """The CPU as a place of a model."""
    points = [
        {"rows": float(rows), "len": float(length), "measured_ms": round(2 * rows * 1000 / rate, 3)}
        for length, rates in zip(LENGTHS, MEASURED)
        for rows, rate in zip(ROWS, rates)
    ]
    trend = {"base": 2.4, "per_token": 0.21, "per_squared_token": 0.0002}
    return {"device": "cpu", "workers": 2, "costs": [{"busy_workers": 2, "coefficients_ms": trend, "points": points}]}


def gpu():
    """The GPU as a place of a model."""
    curve = {"base": 0.8, "per_token": 0.004, "per_squared_token": 9.2e-7, "least": 2.5}
    return {"device": "cuda:0", "workers": 1, "costs": [{"busy_workers": 1, "coefficients_ms": curve}]}


MACHINES = {"cpu": (cpu, 256), "gpu": (gpu, 512)}


def arrivals(options, longest):
    """Arrivals as a Poisson process makes them."""
    chance = random.Random(options.seed)
    at = 0.0
    while (at := at + chance.expovariate(options.rate)) < options.seconds:
        document = options.texts == "mixed" and chance.random() < 0.3
        length = (DOCUMENT if document else QUERY) * math.exp(chance.gauss(0.0, SPREAD))
        tokens = min(longest, max(3, round(length)))
        tenant = {"tenant": options.tenant} if options.tenant else {}
        item = {"len": tokens, "bytes": 16 * tokens, "class": "0000000000000001"}
        yield {"at_us": int(at * 1e6), "model": "minilm", **tenant, "items": [item]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine", choices=MACHINES, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--texts", choices=["mixed", "short"], default="mixed")
    parser.add_argument("--tenant", default="")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    place, longest = MACHINES[options.machine]
    models = {"minilm": {"batchable": True, "devices": [place()]}}
    head = {"trace": 1, "started_at": "2026-01-01T00:00:00Z", "seconds": options.seconds, "models": models}
    lines = [head, *arrivals(options, longest)]
    count = len(lines) - 1
    whole = {"arrivals": count, "rows": count, "duration_us": options.seconds * 1_000_000, "truncated": False}
    lines.append({**whole, "load": "open"})
    for line in lines:
        print(json.dumps(line, separators=(",", ":")))


if __name__ == "__main__":
    main()
