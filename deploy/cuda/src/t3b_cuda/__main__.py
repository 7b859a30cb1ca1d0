"""Runs t3b where it finds NVIDIA's libraries: those of the wheels beside this package. Arguments and exit status are t3b's.

    t3b-cuda run my.toml --set device.kind=cuda
"""

import ctypes
import importlib.util
import os
import pathlib
import shutil
import sys

# As t3b ends when a setting asks for what is not there.
EX_CONFIG = 78

NO_DRIVER = """\
t3b-cuda: libcuda.so.1 is not found: the driver of an NVIDIA card is missing on this machine, or is not given to this container.
hint: install the driver, or give the container its cards; without a card run t3b, with device.kind = "cpu"
"""


def libraries():
    """Folders of NVIDIA's wheels in which there are libraries."""
    spec = importlib.util.find_spec("nvidia")
    roots = list(spec.submodule_search_locations) if spec else []
    return [str(folder) for root in roots for folder in sorted(pathlib.Path(root).glob("*/lib")) if folder.is_dir()]


def main():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        sys.stderr.write(NO_DRIVER)
        sys.exit(EX_CONFIG)
    beside = pathlib.Path(sys.executable).parent / "t3b"
    program = str(beside) if beside.exists() else shutil.which("t3b")
    if program is None:
        sys.exit("t3b-cuda: the program t3b is not found: install the wheel t3b")
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(libraries() + ([before] if before else []))
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
