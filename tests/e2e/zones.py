"""DNS for the end-to-end tests: zones made from text, signed or not, behind a resolver that validates.

    zones = Zones(scratch)
    zones.add("secure.test", '''
        @              MX 10 mx1
        mx1            A  127.0.0.5
        _25._tcp.mx1   TLSA ''' + tlsa(certificate, 3, 1, 1))
    zones.add("plain.test", "@ MX 5 mx.secure.test.", signed=False)
    zones.start()
    agent = Agent(scratch, zones.config() + "…")

NSD serves them, ldns-signzone signs with keys made for the occasion, Unbound holds a trust anchor for each signed zone
and listens on `zones.server`, on loopback, so that the agent believes its AD bit. All of 127.0.0.0/8 is loopback. A name
in no zone does not exist. Needs no privilege; up in well under a second; a zone can be changed later, by add() and
reload(), which forgets what the resolver remembers.

Faults is a name server of a few lines that says anything, also what no honest server would.
"""

import base64
import hashlib
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import threading

import pytest
from harness import Process, free_port, until

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
ALGORITHM = "ECDSAP256SHA256"


def program(name, package):
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if not found:
        pytest.skip(f"{name} is missing: tests/install-deps test installs {package}")
    return found


def run(*argv, cwd=None, stdin=None):
    done = subprocess.run([str(a) for a in argv], capture_output=True, cwd=cwd, input=stdin, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout


def tlsa(certificate, usage=3, selector=1, matching=1):
    """The data of a TLSA record for a certificate in PEM (the first of the file)."""
    certificate = pathlib.Path(certificate)
    if selector == 0:
        data = run("openssl", "x509", "-in", certificate, "-outform", "DER")
    else:
        key = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey")
        data = run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=key)
    if matching:
        data = hashlib.new({1: "sha256", 2: "sha512"}[matching], data).digest()
    return f"{usage} {selector} {matching} {data.hex()}\n"


