"""A client of the Open Inference Protocol v2 over REST: numpy arrays to requests, answers to numpy arrays.

Written from the protocol alone, so that it shares no fault with the server.
"""

import http.client
import json
import urllib.parse
from dataclasses import dataclass, field

import ml_dtypes
import numpy

DATATYPES = {
    "BOOL": numpy.dtype(bool),
    "UINT8": numpy.dtype("<u1"),
    "UINT16": numpy.dtype("<u2"),
    "UINT32": numpy.dtype("<u4"),
    "UINT64": numpy.dtype("<u8"),
    "INT8": numpy.dtype("<i1"),
    "INT16": numpy.dtype("<i2"),
    "INT32": numpy.dtype("<i4"),
    "INT64": numpy.dtype("<i8"),
    "FP16": numpy.dtype("<f2"),
    "BF16": numpy.dtype(ml_dtypes.bfloat16),
    "FP32": numpy.dtype("<f4"),
    "FP64": numpy.dtype("<f8"),
}
NAMES = {dtype: name for name, dtype in DATATYPES.items()}
FRACTIONS = ("FP16", "BF16", "FP32", "FP64")
TIMEOUT_S = 120


@dataclass
class Answer:
    """What came back: `outputs` by name where the status is 200, else `error`; `batch` is what is said of the batch."""

    status: int
    outputs: dict = field(default_factory=dict)
    error: str = ""
    batch: str = ""


class Client:
    """One connection to a data plane; not for two threads at once."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=TIMEOUT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def infer(self, model, inputs, binary=True):
        """Asks `model` for all outputs; `inputs` are arrays by name, strings as arrays of objects."""
        return self.send(model, *encode(inputs, binary))

    def send(self, model, headers, body):
        """Sends an encoded request."""
        self.connection.request("POST", f"/v2/models/{model}/infer", body, headers)
        reply = self.connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            return Answer(reply.status, error=words(content))
        batch = reply.getheader("x-inferneo-batch", "")
        try:
            return Answer(200, decode(reply.getheader("inference-header-content-length"), content), batch=batch)
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            return Answer(200, error=f"the answer is not one of the protocol: {type(fault).__name__}: {fault}")

    def get(self, path):
        """The status and the JSON of a path, `None` where there is no JSON."""
        self.connection.request("GET", path)
        reply = self.connection.getresponse()
        content = reply.read()
        try:
            return reply.status, json.loads(content)
        except ValueError:
            return reply.status, None


def words(content):
    """The message of a refusal."""
    try:
        error = json.loads(content)["error"]
        return error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return repr(content[:200])


def in_json(array):
    """Whether JSON can carry an array: it has no word for NaN and infinity."""
    return datatype(array) not in FRACTIONS or bool(numpy.isfinite(array.astype(numpy.float64)).all())


def datatype(array):
    """The protocol's name for the type of an array."""
    return "BYTES" if array.dtype.kind in "OUS" else NAMES[array.dtype.newbyteorder("<")]


def encode(inputs, binary):
    """The headers and the body of a request."""
    tensors, tail = [], []
    for name, array in inputs.items():
        tensor = {"name": name, "shape": list(array.shape), "datatype": datatype(array)}
        if binary:
            tail.append(raw(array))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = plain(array)
        tensors.append(tensor)
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": binary}}).encode()
    headers = {"content-type": "application/octet-stream" if binary else "application/json"}
    if binary:
        headers["inference-header-content-length"] = str(len(head))
    return headers, head + b"".join(tail)


def raw(array):
    """An array as binary tensor data."""
    if datatype(array) != "BYTES":
        return numpy.ascontiguousarray(array).tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def plain(array):
    """An array as a flat list for JSON."""
    kind = datatype(array)
    return array.ravel().astype(numpy.float64).tolist() if kind in FRACTIONS else array.ravel().tolist()


def decode(header_length, content):
    """The outputs of an answer by name."""
    split = int(header_length) if header_length is not None else len(content)
    outputs, tail = json.loads(content[:split])["outputs"], content[split:]
    found = {}
    for output in outputs:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = from_list(output["datatype"], output["data"])
        else:
            array, tail = from_raw(output["datatype"], tail[:size]), tail[size:]
        found[output["name"]] = array.reshape(output["shape"])
    if tail:
        raise ValueError(f"{len(tail)} bytes are left after the last output")
    return found


def from_list(kind, data):
    if kind == "BYTES":
        return numpy.array(data, dtype=object)
    return numpy.array(data, dtype=numpy.float64 if kind in FRACTIONS else None).astype(DATATYPES[kind])


def from_raw(kind, data):
    if kind != "BYTES":
        return numpy.frombuffer(data, dtype=DATATYPES[kind])
    texts = []
    while data:
        length = int.from_bytes(data[:4], "little")
        texts.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return numpy.array(texts, dtype=object)
