"""What the kernel knows of processes: memory, processor time."""

import os
import pathlib

TICK = os.sysconf("SC_CLK_TCK")


def read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it has ended
        return ""


def all_pids():
    return [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*")]


def parent_of(pid):
    fields = read(pid, "stat").rsplit(")", 1)[-1].split()
    return int(fields[1]) if len(fields) > 1 else 0


def descendants(first):
    """It, and all that it started and that has not gone off on its own."""
    parents = {pid: parent_of(pid) for pid in all_pids()}
    found, fresh = {first}, {first}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return sorted(found)


def in_root(root):
    """Those whose root directory is this one, or one below it."""
    found = []
    for pid in all_pids():
        try:
            its = os.readlink(f"/proc/{pid}/root")
        except OSError:
            continue
        if its == str(root) or its.startswith(f"{root}/"):
            found.append(pid)
    return found


def kib(pids, field, name="smaps_rollup"):
    total = 0
    for pid in pids:
        for line in read(pid, name).splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return total


def pss_mb(pids):
    return kib(pids, "Pss") / 1024


def anonymous_mb(pids):
    """Without pages of mapped files."""
    return kib(pids, "RssAnon", "status") / 1024


def cpu_s(pids):
    """With that of the children that they have waited for."""
    total = 0
    for pid in pids:
        fields = read(pid, "stat").rsplit(")", 1)[-1].split()
        total += sum(map(int, fields[11:15])) / TICK if len(fields) > 14 else 0
    return total
