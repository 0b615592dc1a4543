"""What thousands of idle and slow clients cost: the agent's memory, and the latency of a normal client beside them.

    tests/bench/idle.py [--build build/release] [--idle 10000] [--slow 1000] [--messages 300]

Idle clients have heard the greeting and say nothing. Slow ones are in the middle of a message and send one byte a second.
The normal client connects, sends one message of 1 KB and hears 250, again and again. Everything is on loopback with
durable settings.
"""

import argparse
import json
import os
import pathlib
import resource
import socket
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--idle", type=int, default=10000)
    p.add_argument("--slow", type=int, default=1000)
    p.add_argument("--messages", type=int, default=300)
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
    def __init__(self, port, idle, slow):
        self.port = port
        self.clients = []
        self.stop = threading.Event()
        self.slow = [self.connect() for _ in range(slow)]
        for s in self.slow:
            s.sendall(MAIL)
        self.clients += self.slow
        self.clients += [self.connect() for _ in range(idle)]
        self.thread = threading.Thread(target=self.dribble, daemon=True)
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
        self.thread.join()
        for s in self.clients:
            s.close()


def main():
    crowd = ARGS.idle + ARGS.slow
    if not allow_descriptors(crowd + SPARE):
        raise SystemExit(f"this machine does not allow {crowd + SPARE} descriptors: ulimit -n, or fewer --idle")
    scratch = harness.Scratch()
    try:
        agent = harness.Agent(scratch, f"limits {{ connections = {2 * crowd + SPARE} connections_per_client = {2 * crowd + SPARE} }}\n"
                              'log_level = "notice"\n').start()
        latency(agent.port, 50)  # whatever is slow only the first time
        result = {"idle": ARGS.idle, "slow": ARGS.slow,
                  "before": {**memory(agent.process.pid), **latency(agent.port, ARGS.messages)}}
        many = Crowd(agent.port, ARGS.idle, ARGS.slow)
        harness.until(lambda: agent.json("status")[0]["sessions"] >= crowd, "all of them", 300)
        cpu, began = cpu_s(agent.process.pid), time.monotonic()
        time.sleep(3)  # the crowd alone, to see what it costs
        cost = (cpu_s(agent.process.pid) - cpu) / (time.monotonic() - began)
        result["during"] = {**memory(agent.process.pid), **latency(agent.port, ARGS.messages),
                            "crowd_cpu_percent": round(100 * cost, 1)}
        still = agent.json("status")[0]["sessions"]
        many.close()
        harness.until(lambda: agent.json("status")[0]["sessions"] == 0, "their end", 300)
        result["after"] = {**memory(agent.process.pid), **latency(agent.port, ARGS.messages)}
        result["sessions_at_the_end"] = still
        grown = result["during"]["pss_kib"] - result["before"]["pss_kib"]
        result["kib_per_client"] = round(grown / crowd, 2)
        print(json.dumps(result, indent=2))
    finally:
        scratch.close()


if __name__ == "__main__":
    main()
