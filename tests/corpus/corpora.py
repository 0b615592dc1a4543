"""The messages that tests send: real ones from packages (tests/corpus/fetch), and those of torture.py."""

import glob
import os
import re
from pathlib import Path

import torture

HERE = Path(__file__).resolve().parent
UNPACKED = Path(os.environ.get("CORPUS", HERE.parents[1] / "build" / "corpus"))


def real():
    """(name, message) of every package that is there; line ends are CRLF, as they are on their way."""
    for line in (HERE / "packages").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        pattern = line.split("\t")[1]
        for root in (UNPACKED, Path("/")):
            files = sorted(glob.glob(str(root / pattern), recursive=True))
            for file in files:
                yield Path(file).name, re.sub(rb"\r\n|\r|\n", b"\r\n", Path(file).read_bytes())
            if files:
                break


def everything():
    yield from torture.fixed()
    yield from real()
