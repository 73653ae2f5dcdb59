"""A model run by ONNX Runtime alone, through its Python package, and what counts as the same answer."""

import ctypes

import ml_dtypes
import numpy
import onnx
import onnxruntime

BF16 = "tensor(bfloat16)"
BF16_NUMBER = 16

# Warnings about single models are not what the reader of a table looks for.
onnxruntime.set_default_logger_severity(3)
onnxruntime.disable_telemetry_events()


class Alone:
    """A session on one thread of the CPU; `Exception` where ONNX Runtime refuses the model."""

    def __init__(self, file):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
        self.classes = {}
        if any(output.type.startswith("seq(map(") for output in self.session.get_outputs()):
            self.classes = classes(file)
        served = lambda output: output.type.startswith("tensor(") or output.name in self.classes
        self.outputs = [output for output in self.session.get_outputs() if served(output)]
        self.left_out = [output.name for output in self.session.get_outputs() if not served(output)]
        self.bf16 = any(value.type == BF16 for value in (*self.inputs, *self.outputs))

    def run(self, inputs):
        """The outputs that are tensors, by name; the scores that `ZipMap` maps are one, a column a class."""
        names = [output.name for output in self.outputs]
        if not self.bf16:
            return {name: self.array(name, answer) for name, answer in zip(names, self.session.run(names, inputs))}
        # The Python package knows no arrays of BF16: they go in and out as bytes.
        values = {name: to_value(array) for name, array in inputs.items()}
        answers = self.session.run_with_ort_values(names, values)
        return {name: to_array(answer) for name, answer in zip(names, answers)}


    def array(self, name, answer):
        if name not in self.classes:
            return answer
        rows = [[row[label] for label in self.classes[name]] for row in answer]
        return numpy.array(rows, dtype=numpy.float32).reshape(len(answer), len(self.classes[name]))


def classes(file):
    """The classes whose scores `ZipMap` maps, by the output's name, in the order of its columns."""
    found = {}
    for node in onnx.load(str(file), load_external_data=False).graph.node:
        for attribute in node.attribute if node.op_type == "ZipMap" else ():
            labels = onnx.helper.get_attribute_value(attribute)
            found[node.output[0]] = [label.decode() if isinstance(label, bytes) else label for label in labels]
    return found


def to_value(array):
    if array.dtype == ml_dtypes.bfloat16:
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, BF16_NUMBER)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def to_array(value):
    if value.data_type() != BF16:
        return value.numpy()
    shape = value.shape()
    size = 2 * int(numpy.prod(shape, dtype=int))
    content = ctypes.string_at(value.data_ptr(), size)
    return numpy.frombuffer(content, dtype=ml_dtypes.bfloat16).reshape(shape)


def difference(found, wanted, rtol, atol):
    """How an array differs from the wanted one, in words; empty where it does not."""
    if found.shape != wanted.shape:
        return f"shape {list(found.shape)}, not {list(wanted.shape)}"
    if wanted.dtype.kind in "OUS":
        same = found.dtype.kind in "OUS" and (found == wanted).all()
        return "" if same else f"texts {found.tolist()}, not {wanted.tolist()}"
    if found.dtype != wanted.dtype:
        return f"type {found.dtype}, not {wanted.dtype}"
    if wanted.dtype.kind not in "fV":
        wrong = found != wanted
    else:
        rounding = max(rtol, 4 * float(ml_dtypes.finfo(wanted.dtype).eps))
        found, wanted = found.astype(numpy.float64), wanted.astype(numpy.float64)
        wrong = ~numpy.isclose(found, wanted, rtol=rounding, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    place = numpy.unravel_index(numpy.argmax(wrong), wrong.shape)
    where = [int(index) for index in place]
    return f"{int(wrong.sum())} of {wrong.size} elements, the first at {where}: {found[place]}, not {wanted[place]}"


def differences(found, wanted, rtol, atol):
    """How outputs differ from the wanted ones, in words; empty where they do not."""
    if set(found) != set(wanted):
        return f"outputs {sorted(found)}, not {sorted(wanted)}"
    pairs = ((name, difference(found[name], wanted[name], rtol, atol)) for name in wanted)
    return "; ".join(f"{name}: {words}" for name, words in pairs if words)
