"""What thousands of idle and slow clients cost: the agent's memory, and the latency of a normal client beside them; and
what the agent costs when nobody is there, and when a large message comes.

    tests/bench/idle.py [--build build/release] [--idle 1000,10000] [--slow 1000] [--messages 300] [--large 25000000]

Idle clients have heard the greeting and say nothing. Slow ones are in the middle of a message and send one byte a second.
The normal client connects, sends one message of 1 KB and hears 250, again and again. Everything is on loopback with
durable settings. Prints one JSON object: `alone` (agent and helper right after the start), `idle` (a row for each number),
`slow` (the last number of idle clients and the slow ones), `after` (all have gone) and `large` (the most that the agent's
own memory grew while a message of that size came in). PSS depends on who else uses the same libraries.
"""

import argparse
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--idle", type=lambda text: [int(n) for n in text.split(",")], default=[1000, 10000])
    p.add_argument("--slow", type=int, default=1000)
    p.add_argument("--messages", type=int, default=300)
    p.add_argument("--large", type=int, default=25_000_000)
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import harness  # noqa: E402

SPARE = 200  # descriptors for all else
MAIL = b"EHLO bench.example\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
BODY = b"Subject: bench\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 12 + b".\r\nQUIT\r\n"


def allow_descriptors(count):
    """False where the machine forbids so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        except (ValueError, PermissionError):
            return False
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    return True


def memory(pid):
    """KiB: PSS, and what is the agent's alone."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    return {"pss_kib": found["Pss"], "anonymous_kib": found["Anonymous"]}


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send_one(port):
    begin = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(MAIL)
        text = b""
        while b"\r\n354 " not in text:
            piece = s.recv(65536)
            assert piece, text
            text += piece
        s.sendall(BODY)
        text = b""
        while b" queued as " not in text:
            piece = s.recv(65536)
            assert piece, text
            text += piece
    return (time.perf_counter() - begin) * 1000


def latency(port, count):
    times = sorted(send_one(port) for _ in range(count))
    return {"p50_ms": round(statistics.median(times), 2), "p99_ms": round(times[int(count * 0.99) - 1], 2),
            "max_ms": round(times[-1], 2)}


class Crowd:
    def __init__(self, port):
        self.port = port
        self.clients = []
        self.slow = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.dribble, daemon=True)

    def grow(self, idle):
        while len(self.clients) < idle:
            self.clients.append(self.connect())

    def add_slow(self, count):
        self.slow = [self.connect() for _ in range(count)]
        for s in self.slow:
            s.sendall(MAIL)
        self.thread.start()

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        assert s.recv(200).startswith(b"220 ")
        return s

    def dribble(self):
        while not self.stop.is_set():
            began = time.monotonic()
            for s in self.slow:
                try:
                    s.send(b"x")
                except OSError:
                    pass
            self.stop.wait(max(0, 1 - (time.monotonic() - began)))

    def close(self):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
        for s in self.clients + self.slow:
            s.close()


def helper_of(pid):
    """Its only child."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def crowd_cost(pid):
    """Per cent of a core that the crowd alone takes, looked at for a while."""
    cpu, began = cpu_s(pid), time.monotonic()
    time.sleep(2)
    return round(100 * (cpu_s(pid) - cpu) / (time.monotonic() - began), 2)


def large(agent, size):
    """KiB that the agent's own memory grew at most while one message of `size` bytes came in."""
    pid, most, done = agent.process.pid, [0], threading.Event()
    before = memory(pid)["anonymous_kib"]

    def watch():
        while not done.wait(0.003):
            most[0] = max(most[0], memory(pid)["anonymous_kib"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    argv = [ARGS.build / "tests" / "bench" / "load", "--to", f"127.0.0.1:{agent.port}", "--connections", 1,
            "--messages", 3, "--size", size]
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL, timeout=300)
    done.set()
    watcher.join()
    return {"size": size, "grown_kib": max(0, most[0] - before)}


def sessions(agent):
    return agent.json("status")[0]["sessions"]


def row(agent, base, count):
    now = memory(agent.process.pid)
    return {"clients": count, **now, "bytes_per_client": round((now["anonymous_kib"] - base) * 1024 / max(count, 1)),
            "cpu_percent": crowd_cost(agent.process.pid), **latency(agent.port, ARGS.messages)}


def main():
    most = max(ARGS.idle) + ARGS.slow
    if not allow_descriptors(most + SPARE):
        raise SystemExit(f"this machine does not allow {most + SPARE} descriptors: ulimit -n, or fewer --idle")
    scratch = harness.Scratch()
    try:
        agent = harness.Agent(scratch, f"limits {{ connections = {2 * most + SPARE} connections_per_client = {2 * most + SPARE} }}\n"
                              'log_level = "notice"\n').start()
        pid = agent.process.pid
        result = {"alone": {"agent": memory(pid), "helper": memory(helper_of(pid))}}
        latency(agent.port, 50)  # whatever is slow only the first time
        result["large"] = large(agent, ARGS.large)
        base = memory(pid)["anonymous_kib"]
        result["idle"] = [row(agent, base, 0)]
        many = Crowd(agent.port)
        for count in sorted(ARGS.idle):
            many.grow(count)
            harness.until(lambda: sessions(agent) >= count, "all of them", 300)
            result["idle"].append(row(agent, base, count))
        if ARGS.slow:
            many.add_slow(ARGS.slow)
            harness.until(lambda: sessions(agent) >= most, "all of them", 300)
            result["slow"] = row(agent, base, most)
        still = sessions(agent)
        many.close()
        harness.until(lambda: sessions(agent) == 0, "their end", 300)
        result["after"] = {**memory(pid), **latency(agent.port, ARGS.messages), "sessions_before": still}
        print(json.dumps(result, indent=2))
    finally:
        scratch.close()


if __name__ == "__main__":
    main()
