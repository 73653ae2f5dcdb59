#!/usr/bin/env python3
"""Serves ONNX's own node tests, each a model with inputs and the outputs that are right, and compares every answer.

The models of Debian's package `libonnx-testdata` are served by one program, asked over v2 in binary and in JSON, and
compared with what ONNX Runtime alone answers, and with the expected outputs where ONNX Runtime keeps to them. A model
that is not served must stand in tests/conformance/not-served.txt with its reason, and no other may: `--update` writes
that file. Before anything is asked, the server idles until every model has been looked at twice: a model that nobody
asks must not make it unready.

With NAME…, only the models whose name holds one of them, and without the file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import onnx
from onnx import numpy_helper

import v2
from alone import Alone, differences
from server import Failure, Process, Refused

DATA = Path("/usr/share/libonnx-testdata/data")
TABLE = Path(__file__).resolve().parent.parent / "tests/conformance/not-served.txt"
HEADER = """\
# The node tests of ONNX that `make conformance` does not serve, each with its reason: the program's own words where it
# refuses the model at the start. Written by `scripts/conformance.py --update`.
"""
REFUSED_BY_RUNTIME = "ONNX Runtime refuses the model"
FAILS_ALONE = "ONNX Runtime fails on the inputs"
FEWEST_SERVED = 400
# Against the expected outputs, as ONNX's own runner has it; and against ONNX Runtime, which is the same library.
EXPECTED = {"rtol": 1e-3, "atol": 1e-5}
SAME = {"rtol": 1e-5, "atol": 1e-6}
# Two looks of 5 s at every model (docs/interface.md, health checks), and some more.
IDLE_S = 12
MOST_JSON_ELEMENTS = 100_000


@dataclass
class Case:
    """A model with its sets of inputs, and what came of it."""

    name: str
    folder: Path
    sets: list = field(default_factory=list)
    not_served: str = ""
    faults: list = field(default_factory=list)
    disagrees: bool = False


@dataclass
class Set:
    """Inputs, and what ONNX Runtime alone answers; `right` are the expected outputs where it keeps to them."""

    inputs: dict
    alone: dict
    right: dict
    random: bool


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=Path("target/release/inferneo"))
    parser.add_argument("--library", type=Path, default=Path(".cache/onnxruntime/libonnxruntime.so"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tests")
    parser.add_argument("--update", action="store_true", help="write the models that are not served into the file")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only models whose name holds one of these")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data} is missing: on Debian or Ubuntu, apt-get install libonnx-testdata")
    for name in ("binary", "library"):
        if not getattr(arguments, name).exists():
            parser.error(f"--{name}: {getattr(arguments, name)} does not exist")
    if arguments.update and arguments.names:
        parser.error("--update writes the whole file: leave the names out")
    return arguments


def find_cases(arguments):
    """Every folder of the tests with a model in it, named after its place: `node.test_abs`."""
    files = sorted(arguments.data.glob("*/*/model.onnx"))
    cases = [Case(f"{file.parent.parent.name}.{file.parent.name}", file.parent) for file in files]
    chosen = [case for case in cases if not arguments.names or any(name in case.name for name in arguments.names)]
    if not chosen:
        raise Failure(f"no model of {arguments.data} is meant")
    return chosen


def run_alone(case):
    """Runs a case by ONNX Runtime alone; what it cannot do becomes the case's reason."""
    try:
        alone = Alone(case.folder / "model.onnx")
    except Exception:  # noqa: BLE001 - the package has an exception type for every status
        case.not_served = REFUSED_BY_RUNTIME
        return
    if any(not value.type.startswith("tensor(") for value in alone.inputs) or not alone.outputs:
        return  # No request can carry it: the program has to say so.
    for folder in sorted(case.folder.glob("test_data_set_*")):
        inputs = read(folder, "input", [value.name for value in alone.inputs], alone.inputs)
        try:
            answers = [alone.run(inputs) for _ in range(2)]
        except Exception:  # noqa: BLE001
            case.not_served = FAILS_ALONE
            case.sets = [Set(inputs, {}, {}, random=False)]
            return
        expected = read(folder, "output", [value.name for value in alone.session.get_outputs()], alone.outputs)
        random = bool(differences(answers[0], answers[1], **SAME))
        keeps = not random and not differences(answers[0], expected, **EXPECTED)
        case.disagrees |= not random and not keeps
        case.sets.append(Set(inputs, answers[0], expected if keeps else {}, random))


