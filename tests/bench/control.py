"""What listing and control cost on a deep queue, and what they do to everybody else meanwhile.

    tests/bench/control.py [--build build/release] [--messages 1000000] [--only WORD] [--scratch /dev/shm]

For each verb: seconds until its first line and until its end, the time a NOOP takes meanwhile on another connection
(p50, p99, highest, ms), the highest memory of the agent (RssAnon) and of the tool, and how many messages were relayed
meanwhile, where mail flows. The queue is filled once and copied for each group of verbs that change it.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--messages", type=int, default=1_000_000)
    p.add_argument("--only", default="")
    p.add_argument("--scratch", type=pathlib.Path, default=pathlib.Path("/dev/shm"))
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import harness  # noqa: E402


class Noop(threading.Thread):
    """One NOOP after the other on a connection of its own: how long the loop keeps others waiting."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.times, self.halt = [], threading.Event()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(agent.socket))
        self.socket.recv(1000)
        self.pid, self.anon = agent.process.pid, 0
        self.start()

    def run(self):
        while not self.halt.is_set():
            begin = time.perf_counter()
            self.socket.sendall(b"NOOP\r\n")
            self.socket.recv(1000)
            self.times.append((time.perf_counter() - begin) * 1000)
            if len(self.times) % 100 == 1:
                self.anon = max(self.anon, anon_kib(self.pid))
            self.halt.wait(0.0005)

    def stop(self):
        self.halt.set()
        self.join()
        self.socket.close()
        t = sorted(self.times)
        return {"noop_p50": round(t[len(t) // 2], 2), "noop_p99": round(t[int(len(t) * 0.99)], 2),
                "noop_max": round(t[-1], 2), "agent_kib": max(self.anon, anon_kib(self.pid))}


def anon_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def run(agent, *argv):
    """Runs a verb; its figures."""
    noop = Noop(agent)
    delivered = agent.json("status")[0]["delivered"]
    begin = time.perf_counter()
    child = subprocess.Popen([str(harness.BUILD / "sendoff"), "--config", str(agent.file), *map(str, argv)],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    first, size, last = None, 0, b""
    while piece := os.read(child.stdout.fileno(), 1 << 16):
        first = first or time.perf_counter() - begin
        size += len(piece)
        last = (last + piece)[-200:]
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - begin
    return {"first_s": round(first or took, 3), "took_s": round(took, 3), **noop.stop(), "tool_kib": usage.ru_maxrss,
            "bytes": size, "exit": child.returncode, "relayed": agent.json("status")[0]["delivered"] - delivered,
            "last": last.decode(errors="replace").strip().rsplit("\n", 1)[-1][-90:]}


class Bed:
    def __init__(self, filled):
        self.scratch = harness.Scratch(parent=ARGS.scratch)
        self.port = harness.free_port()
        self.scratch.add(harness.Process([harness.BUILD / "sendoff", "sink", "--listen", f"127.0.0.1:{self.port}",
                                          "--discard", "--quiet"], self.scratch.path / "sink.log"))
        self.agent = harness.Agent(self.scratch, "", queue="max_size = 64G min_free_disk = 0")
        self.route = 'route "all" { via = {"work"} }'
        self.settings(port=9)
        shutil.copytree(filled, self.agent.queue)
        begin = time.perf_counter()
        self.agent.start()
        print(f"start {time.perf_counter() - begin:.3f} s", flush=True)

    def settings(self, port, more="", route=None):
        text = f'log_level = "warning"\nsmarthost "work" {{ host = "127.0.0.1" port = {port} tls = none connections = 10 ' \
               'messages_per_connection = 1000 }\nsmarthost "other" { host = "127.0.0.1" port = 9 tls = none }\n'
        self.agent.configure(text + more, route or self.route)
        # The start's record has the port: it is of level notice.
        self.agent.file.write_text(self.agent.file.read_text().replace('log_level = "warning"', 'log_level = "notice"'))

    def settled(self):
        """Whatever the start began is over."""
        harness.until(lambda: self.idle_cpu() < 0.3, "a quiet agent", 300)

    def idle_cpu(self):
        def ticks():
            fields = pathlib.Path(f"/proc/{self.agent.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        begin = ticks()
        threading.Event().wait(0.5)
        return (ticks() - begin) / os.sysconf("SC_CLK_TCK") / 0.5

    def some_id(self):
        return self.agent.json("list", "--limit", 1)[0]["id"]

    def close(self):
        self.scratch.close()


def looks(bed):
    some = bed.some_id()
    yield "status", ("status",)
    yield "list --limit 50", ("list", "--limit", 50)
    yield "list --limit 50 --to (none fits)", ("list", "--limit", 50, "--to", "*@nowhere.example")
    yield "list --state sending (none)", ("list", "--limit", 50, "--state", "sending")
    yield "list --state lane --limit 50", ("list", "--limit", 50, "--state", "lane")
    yield "list, all", ("list",)
    yield "show", ("show", some)
    yield "why", ("why", some)
    yield "history --limit 50", ("history", "--limit", 50)
    yield "drain --timeout 3s", ("drain", "--timeout", "3s")


def changes(bed):
    yield "hold --from (1 of 1000)", ("hold", "--from", "s7@sender.example", "--yes")
    yield "release --from (1 of 1000)", ("release", "--from", "s7@sender.example", "--yes")
    yield "flush --all", ("flush", "--all", "--yes")
    yield "remove --from (1 of 100)", ("remove", "--from", "s?0@sender.example", "--yes")
    yield "remove --all", ("remove", "--all", "--yes")


def show(name, figures):
    print(f"{name:36}" + " ".join(f"{k} {v}" for k, v in figures.items()), flush=True)


def measure(filled, verbs):
    bed = Bed(filled)
    try:
        bed.settled()
        for name, argv in verbs(bed):
            if ARGS.only in name:
                show(name, run(bed.agent, *argv))
    finally:
        bed.close()


def reload_it(filled):
    """Another route for all, alone and while mail flows."""
    for name, port in (("reload, host down", 9), ("reload, mail flows", None)):
        if ARGS.only not in name:
            continue
        bed = Bed(filled)
        try:
            bed.settled()
            bed.settings(port or bed.port)
            bed.agent.ctl("reload")
            if not port:
                bed.agent.ctl("flush", "--all", "--yes")
                rate = run(bed.agent, "drain", "--timeout", "5s")
                show("drain --timeout 5s, mail flows", rate)
            bed.settings(port or bed.port, route='route "all" { via = {"work", "other"} }')
            show(name, run(bed.agent, "reload"))
            bed.settled() if port else None
        finally:
            bed.close()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="control-", dir=ARGS.scratch))
    try:
        filled = folder / "queue"
        subprocess.run([str(harness.BUILD / "tests" / "bench" / "queue_fill"), "--messages", str(ARGS.messages),
                        "--senders", "1000", "--submitters", "3", str(filled)], check=True)
        measure(filled, looks)
        reload_it(filled)
        measure(filled, changes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
