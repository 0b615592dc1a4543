"""What a soak is made of beside the agent: smart hosts whose mail is counted by number, the submitters, the ledgers."""

import array
import json
import mmap
import os
import pathlib
import re
import selectors
import signal
import subprocess
import threading
import time

import harness

SEEN = re.compile(rb"<([a-z])(\d+)@sender\.example> to 1,")
BOUNCED = re.compile(rb" bounced .*?from=<?\"?([a-z])(\d+)@sender\.example")
WORTH_KEEPING = re.compile(rb"^.*\b(?:err|warning|error|panic|assert|abort)\b.*$", re.M)
ASKED, ACCEPTED, REFUSED = 1, 2, 3
CAPACITY = 1 << 26  # messages of one submitter; the ledger is sparse
DUPLICATES_KEPT = 100_000


class Ledger:
    """What became of each numbered message: a byte on the submitter's side, a count and a time on the smart hosts'."""

    def __init__(self, folder, name):
        self.name = name
        self.path = pathlib.Path(folder) / f"ledger-{name}"
        with open(self.path, "wb") as f:
            f.truncate(CAPACITY)
        self.path.chmod(0o666)  # a flood comes from another user
        self.file = open(self.path, "r+b")
        self.asked = mmap.mmap(self.file.fileno(), CAPACITY)
        self.arrived = bytearray()
        self.bounced = bytearray()
        self.first = array.array("I")  # tenths of a second since the start
        self.next = 0

    def reach(self, n):
        more = n + 1 - len(self.arrived)
        if more > 0:
            more += 65536
            self.arrived.extend(bytes(more))
            self.bounced.extend(bytes(more))
            self.first.frombytes(bytes(4 * more))

    def codes(self):
        return self.asked[:max(self.next, len(self.arrived))]

    def close(self):
        self.asked.close()
        self.file.close()


class Records:
    """Reads what smart hosts and the agent say, in a thread of its own, and keeps book of it."""

    def __init__(self, folder, names, began):
        self.began = began
        self.ledgers = {name: Ledger(folder, name) for name in names}
        self.by_byte = {name.encode(): ledger for name, ledger in self.ledgers.items()}
        self.duplicates, self.duplicate_count, self.reports, self.strange = [], 0, 0, []
        self.kept = open(pathlib.Path(folder) / "agent.log", "wb")
        self.last = b""
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.halt = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def watch(self, pipe, name):
        os.set_blocking(pipe.fileno(), False)
        with self.lock:
            self.selector.register(pipe, selectors.EVENT_READ, [name, b""])

    def run(self):
        while not self.halt.is_set():
            with self.lock:
                ready = self.selector.select(0.05) if self.selector.get_map() else []
            for key, _ in ready:
                self.take(key)
            if not ready:
                self.halt.wait(0.01)

    def take(self, key):
        data = key.fileobj.read(1 << 20)
        if data == b"":
            with self.lock:
                self.selector.unregister(key.fileobj)
            key.fileobj.close()
        if not data:
            return
        name, rest = key.data
        whole, newline, key.data[1] = (rest + data).rpartition(b"\n")
        if name == "agent":
            self.from_agent(whole + newline)
        else:
            self.from_sink(name, whole + newline)

    def from_sink(self, name, text):
        at = int((time.monotonic() - self.began) * 10)
        for letter, number in SEEN.findall(text):
            ledger, n = self.by_byte[letter], int(number)
            if n >= len(ledger.arrived):
                ledger.reach(n)
            if ledger.arrived[n]:
                self.duplicate_count += 1
                if len(self.duplicates) < DUPLICATES_KEPT:
                    self.duplicates.append((ledger.first[n] / 10, at / 10, name, letter.decode(), n))
            else:
                ledger.first[n] = at
            if ledger.arrived[n] < 255:
                ledger.arrived[n] += 1
        self.reports += text.count(b": <> to ")

    def from_agent(self, text):
        for letter, number in BOUNCED.findall(text):
            ledger, n = self.by_byte[letter], int(number)
            ledger.reach(n)
            ledger.bounced[n] = 1
        for line in WORTH_KEEPING.findall(text):
            if self.kept.tell() < 50 << 20:
                self.kept.write(line + b"\n")
        self.last = (self.last + text)[-20000:]

    def close(self):
        """When all pipes have been read to their ends."""
        harness.until(lambda: not self.selector.get_map(), "the end of the peers' words", 30)
        self.halt.set()
        self.thread.join()
        self.kept.close()


def started(argv, records, name, **more):
    child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, **more)
    records.watch(child.stderr, name)
    return child


class Host:
    """A smart host that says the number of each message it took. Its words outlive its death in the pipe."""

    def __init__(self, scratch, records, name, *always):
        self.records, self.name, self.always = records, name, list(always)
        self.dir = scratch.path / name
        self.dir.mkdir()
        self.port = harness.free_port()
        self.child = None
        scratch.add(self)
        self.start()

    def start(self, *options):
        port_file = self.dir / "port"
        port_file.unlink(missing_ok=True)
        self.child = started([harness.BUILD / "sendoff", "sink", "--listen", f"127.0.0.1:{self.port}", "--port-file",
                              port_file, *self.always, *options], self.records, self.name)
        harness.until(port_file.exists, f"the start of {self.name}")

    def stop(self, number=signal.SIGTERM):
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.send_signal(number)
            self.child.wait(30)

    def restart(self, *options):
        self.stop()
        self.start(*options)


class Load:
    """A submitter: tests/bench/soak_load.c."""

    def __init__(self, scratch, records, name, target, domains, connections=20, rate=0, count=None, size=1024,
                 uid=None):
        self.ledger = records.ledgers[name]
        argv = [harness.BUILD / "tests" / "bench" / "soak_load", "--to", target, "--ledger", self.ledger.path, "--name",
                name, "--first", self.ledger.next, "--connections", connections, "--size", size, "--domains",
                ",".join(f"{d}={share}" for d, share in domains.items())]
        argv += ["--rate", rate] if rate else []
        argv += ["--count", count] if count else []
        self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      preexec_fn=(lambda: os.setuid(uid)) if uid else None)
        self.is_paused = False
        scratch.add(self)

    def pause(self, is_paused):
        if is_paused != self.is_paused:
            self.child.send_signal(signal.SIGUSR1 if is_paused else signal.SIGUSR2)
            self.is_paused = is_paused

    def is_alive(self):
        return self.child.poll() is None

    def finish(self, deadline=60):
        """Its counts, when it has come to its end."""
        told, _ = self.child.communicate(timeout=deadline)
        result = json.loads(told)
        self.ledger.next = result["next"]
        return result

    def stop(self):
        if self.is_alive():
            self.child.terminate()
            self.child.wait(30)
