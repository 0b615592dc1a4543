"""What the end-to-end tests share: a scratch folder with an agent, smart hosts, and mail to send and look for.

Every server listens on loopback on a port the system chose; everything is killed by pid and deleted at the end.
Nothing here sleeps to wait for something: `until` polls a condition with a deadline.
"""

import contextlib
import email
import email.policy
import hashlib
import json
import os
import random
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build" / "debug"))
DEADLINE = float(os.environ.get("E2E_DEADLINE", "30"))


def until(condition, what, deadline=None):
    """Polls until condition() is true and returns its value; fails with `what` (a string or a function)."""
    end = time.monotonic() + (deadline or DEADLINE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not in time: " + (what() if callable(what) else what))
        threading.Event().wait(0.02)


class Process:
    """A child with its output in a file; killed by pid when the test ends."""

    def __init__(self, argv, log, env=None, stdin=subprocess.DEVNULL, cwd=None, pass_fds=()):
        self.log = pathlib.Path(log)
        self.out = open(self.log, "ab")
        self.child = subprocess.Popen([str(a) for a in argv], stdout=self.out, stderr=self.out, stdin=stdin,
                                      env=env, cwd=cwd, pass_fds=pass_fds)
        self.pid = self.child.pid

    def text(self):
        return self.log.read_text(errors="replace")

    def is_alive(self):
        return self.child.poll() is None

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(number)

    def wait(self, deadline=DEADLINE):
        return self.child.wait(timeout=deadline)

    def stop(self, number=signal.SIGTERM, deadline=DEADLINE):
        if self.is_alive():
            self.send_signal(signal.SIGCONT)
            self.send_signal(number)
            try:
                self.child.wait(timeout=deadline)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise AssertionError(f"{self.log.name}: still there after signal {number}\n{self.text()[-3000:]}")
        self.out.close()
        return self.child.returncode


class Scratch:
    """One test's folder (short, since socket paths are) and all it started."""

    def __init__(self, parent="/tmp"):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="sendoff-e2e-", dir=parent)).resolve()
        self.path.chmod(0o755)
        self.started = []
        self.mounts = []

    def add(self, thing):
        self.started.append(thing)
        return thing

    def close(self):
        errors = []
        for thing in reversed(self.started):
            try:
                thing.stop()
            except Exception as error:  # the rest is still to be stopped
                errors.append(str(error))
        for mount in self.mounts:
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.path, ignore_errors=True)
        if errors:
            raise AssertionError("\n".join(errors))


class Sink:
    """`sendoff sink`: our own small smart host."""

    def __init__(self, scratch, *options, name="sink", port=0, tls="starttls", auth="me:secret",
                 address="127.0.0.1"):
        self.scratch = scratch
        self.name = name
        self.options = list(options)
        self.dir = scratch.path / name
        self.dir.mkdir(exist_ok=True)
        self.maildir = self.dir / "mail"
        self.ca = self.dir / "ca.pem"
        self.tls, self.auth = tls, auth
        self.address, self.port = address, port
        self.process = None
        self.start()
        scratch.add(self)

    def start(self, *options):
        port_file = self.dir / "port"
        port_file.unlink(missing_ok=True)
        argv = [BUILD / "sendoff", "sink", "--listen", f"{self.address}:{self.port}", "--port-file", port_file,
                "--maildir", self.maildir, "--tls", self.tls]
        if self.tls != "none" and "--certificate" not in self.options:
            argv += ["--write-ca", self.ca]
        if self.auth:
            argv += ["--auth", self.auth]
        self.process = Process(argv + (list(options) or self.options), self.dir / "log")
        self.port = int(until(lambda: port_file.exists() and port_file.read_text().strip(),
                              lambda: "the sink's port\n" + self.process.text()))

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def messages(self):
        """All messages received whole, as bytes."""
        new = self.maildir / "new"
        return [p.read_bytes() for p in sorted(new.iterdir())] if new.exists() else []

    def envelopes(self):
        folder = self.maildir / "envelopes"
        return [json.loads(p.read_text()) for p in sorted(folder.iterdir())] if folder.exists() else []

    def smarthost(self, name="sink", **more):
        keys = {"host": self.address, "port": self.port, "tls": self.tls}
        if self.auth:
            secret = self.dir / "secret"
            secret.write_text(self.auth.split(":", 1)[1] + "\n")
            secret.chmod(0o600)
            keys.update(auth="plain", user=self.auth.split(":", 1)[0], secret_file=str(secret))
        if self.tls in ("starttls", "implicit"):
            keys.update(tls_ca=str(self.ca), tls_name="localhost")
        return smarthost(name, **{**keys, **more})


