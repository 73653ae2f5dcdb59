#!/usr/bin/env python3
"""Serves published models, each to many callers at once, and compares every answer with ONNX Runtime alone.

The models are those of setup_models.py, the callers' inputs those of real_inputs.py: shapes differ where the model
leaves them open. `inferneo doctor` is asked twice about each model: of its folder, and of the running server. Prints a
table and what there is to say of single models. A refusal is no fault; a wrong answer is one, an answer of 500, and a
model that answers nobody because it is busy.

With NAME…, only the models whose name holds one of them.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy

import v2
from alone import Alone, differences
from real_inputs import MODELS
from server import Failure, Process, Refused

CLOSE = {"rtol": 1e-3, "atol": 1e-4}
NAME = "real"
VERDICT = re.compile(r"(ok|warning|failure) +(.*)")


@dataclass
class Outcome:
    """What came of one model."""

    label: str
    answered: int = 0
    wrong: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    refused: collections.Counter = field(default_factory=collections.Counter)
    stacks: bool = False
    largest_batch: int = 0
    left_out: list = field(default_factory=list)
    verdicts: dict = field(default_factory=dict)

    def judge(self, found, alone, inputs):
        """Takes in an answer to `inputs`."""
        if found.status == 200 and not found.error:
            self.answered += 1
            rows = re.match(r"rows=(\d+)", found.batch)
            self.largest_batch = max(self.largest_batch, int(rows[1]) if rows else 0)
            fault = differences(found.outputs, alone.run(inputs), **CLOSE)
            self.wrong += [fault] if fault else []
        elif found.status in (200, 500):
            self.failed.append(f"{found.status}: {found.error}")
        else:
            self.refused[f"{found.status}: {found.error}"] += 1

    def at_fault(self):
        """Nothing answered is a fault too, unless the model or every request was refused for what it is."""
        refused = "start" in self.verdicts or self.refused and all(words.startswith("4") for words in self.refused)
        return bool(self.wrong or self.failed or self.answered == 0 and not refused)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--models", type=Path, default=Path(".cache/real-models"))
    parser.add_argument("--callers", type=int, default=64, help="at once")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only models whose name holds one of these")
    arguments = parser.parse_args()
    for name in ("binary", "library", "models"):
        if not getattr(arguments, name).exists():
            parser.error(f"--{name}: {getattr(arguments, name)} does not exist")
    return arguments


def try_model(arguments, model, folder):
    """Serves a model to all callers and asks the doctors."""
    outcome = Outcome(model.label)
    place = folder / NAME
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(arguments.models / model.folder, place)
    if model.settings:
        (place / "model.toml").write_text(model.settings, encoding="utf-8")
    library = ["--onnxruntime-library", arguments.library.resolve()]
    said = doctor(arguments, outcome, "folder", [*library, "--model", f"{NAME}={place}"])
    outcome.stacks = "requests are stacked along" in said
    flags = [*library, "--model", f"{NAME}={place}", "--device", "cpu", "--state", "none"]
    with Process(arguments.binary, flags, folder, "server") as process:
        try:
            url = process.wait_until_ready()
        except Refused as refused:
            outcome.verdicts["start"] = ("refused", [" ".join(refused.words.split())])
            return outcome
        doctor(arguments, outcome, "server", ["--url", url])
        alone = Alone(place / "model.onnx")
        silent = ", and the doctor of the folder does not say so"
        outcome.left_out = [f"output `{name}`{'' if f'left out: {name},' in said else silent}" for name in alone.left_out]
        draw = numpy.random.default_rng(arguments.seed)
        for _ in range(arguments.rounds):
            inputs = [model.draw(draw) for _ in range(arguments.callers)]
            for found, tensors in zip(ask_at_once(url, inputs), inputs):
                outcome.judge(found, alone, tensors)
        with v2.Client(url) as client:
            ready = client.get("/v2/health/ready")
            if ready[0] != 200:
                outcome.failed.append(f"not ready after the load: {ready[1]}")
        process.stop()
    return outcome


def doctor(arguments, outcome, of, flags):
    """Runs the doctor and keeps its verdict; returns all that it said."""
    command = list(map(str, [arguments.binary, "doctor", *flags]))
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = [match.groups() for match in map(VERDICT.match, run.stdout.splitlines()) if match]
    worst = next((level for level in ("failure", "warning") if any(line[0] == level for line in lines)), "ok")
    notes = [f"{level}: {said}" for level, said in lines if level != "ok"]
    if run.returncode not in (0, 1) or not lines:
        worst, notes = f"exit {run.returncode}", [run.stdout.strip()]
    outcome.verdicts[of] = (worst, notes)
    return run.stdout


def ask_at_once(url, inputs):
    """Sends all requests at the same moment, each on a connection of its own."""
    requests = [v2.encode(tensors, True) for tensors in inputs]
    line = threading.Barrier(len(requests))

    def ask(request):
        with v2.Client(url) as client:
            client.connection.connect()
            line.wait()
            try:
                return client.send(NAME, *request)
            except OSError as error:
                return v2.Answer(500, error=f"no answer: {error}")

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


def show_row(outcome):
    stacked = f"yes, {outcome.largest_batch} rows" if outcome.stacks else "no"
    refused = sum(outcome.refused.values())
    folder, server = (outcome.verdicts.get(of, ("–", []))[0] for of in ("folder", "server"))
    numbers = f"{outcome.answered:>9}{refused:>9}{len(outcome.wrong):>7}{len(outcome.failed):>8}"
    print(f"{outcome.label:<30}{stacked:<14}{numbers}   {folder:<10}{server:<10}", flush=True)


def show_notes(outcome):
    """What there is to say of one model, one line each."""
    notes = [f"wrong: {fault}" for fault in outcome.wrong[:2]]
    notes += [f"failed: {fault}" for fault in outcome.failed[:2]]
    notes += [f"{count} refused, {words}" for words, count in outcome.refused.most_common(3)]
    notes += [f"left out: {words}" for words in outcome.left_out]
    for of, (_, said) in outcome.verdicts.items():
        notes += [f"{'doctor of the ' + of if of != 'start' else 'not served'}: {line}" for line in said]
    if notes:
        print(f"\n{outcome.label}")
        print("".join(f"  {' '.join(note.split())}\n" for note in notes), end="")


def check(arguments, folder):
    chosen = [model for model in MODELS if not arguments.names or any(name in model.label for name in arguments.names)]
    if not chosen:
        raise Failure("no model is meant")
    asked = arguments.callers * arguments.rounds
    print(f"{arguments.rounds} × {arguments.callers} callers at once, each answer against ONNX Runtime alone\n")
    numbers = f"{'answered':>9}{'refused':>9}{'wrong':>7}{'failed':>8}"
    print(f"{'model':<30}{'stacked':<14}{numbers}   {'doctor':<10}doctor --url")
    outcomes = []
    for model in chosen:
        outcomes.append(try_model(arguments, model, folder))
        show_row(outcomes[-1])
    for outcome in outcomes:
        show_notes(outcome)
    faults = [outcome.label for outcome in outcomes if outcome.at_fault()]
    print(f"\nreal models: {len(outcomes) - len(faults)} of {len(outcomes)} without fault, {asked} requests to each")
    if faults:
        raise Failure(f"at fault: {'; '.join(faults)}")


def main():
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="inferneo-real-models-") as folder:
        try:
            check(arguments, Path(folder))
        except Failure as failure:
            sys.exit(f"real models: {failure}")
        except KeyboardInterrupt:
            sys.exit("real models: interrupted")


if __name__ == "__main__":
    main()