def read(folder, kind, names, values):
    """The arrays of `folder`'s files input_N.pb or output_N.pb, by the names of the graph, where they are tensors."""
    types = {value.name: value.type for value in values}
    found = {}
    for number, name in enumerate(names):
        file = folder / f"{kind}_{number}.pb"
        if name in types and file.exists():
            tensor = onnx.TensorProto.FromString(file.read_bytes())
            array = numpy_helper.to_array(tensor)
            # The tests hold BF16 as the integers of its bits.
            held_as_bits = types[name] == "tensor(bfloat16)" and array.dtype == numpy.uint16
            found[name] = array.view(v2.DATATYPES["BF16"]) if held_as_bits else array
    return found


def flags(arguments, cases):
    given = ["--onnxruntime-library", arguments.library.resolve(), "--device", "cpu", "--state", "none"]
    return given + [word for case in cases for word in ("--model", f"{case.name}={case.folder}")]


def refusal(arguments, case, folder):
    """The program's own words on a model that it does not serve; empty where it starts with it."""
    with Process(arguments.binary, flags(arguments, [case]), folder, case.name) as process:
        try:
            process.addresses()
            return ""
        except Refused as refused:
            return own_words(refused.words, case)


def own_words(words, case):
    """A message without what the reader of the file knows, on one line."""
    words = words.rpartition(f"model `{case.name}`: ")[2].replace(f"{case.folder}/model.onnx: ", "")
    return " ".join(words.split())


def ask_all(arguments, cases, folder):
    """Serves `cases` at once, but for those that turn out to be refused; the time to start in seconds."""
    while True:
        try:
            return ask(arguments, [case for case in cases if case.not_served in ("", FAILS_ALONE)], folder)
        except Refused as refused:
            case = next((case for case in cases if f"model `{case.name}`: " in refused.words), None)
            if case is None or case.not_served not in ("", FAILS_ALONE):
                raise
            case.not_served = own_words(refused.words, case)


def ask(arguments, cases, folder):
    """Serves `cases` at once and compares every answer; the time to start in seconds."""
    began = time.monotonic()
    with Process(arguments.binary, flags(arguments, cases), folder, "all") as process:
        addresses = process.addresses()
        started = time.monotonic() - began
        with v2.Client("http://" + addresses["admin_listen"]) as admin:
            look_idle(admin, {case.name: case for case in cases})
        with v2.Client("http://" + addresses["listen"]) as client:
            for case in cases:
                compare(client, case)
        process.stop()
    return started


def look_idle(admin, cases):
    """Waits for the looks at idle models; one that makes the server unready is at fault."""
    end = time.monotonic() + IDLE_S
    while time.monotonic() < end:
        for name, why in (admin.get("/readyz")[1] or {}).get("missing", {}).items():
            fault = f"not ready while nobody asks: {' '.join(why.split())}"
            if name in cases and fault not in cases[name].faults:
                cases[name].faults.append(fault)
        time.sleep(0.2)


def compare(client, case):
    """Asks with every set of a case, in binary and, where it can carry all, in JSON."""
    for tensors in case.sets:
        for binary in (True, False):
            if not binary and not all(map(fits_json, (*tensors.inputs.values(), *tensors.alone.values()))):
                continue
            answer = client.infer(case.name, tensors.inputs, binary)
            fault = judge(case, tensors, answer)
            if fault:
                case.faults.append(f"{'binary' if binary else 'JSON'}: {fault}")


def fits_json(array):
    """Whether JSON can carry an array within the largest body that a server takes by default."""
    return array.size <= MOST_JSON_ELEMENTS and v2.in_json(array)


def judge(case, tensors, answer):
    """What is wrong with an answer, in words."""
    if case.not_served == FAILS_ALONE:
        return "" if answer.status != 200 else "answered, though ONNX Runtime alone fails"
    if answer.status != 200 or answer.error:
        return f"{answer.status}: {' '.join(answer.error.split())}"
    if tensors.random:
        return forms_differ(answer.outputs, tensors.alone)
    fault = differences(answer.outputs, tensors.alone, **SAME)
    if fault:
        return f"not as ONNX Runtime alone: {fault}"
    fault = differences(answer.outputs, tensors.right, **EXPECTED) if tensors.right else ""
    return f"not as expected: {fault}" if fault else ""