def smarthost(name, **keys):
    lines = []
    for key, value in keys.items():
        if value is None:
            continue
        bare = isinstance(value, (int, float)) or key in ("tls", "auth", "tls_verify", "rate")
        lines.append(f'    {key} = {value}' if bare and key != "rate" else f'    {key} = "{value}"')
    return f'smarthost "{name}" {{\n' + "\n".join(lines) + "\n}\n"


class Agent:
    """sendoffd with a configuration of its own in the scratch folder."""

    def __init__(self, scratch, config="", name="agent", route=None, queue="", trust='max_rate = "0"', env=None,
                 directory=None):
        self.scratch = scratch
        self.dir = scratch.path / name
        self.dir.mkdir(exist_ok=True)
        self.queue = pathlib.Path(directory or self.dir / "queue")
        self.socket = self.dir / "submit"
        self.control = self.dir / "control"
        self.file = self.dir / "sendoff.conf"
        self.env = {**os.environ, **(env or {})}
        self.settings = dict(queue=queue, trust=trust)
        self.configure(config, route)
        self.process = None
        self.port = None
        self.runs = 0
        scratch.add(self)

    def configure(self, config, route=None):
        names = re.findall(r'^smarthost "([^"]+)"', config, re.M)
        if route is None and names:
            route = 'route "rest" { via = {"%s"} }' % names[0]
        self.file.write_text(f'''hostname = "agent.example.org"
queue {{ directory = "{self.queue}" {self.settings["queue"]} }}
control {{ socket = "{self.control}" }}
listener "local" {{ socket = "{self.socket}" }}
listener "loopback" {{ address = {{"127.0.0.1:0"}} }}
trust {{ networks = {{"127.0.0.0/8", "::1"}} uids = {{"*"}} {self.settings["trust"]} }}
{config}
{route or ""}
''')

    def start(self, wait=True):
        self.runs += 1
        self.process = Process([BUILD / "sendoffd", "--config", self.file], self.dir / f"log.{self.runs}",
                               env=self.env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if not self.process.is_alive():
                raise AssertionError("the agent ended:\n" + self.process.text())
            found = re.search(r"\bstarted\b.*?127\.0\.0\.1:(\d+)", self.process.text())
            return found and found.group(1)

        self.port = int(until(ready, lambda: "the agent's start\n" + self.process.text()))

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.out.close()
        self.process = None

    def log(self):
        return "".join(p.read_text(errors="replace") for p in sorted(self.dir.glob("log.*")))

    # ---- what users do

    def ctl(self, *argv, check=True, env=None, stdin=""):
        done = subprocess.run([str(BUILD / "sendoff"), "--config", str(self.file), *map(str, argv)],
                              capture_output=True, text=True, timeout=120, input=stdin, env=env or self.env)
        if check and done.returncode != 0:
            raise AssertionError(f"sendoff {argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *argv):
        return [json.loads(line) for line in self.ctl("--json", *argv).stdout.splitlines() if line.strip()]

    def smtp(self, timeout=30):
        return smtplib.SMTP("127.0.0.1", self.port, timeout=timeout)

    def send(self, mail=None, sender="alice@example.org", to=("bob@example.net",)):
        mail = mail or message()
        with self.smtp() as smtp:
            smtp.sendmail(sender, list(to), mail)
        return mail

    def drain(self, deadline="30s"):
        return self.ctl("drain", "--timeout", deadline)


def message(subject="test", body="hello\r\n", **fields):
    """A message as bytes with an X-Key field to find it again."""
    key = os.urandom(8).hex()
    head = {"From": "alice@example.org", "To": "bob@example.net", "Subject": subject, "X-Key": key,
            "Message-ID": f"<{key}@example.org>", "Date": "Tue, 24 Nov 2026 05:30:00 +0000", **fields}
    text = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in head.items()) + "\r\n"
    return text.encode() + (body if isinstance(body, bytes) else body.encode())


def key_of(raw):
    found = re.search(rb"^X-Key: (\S+)\r?$", raw, re.M)
    return found.group(1).decode() if found else None


def parse(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def without_trace(raw):
    """The message without the Received field in front of it."""
    assert raw.startswith(b"Received: "), raw[:200]
    return re.sub(rb"\A(Received: .*\r\n(?:[ \t].*\r\n)*)+", b"", raw)


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


PORTS_GIVEN = set()


def free_port():
    """A port that nobody has, never the same one twice, and none that the kernel gives to those who do not care."""
    while True:
        port = random.randrange(12000, 32000)
        if port in PORTS_GIVEN:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        PORTS_GIVEN.add(port)
        return port
