"""The stand-in for NVML (tests/nvml/standin.c), built and given a scene."""

import os
import subprocess

from conftest import ROOT

# A GPU with a value for everything that NVML can tell.
SCENE = """\
driver 580.95.05
cuda 13000
0.uuid GPU-0
0.name NVIDIA L4
0.memory 4294967296 536870912 25769803776
0.utilization 64 12
0.process {pid} 1073741824
0.power 58200
0.limit 72000
0.temperature 61
0.clock.sm 2040
0.clock.memory 6251
0.reasons 4
0.ecc 3 0
0.retired 2 1
0.mig 0
"""


def build(folder):
    """The path of a library in `folder` that plays SCENE."""
    library = folder / "libnvidia-ml.so.1"
    source = ROOT / "tests/nvml/standin.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    play(library, pid=0)
    return library


def play(library, pid):
    """Says that process `pid` has memory on the GPU. The library reads the scene again at every call."""
    scene = library.with_name(library.name + ".scene")
    unfinished = scene.with_suffix(".new")
    unfinished.write_text(SCENE.format(pid=pid))
    unfinished.rename(scene)
