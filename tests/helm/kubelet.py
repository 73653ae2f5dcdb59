"""A ConfigMap's volume, written the way a kubelet does it (Kubernetes' AtomicWriter).

The files lie in a folder named after the time; `..data` is a link to it, and each file a link through `..data`. An
update makes a new folder, turns `..data` to it by a rename, and removes the old one, so that a reader sees all of a
version or nothing.
"""

import itertools
import shutil
from datetime import datetime


class Volume:
    """A folder that holds one ConfigMap at a time."""

    def __init__(self, path):
        self.path = path
        self.data = path / "..data"
        self.numbers = itertools.count(1)
        path.mkdir(parents=True, exist_ok=True)

    def files(self):
        """What is mounted: text by file name."""
        if not self.data.is_symlink():
            return None
        return {file.name: file.read_text() for file in self.data.iterdir()}

    def write(self, files):
        """Mounts these files in place of the last ones; whether there was anything to do."""
        if files == self.files():
            return False
        old = self.data.resolve() if self.data.is_symlink() else None
        new = self.path / f"{datetime.now():..%Y_%m_%d_%H_%M_%S}.{next(self.numbers)}"
        new.mkdir(mode=0o755)
        for name, text in files.items():
            (new / name).write_text(text)
        draft = self.path / "..data_tmp"
        draft.symlink_to(new.name)
        draft.rename(self.data)
        for name in files:
            link = self.path / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for link in self.path.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if old:
            shutil.rmtree(old)
        return True