class Zones:
    def __init__(self, scratch, name="dns"):
        self.nsd, self.unbound, self.signzone, self.keygen = (
            program(n, p) for n, p in (("nsd", "nsd"), ("unbound", "unbound"), ("ldns-signzone", "ldnsutils"),
                                       ("ldns-keygen", "ldnsutils")))
        self.scratch, self.failing = scratch, None
        self.dir = scratch.path / name
        self.dir.mkdir()
        self.nsd_port, self.port = free_port(), free_port()
        self.server = f"127.0.0.1:{self.port}"
        self.zones = {}     # name: whether it is signed
        self.elsewhere = {}  # name: port of another name server
        self.processes = []
        scratch.add(self)
        self.add(".", "", signed=False)

    def config(self, more=""):
        return f'dns {{ servers = {{"{self.server}"}} {more} }}\n'

    # ---- zones

    def add(self, name, text, signed=True, broken=(), ttl=300, negative=60):
        """A zone in master file format without SOA and NS; blanks before a line's name are taken away.

        broken: True: its signatures have expired; or types whose signatures are wrong ("TLSA", "MX", "NSEC" …).
        Names in it are relative to it. Call reload() when the servers run already.
        """
        name = name.rstrip(".") or "."
        origin = name if name == "." else name + "."
        lines = "\n".join(line.strip() for line in text.strip().splitlines())
        file = self.file(name)
        file.write_text(f"$ORIGIN {origin}\n$TTL {ttl}\n"
                        f"@ {negative} SOA ns.{origin.lstrip('.')} admin.{origin.lstrip('.')} 1 60 60 60000 {negative}\n"
                        f"@ NS ns.{origin.lstrip('.')}\nns.{origin.lstrip('.')} A 127.0.0.1\n{lines}\n")
        self.zones[name] = bool(signed)
        self.elsewhere.pop(name, None)
        if signed:
            self.sign(name, file, broken)

    def dead(self, name):
        """A zone whose only name server fails: so does the resolver, at once."""
        if not self.failing:
            self.failing = Faults(self.scratch, lambda *question: Reply(rcode="SERVFAIL"))
        self.ask(name, self.failing.port)

    def ask(self, name, port):
        """A zone that another name server knows (Faults)."""
        self.elsewhere[name.rstrip(".")] = port
        self.zones.pop(name.rstrip("."), None)

    def file(self, name):
        return self.dir / ("root" if name == "." else name)

    def sign(self, name, file, broken):
        key = self.dir / f"{name}.key-name"
        if not key.exists():  # a changed zone keeps its key, or its anchor would not fit
            key.write_bytes(run(self.keygen, "-k", "-a", ALGORITHM, "-r", "/dev/urandom", name, cwd=self.dir))
        dates = ["-i", "20200101", "-e", "20200201"] if broken is True else []
        run(self.signzone, *dates, "-f", file.with_name(name + ".signed"), file, key.read_text().strip(), cwd=self.dir)
        signed = file.with_name(name + ".signed").read_text()
        for kind in () if broken is True else broken:
            signed = re.sub(rf"(\sRRSIG\s+{kind}\s.*\s)(\S+)$", lambda m: m.group(1) + forged(m.group(2)), signed,
                            flags=re.M)
        file.write_text(signed)

    def anchors(self):
        return [self.dir / f"{(self.dir / f'{name}.key-name').read_text().strip()}.key"
                for name, signed in self.zones.items() if signed]

    # ---- servers

    def configure(self):
        (self.dir / "nsd.conf").write_text(f'''server:
    ip-address: 127.0.0.1@{self.nsd_port}
    username: ""
    chroot: ""
    zonesdir: "{self.dir}"
    database: ""
    pidfile: "{self.dir}/nsd.pid"
    xfrdfile: "{self.dir}/xfrd.state"
    zonelistfile: "{self.dir}/zone.list"
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
''' + "".join(f'zone:\n    name: "{name}"\n    zonefile: "{self.file(name)}"\n' for name in self.zones))
        (self.dir / "unbound.conf").write_text(f'''server:
    interface: 127.0.0.1@{self.port}
    access-control: 127.0.0.0/8 allow
    username: ""
    chroot: ""
    directory: "{self.dir}"
    pidfile: "{self.dir}/unbound.pid"
    use-syslog: no
    do-daemonize: no
    do-ip6: no
    do-not-query-localhost: no
    num-threads: 1
    module-config: "validator iterator"
    qname-minimisation: no
    val-log-level: 2
    local-zone: "test." nodefault
    local-zone: "invalid." nodefault
    outbound-msg-retry: 2
    so-rcvbuf: 0
    so-sndbuf: 0
    msg-cache-size: 1m
    rrset-cache-size: 1m
''' + "".join(f'    trust-anchor-file: "{file}"\n' for file in self.anchors())
            + f'remote-control:\n    control-enable: no\nstub-zone:\n    name: "."\n    stub-addr: '
              f'127.0.0.1@{self.nsd_port}\n'
            + "".join(f'stub-zone:\n    name: "{name}"\n    stub-addr: 127.0.0.1@{port}\n'
                      for name, port in self.elsewhere.items()))

    def copy(self, server):
        """A copy of the program: AppArmor lets the original read and write only what belongs to a system's service."""
        mine = self.dir / pathlib.Path(server).name
        if not mine.exists():
            shutil.copy(server, mine)
        return mine

    def start(self):
        self.configure()
        self.processes = [
            Process([self.copy(self.nsd), "-d", "-c", self.dir / "nsd.conf"], self.dir / "nsd.log"),
            Process([self.copy(self.unbound), "-d", "-c", self.dir / "unbound.conf"], self.dir / "unbound.log")]
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            for process in self.processes:
                assert process.is_alive(), process.text()
            return query(self.server, ".", "SOA", patience=0.25)[0] == "NOERROR"

        until(ready, lambda: "DNS\n" + self.log())

    def log(self):
        return "".join(p.text()[-3000:] for p in self.processes)

    def stop(self):
        for process in self.processes:
            process.stop(signal.SIGKILL)
        self.processes = []

    def reload(self):
        """What add() changed is served from now on, and nothing old is remembered by the resolver."""
        self.stop()
        self.start()