def forms_differ(found, wanted):
    """Of outputs that are drawn by chance only the forms can be compared."""
    forms = [{name: (array.shape, array.dtype) for name, array in outputs.items()} for outputs in (found, wanted)]
    return "" if forms[0] == forms[1] else f"not the form of ONNX Runtime's answer: {forms[0]}, not {forms[1]}"


def ask_doctor(arguments, cases):
    """What `inferneo doctor` says of the models that `serve` refuses, and of those it serves, must be the same."""
    command = [arguments.binary, "doctor", "--onnxruntime-library", arguments.library.resolve()]
    command += [word for case in cases for word in ("--model", f"{case.name}={case.folder}")]
    output = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=False).stdout
    failures, current = {}, None
    for line in output.splitlines():
        verdict, _, said = line.partition(" ")
        if said.strip().startswith("model ") and verdict == "ok":
            current = said.split()[1]
        elif verdict == "failure":
            failures.setdefault(current, said.strip())
    for case in cases:
        served = case.not_served in ("", FAILS_ALONE)
        if served and case.name in failures:
            case.faults.append(f"served, though `doctor` fails it: {failures[case.name]}")
        if not served and case.name not in failures:
            case.faults.append("not served, and `doctor` does not fail it")


def read_table():
    """The reasons by name."""
    lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
    entries = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return {name: reason for name, _, reason in entries}


def write_table(cases):
    TABLE.parent.mkdir(exist_ok=True)
    lines = [f"{case.name}: {case.not_served}\n" for case in cases if case.not_served]
    TABLE.write_text(HEADER + "".join(lines), encoding="utf-8")


def hold_to_table(cases):
    """A model and its place in the file must agree."""
    table = read_table()
    for case in cases:
        reason = table.pop(case.name, "")
        if case.not_served != reason:
            case.faults.append(f"{case.not_served or 'served'}; {TABLE.name} has: {reason or 'nothing'}")
    return [f"{name}: in {TABLE.name}, but there is no such model" for name in table]


def show(cases, faults, started):
    """Prints every fault and closes with a line of numbers; whether all is well."""
    for case in cases:
        faults += [f"{case.name}: {fault}" for fault in case.faults]
    print("".join(f"FAULT {fault}\n" for fault in faults), end="")
    served = [case for case in cases if not case.not_served]
    runtime = sum(case.not_served in (REFUSED_BY_RUNTIME, FAILS_ALONE) for case in cases)
    right = sum(not case.faults for case in served)
    print(
        f"conformance: of {len(cases)} models {len(served)} served, {right} of them without fault; "
        f"{len(cases) - len(served) - runtime} refused by name, {runtime} refused by ONNX Runtime itself; "
        f"{sum(case.disagrees for case in served)} held to ONNX Runtime alone; started in {started:.1f} s"
    )
    return served


def check(arguments, folder):
    cases = find_cases(arguments)
    for case in cases:
        run_alone(case)
    for case in cases:
        if not case.sets:
            reason = refusal(arguments, case, folder)
            if not reason:
                case.faults.append("the program starts with it, and it cannot be asked")
            case.not_served = case.not_served or reason
    started = ask_all(arguments, [case for case in cases if case.sets], folder)
    ask_doctor(arguments, cases)
    if arguments.update:
        write_table(cases)
    faults = [] if arguments.names else hold_to_table(cases)
    served = show(cases, faults, started)
    if not arguments.names and len(served) < FEWEST_SERVED:
        raise Failure(f"only {len(served)} models are served, fewer than {FEWEST_SERVED}")
    if faults:
        raise Failure(f"{len(faults)} faults")


def main():
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="inferneo-conformance-") as folder:
        try:
            check(arguments, Path(folder))
        except Failure as failure:
            sys.exit(f"conformance: {failure}")
        except KeyboardInterrupt:
            sys.exit("conformance: interrupted")


if __name__ == "__main__":
    main()
