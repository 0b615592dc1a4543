"""The programs around what is measured: load generators, and smart hosts that count."""

import json
import pathlib
import signal
import struct
import subprocess
import tempfile
import time

import harness

TOOLS = harness.BUILD / "tests" / "bench"
PATIENCE_S = 1800  # a million messages on a busy machine


class Failed(Exception):
    """This figure cannot be had; the benchmark goes on."""


def run_json(argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=PATIENCE_S, **more)
    if done.returncode != 0:
        raise Failed((done.stderr or done.stdout).strip()[-500:] or f"{argv[0]}: status {done.returncode}")
    return json.loads(done.stdout)


def options(given):
    return [part for key, value in given.items() if value is not None
            for part in (f"--{key.replace('_', '-')}", str(value))]


def load(to, **given):
    """Runs the SMTP load generator: its figures."""
    return run_json([TOOLS / "load", "--to", to, *options(given)])


def spawn(argv, env=None, **given):
    """Runs a command again and again: its figures."""
    return run_json([TOOLS / "spawn", *options(given), "--", *argv], env=env)


class Idle:
    """Connections that have heard the greeting and say nothing."""

    def __init__(self, place, port, count):
        argv = [TOOLS / "load", "--to", f"127.0.0.1:{port}", "--idle", "--connections", count]
        self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
        place.add(self)
        if not self.child.stdout.readline():
            raise Failed(self.child.stderr.read().strip())

    def stop(self):
        self.child.stdin.close()
        self.child.wait(60)
        self.child.stdout.close()
        self.child.stderr.close()


def port_of(folder, process):
    file = folder / "port"
    return int(harness.until(lambda: file.exists() and file.read_text(), lambda: "a port\n" + process.text()))


class Drain:
    """The bare sink: what it counted is read while it works (struct status of drain.c)."""

    HEAD = struct.Struct("=4Q2qQ")
    tls = "none"
    ca = None

    def __init__(self, place, defer=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=place.path))
        self.status = self.dir / "status"
        argv = [TOOLS / "drain", "--listen", "127.0.0.1:0", "--port-file", self.dir / "port", "--status", self.status,
                *options({"defer": defer})]
        self.process = place.add(harness.Process(argv, self.dir / "log"))
        self.port = port_of(self.dir, self.process)

    def head(self):
        with open(self.status, "rb") as file:
            return self.HEAD.unpack(file.read(self.HEAD.size))

    def messages(self):
        return self.head()[0]

    def connections(self):
        return self.head()[2]

    def last(self):
        """When the last message was there, in time.monotonic()'s clock."""
        return self.head()[5] / 1e9

    def latencies_ms(self):
        with open(self.status, "rb") as file:
            count = self.HEAD.unpack(file.read(self.HEAD.size))[6]
            return [us / 1000 for us in struct.unpack(f"={count}I", file.read(4 * count))]

    def wait(self, count, deadline_s):
        """Until so many are there, or the time is over: how many there are."""
        end = time.monotonic() + deadline_s
        while self.messages() < count and time.monotonic() < end:
            time.sleep(0.01)
        return self.messages()


class TlsSink:
    """`sendoff sink`, which speaks TLS; it tells its counts when asked by a signal."""

    tls = "starttls"

    def __init__(self, place, tls="starttls"):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=place.path))
        self.dir.chmod(0o755)
        self.ca = self.dir / "ca.pem" if tls != "none" else None
        argv = [harness.BUILD / "sendoff", "sink", "--json", "--listen", "127.0.0.1:0", "--port-file", self.dir / "port",
                "--tls", tls, "--discard", "--quiet", *(["--write-ca", self.ca] if self.ca else [])]
        self.process = place.add(harness.Process(argv, self.dir / "log"))
        self.port = port_of(self.dir, self.process)
        self.last_ms = 0

    def counts(self):
        return [line for line in self.process.text().splitlines() if line.startswith("{") and line.endswith("}")]

    def messages(self):
        before = len(self.counts())
        self.process.send_signal(signal.SIGUSR1)
        told = json.loads(harness.until(lambda: len(self.counts()) > before and self.counts(), "the sink's counts")[-1])
        self.last_ms = told["last_at_ms"]
        return told["messages"]

    def last(self):
        return time.monotonic() - (time.time() - self.last_ms / 1000)

    wait = Drain.wait