def forged(signature):
    raw = bytearray(base64.b64decode(signature))
    raw[len(raw) // 2] ^= 0x55
    return base64.b64encode(raw).decode()


@pytest.fixture
def zones(scratch):
    """Not started: add zones, then start()."""
    return Zones(scratch)


# ---------------------------------------------------------------- DNS by hand

def wire_name(text):
    """"mx.example.org" as labels; bytes are taken as they are."""
    if isinstance(text, bytes):
        return text
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def read_name(message, at):
    labels, end = [], None
    for _ in range(128):
        n = message[at]
        if n >= 0xc0:
            end = end or at + 2
            at = struct.unpack(">H", message[at:at + 2])[0] & 0x3fff
        elif n == 0:
            return ".".join(labels), end or at + 1
        else:
            labels.append(message[at + 1:at + 1 + n].decode("latin-1"))
            at += 1 + n
    raise ValueError("a name without end")


def query(server, name, kind, patience=5.0):
    """(rcode, AD, number of answers) as a resolver says it; ("SILENT", False, 0) when it does not."""
    host, port = server.rsplit(":", 1)
    ask = struct.pack(">6H", 4711, 0x0120, 1, 0, 0, 0) + wire_name(name) + struct.pack(">2H", TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(patience)
        try:
            s.connect((host, int(port)))
            s.send(ask)
            reply = s.recv(65535)
        except OSError:
            return "SILENT", False, 0
    rcode = {number: word for word, number in RCODES.items()}[reply[3] & 15]
    return rcode, bool(reply[3] & 0x20), struct.unpack(">H", reply[6:8])[0]


def rdata(kind, *values):
    """Data of a record: rdata("A", "127.0.0.1"), rdata("MX", 10, "mx.test"), rdata("TXT", b"…"), rdata("TLSA", 3, 1, 1,
    b"…"), rdata("SRV", 0, 0, 587, "mx.test"), rdata("CNAME", "x.test")."""
    if kind == "A":
        return socket.inet_aton(values[0])
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, values[0])
    if kind == "MX":
        return struct.pack(">H", values[0]) + wire_name(values[1])
    if kind == "SRV":
        return struct.pack(">3H", *values[:3]) + wire_name(values[3])
    if kind in ("CNAME", "NS"):
        return wire_name(values[0])
    if kind == "TXT":
        return b"".join(bytes([len(v)]) + v for v in values)
    if kind == "TLSA":
        return bytes(values[:3]) + values[3]
    raise ValueError(kind)


class Reply:
    """What Faults says: records are (name, type, data) or (name, type, ttl, data)."""

    def __init__(self, *records, rcode="NOERROR", authentic=False, truncated=False, wrong_id=False, question=None,
                 soa=True, padding=0, cut=None):
        self.records, self.rcode, self.authentic, self.truncated = records, rcode, authentic, truncated
        self.wrong_id, self.question, self.soa, self.padding, self.cut = wrong_id, question, soa, padding, cut

    def wire(self, ask, asked_end):
        flags = 0x8580 | RCODES[self.rcode] | 0x20 * self.authentic | 0x200 * self.truncated
        number = struct.unpack(">H", ask[:2])[0] ^ (0x5555 if self.wrong_id else 0)
        soa = self.soa and not self.records
        question = wire_name(self.question) + ask[asked_end - 4:asked_end] if self.question else ask[12:asked_end]
        out = struct.pack(">6H", number, flags, 1, len(self.records), int(soa), 0) + question
        for name, kind, *rest in self.records:
            ttl, data = rest if len(rest) == 2 else (300, rest[0])
            out += wire_name(name) + struct.pack(">2HIH", TYPES[kind], 1, ttl, len(data)) + data
        if soa:
            data = b"\0\0" + struct.pack(">5I", 1, 60, 60, 60, 60)
            out += b"\xc0\x0c" + struct.pack(">2HIH", TYPES["SOA"], 1, 60, len(data)) + data
        return (out + bytes(self.padding))[:self.cut]


class Faults:
    """A name server on 127.0.0.1 (UDP and TCP, self.server) that answers by `say(name, kind, over_tcp)`.

    It returns a Reply, a list of them (UDP: all are sent), bytes (as they are), or None (nothing).
    """

    def __init__(self, scratch, say):
        self.say, self.port, self.asked = say, free_port(), []
        self.server = f"127.0.0.1:{self.port}"
        faults = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                for raw in faults.answers(self.request[0], False):
                    self.request[1].sendto(raw, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while len(head := self.rfile.read(2)) == 2:
                    for raw in faults.answers(self.rfile.read(struct.unpack(">H", head)[0]), True):
                        self.wfile.write(struct.pack(">H", len(raw)) + raw)

        class TcpServer(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self.servers = [socketserver.ThreadingUDPServer(("127.0.0.1", self.port), Udp),
                        TcpServer(("127.0.0.1", self.port), Tcp)]
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        scratch.add(self)

    def config(self, more=""):
        return f'dns {{ servers = {{"{self.server}"}} {more} }}\n'

    def answers(self, ask, over_tcp):
        name, at = read_name(ask, 12)
        kind = NAMES.get(struct.unpack(">H", ask[at:at + 2])[0], "?")
        self.asked.append((name.lower(), kind, over_tcp))
        said = self.say(name.lower(), kind, over_tcp)
        for one in said if isinstance(said, list) else [said]:
            if one is not None:
                yield one.wire(ask, at + 4) if isinstance(one, Reply) else one

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
