"""Takes shared libraries and licences out of downloaded wheels: unpack.py WHEELS LIBRARIES LICENCES

Of ONNX Runtime the runtime itself, under the name libonnxruntime.so, and its providers of shared code and
of CUDA; of every other wheel all libraries. Licences keep their names, in a folder for each wheel.
"""

import sys
import zipfile
from pathlib import Path, PurePosixPath

PROVIDERS = {"libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"}
LICENCES = ("license", "thirdpartynotices", "notice", "eula")


def main(wheels, libraries, licences):
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as files:
            for name in files.namelist():
                path = PurePosixPath(name)
                if path.name.lower().startswith(LICENCES):
                    write(licences / wheel.name.split("-")[0] / path.name, files.read(name))
                elif library := library_name(path):
                    write(libraries / library, files.read(name))
    if not (libraries / "libonnxruntime.so").exists():
        sys.exit("unpack: no wheel holds ONNX Runtime")


def library_name(path):
    """What a wheel's file is called among the libraries; None for one that is not needed."""
    if path.parts[0].startswith("onnxruntime"):
        if path.name.startswith("libonnxruntime.so."):
            return "libonnxruntime.so"
        return path.name if path.name in PROVIDERS else None
    return path.name if path.parent.name == "lib" and ".so" in path.suffixes else None


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
