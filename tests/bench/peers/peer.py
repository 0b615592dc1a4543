"""What a mailer has to be able to do to be measured.

    peer = Postfix(place)
    peer.start(Relay(...))      # takes mail, and what it does with it
    peer.accept(connections=10, seconds=2, size=1024)

Its queue is in place.disk, on the file system that is measured; configuration, logs and programs are in place.path.
"""

import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import time

import harness
import meter
import programs

UNPACKED = harness.ROOT / "build" / "peers"
DEAD_PORT = 9  # nobody listens there
DEAD_DOMAIN = "dead.example"  # where mail goes that is to wait


@dataclasses.dataclass
class Relay:
    """Where mail goes: a sink; without one it is kept. Mail to DEAD_DOMAIN goes to a port where nobody is, if `split`."""

    sink: object = None
    split: bool = False

    @property
    def keeps(self):
        return self.sink is None and not self.split


class Peer:
    name = None
    is_durable = True
    has_smtp = True  # else: mail is handed over by its command, and N clients are N commands at a time
    has_tls = True
    note = ""

    def __init__(self, place):
        self.place = place
        self.port = None
        place.add(self)

    # ---- to be written for each

    @classmethod
    def missing(cls):
        """Why it cannot be measured here, or None."""
        raise NotImplementedError

    def start(self, relay, clients=200):
        """Until it takes mail; `clients` may be connected at a time."""
        raise NotImplementedError

    def restart(self):
        """Begins its start again after `stop`, with the same configuration; does not wait for it."""
        raise NotImplementedError

    def pids(self):
        raise NotImplementedError

    def sendmail(self):
        """Its command: arguments, and what load generators need to run it."""
        raise NotImplementedError

    def listing(self):
        """Runs what shows the queue (one page of it, where there are pages)."""
        raise programs.Failed("it has no command for that")

    def remove_all(self):
        raise programs.Failed("it has no command for that")

    def stop(self):
        raise NotImplementedError

    # ---- for all

    def is_listening(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def accept(self, connections, **given):
        """Figures of the load generator."""
        if self.has_smtp:
            return programs.load(f"127.0.0.1:{self.port}", connections=connections, **given)
        given.pop("every", None)
        return self.submit(parallel=connections, **given)

    def submit(self, **given):
        """Runs its sendmail command."""
        argv, more = self.sendmail()
        return programs.spawn(argv, **more, **given)


def command(argv, **more):
    """One of a mailer's own commands: its output."""
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=programs.PATIENCE_S, **more)
    if done.returncode != 0:
        raise programs.Failed(f"{argv[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


class Rooted(Peer):
    """From a package that is only unpacked: in a root directory of its own, in which its files lie where they were
    compiled to lie, with the machine's libraries bound in. So nothing of the machine is touched."""

    package = None  # a folder of UNPACKED ("." where several share it)
    program = None
    parts = ()  # what is copied out of the package
    users = ()  # that it wants to exist
    FIRST_UID = 64960
    BOUND = ("usr/lib/{arch}", "lib64", "usr/lib64", "usr/bin", "dev", "proc", "usr/share/zoneinfo", "etc/ssl")
    ETC = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "services",
           "protocols")

    @classmethod
    def missing(cls):
        if os.geteuid() != 0:
            return "it needs root"
        if not os.environ.get("SENDOFF_BENCH_APART"):
            return "it needs a mount namespace, which this machine does not allow"
        if not (UNPACKED / cls.package / cls.program).exists():
            return "its package could not be had (tests/bench/fetch-peers)"
        return None

    def __init__(self, place):
        super().__init__(place)
        self.root = place.path / "root"
        self.process = None
        self.make_root()

    def make_root(self):
        for folder in ("etc", "run", "tmp", "var/lib", "var/log", "var/mail", "var/spool", "usr/sbin", "usr/lib"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for link in ("lib", "bin", "sbin"):
            (self.root / link).symlink_to(f"usr/{link}")
        (self.root / "var" / "run").symlink_to("/run")
        arch = command(["dpkg-architecture", "-q", "DEB_HOST_MULTIARCH"]).strip() if shutil.which(
            "dpkg-architecture") else f"{os.uname().machine}-linux-gnu"
        for name in self.BOUND:
            there = pathlib.Path("/") / name.format(arch=arch)
            if there.is_dir() and not (self.root / name.format(arch=arch)).exists():
                (self.root / name.format(arch=arch)).mkdir(parents=True)
                self.place.bind(there, self.root / name.format(arch=arch))
        for name in self.ETC:
            there = pathlib.Path("/etc") / name
            if there.is_dir():
                shutil.copytree(there, self.root / "etc" / name)
            elif there.exists():
                shutil.copy(there, self.root / "etc" / name)
        for part in self.parts:
            self.copy(part)
        self.add_users()

    def copy(self, part):
        there, here = UNPACKED / self.package / part, self.root / part
        here.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(there, here, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(there, here, follow_symlinks=False)

    def add_users(self):
        for file, line in (("passwd", "{0}:x:{1}:{1}::/:/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
            path = self.root / "etc" / file
            kept = [text for text in path.read_text().splitlines(True) if text.split(":")[0] not in self.users]
            path.write_text("".join(kept) + "".join(line.format(u, self.uid(u)) for u in self.users))

    def uid(self, user):
        return self.FIRST_UID + self.users.index(user)

    def spool(self, path, owner=None, mode=0o755):
        """A folder of the queue: on the disk that is measured, bound into its place."""
        outside, inside = self.place.disk / path.replace("/", "-"), self.root / path
        outside.mkdir()
        inside.mkdir(parents=True, exist_ok=True)
        if owner is not None:
            os.chown(outside, owner, owner)
        outside.chmod(mode)
        self.place.bind(outside, inside)
        return inside

    def write(self, path, text, mode=0o644):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def inside(self, argv):
        return ["chroot", str(self.root), *map(str, argv)]

    def launch(self, argv):
        self.process = harness.Process(self.inside(argv), self.place.path / "output")

    def wait_listening(self):
        def listens():
            if not self.process.is_alive():
                raise programs.Failed(f"it ended: {self.process.text()[-300:]}")
            return self.is_listening()

        harness.until(listens, lambda: f"{self.name} listens\n" + self.process.text()[-2000:])

    def pids(self):
        return meter.in_root(self.root)

    def sendmail(self):
        return ["/usr/sbin/sendmail", "-t", "-i", "-f", "load@example.org"], {"root": self.root}

    def stop(self):
        """Ends all that runs in its root."""
        for sign in ("TERM", "KILL"):
            pids = self.pids()
            if pids:
                subprocess.run(["kill", f"-{sign}", *map(str, pids)], capture_output=True)
            end = time.monotonic() + 5
            while self.pids() and time.monotonic() < end:
                time.sleep(0.02)
        if self.process:
            self.process.wait()
            self.process.out.close()
            self.process = None
