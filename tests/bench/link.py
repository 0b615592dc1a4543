"""Round trips a message costs over a slow link: time for N messages, divided by N and by the round trip.

    tests/bench/link.py [--build build/release] [--rtt 50] [--messages 200] [--postfix] [--json]

Two network namespaces and a link between them: a pair of veth with netem, which holds each packet back for half a round
trip, or, where the kernel has no netem, a tun device in each and a process that does the same. On one side the
agent (and, with --postfix, Debian's Postfix with its settings as they come, then with TLS connection reuse), its mail
queued and held back; on the other side our sink with STARTTLS. The clock runs from the release of the mail to the sink's
receipt of the last message, over one connection: the connection's own round trips (TCP, greeting, EHLO, TLS) count, too.
Needs root and the permission to make namespaces; says plainly if that is missing, and ends with status 77.
"""

import argparse
import collections
import ctypes
import fcntl
import json
import os
import pathlib
import select
import signal
import smtplib
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
NEAR, FAR = "10.213.7.1", "10.213.7.2"
SKIPPED = 77


def parse_args():
    p = argparse.ArgumentParser()
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--rtt", type=int, default=50, help="milliseconds")
    p.add_argument("--messages", type=int, default=200)
    p.add_argument("--postfix", action="store_true", help="measure Postfix, too")
    p.add_argument("--measure", choices=("sendoff", "postfix"), help="only this one")
    p.add_argument("--json", action="store_true")
    p.add_argument("--far", default="", help=argparse.SUPPRESS)  # the other namespace: this one is the near one
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import harness  # noqa: E402
import postfix as postfix_module  # noqa: E402


# ---------------------------------------------------------------- the link

def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()}")


def bring_up(namespace, device, address):
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", device)
    run("ip", "-n", namespace, "link", "set", device, "up")


def make_netem(near, far):
    """Raises OSError where that may not be done."""
    run("ip", "-n", near, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
    try:
        for namespace, device in ((near, "near"), (far, "far")):
            run("ip", "netns", "exec", namespace, "tc", "qdisc", "add", "dev", device, "root", "netem", "limit", 10000,
                "delay", f"{ARGS.rtt / 2}ms")
    except OSError:
        run("ip", "-n", near, "link", "del", "near")
        raise
    bring_up(near, "near", NEAR)
    bring_up(far, "far", FAR)


def open_tun(namespace, device):
    """A tun device inside a namespace; the descriptor is its other end."""
    CLONE_NEWNET, TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x40000000, 0x400454CA, 1, 0x1000
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        for target in (there, home):
            if target is home:
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
            if libc.setns(target.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    return fd


def hold_back(near, far):
    """Each packet of one end is given to the other one half a round trip later; for ever."""
    other = {near: far, far: near}
    packets = collections.deque()
    while True:
        wait = max(packets[0][0] - time.monotonic(), 0) if packets else None
        for fd in select.select([near, far], [], [], wait)[0]:
            try:
                packets.append((time.monotonic() + ARGS.rtt / 2000, other[fd], os.read(fd, 65536)))
            except BlockingIOError:
                pass
        while packets and packets[0][0] <= time.monotonic():
            _, fd, packet = packets.popleft()
            os.write(fd, packet)


def make_tun(near, far):
    """Returns the pid of the process that is the link."""
    ends = open_tun(near, "near"), open_tun(far, "far")
    bring_up(near, "near", NEAR)
    bring_up(far, "far", FAR)
    pid = os.fork()
    if pid == 0:
        hold_back(*ends)
    return pid


def make_link(near, far):
    """Raises OSError where none may be made."""
    run("ip", "netns", "add", near)
    run("ip", "netns", "add", far)
    try:
        make_netem(near, far)
        return None
    except OSError:
        return make_tun(near, far)


def over_link():
    """Runs this program again inside the near namespace."""
    near, far = (f"sendoff-{side}-{os.getpid()}" for side in ("near", "far"))
    pid = None
    try:
        pid = make_link(near, far)
        return subprocess.run(["ip", "netns", "exec", near, sys.executable, __file__, *sys.argv[1:], "--far",
                               far]).returncode
    except (OSError, subprocess.SubprocessError) as error:
        print(f"skipped: no link can be made here ({error})")
        return SKIPPED
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for namespace in (near, far):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


# ---------------------------------------------------------------- at the far end

class FarSink:
    def __init__(self, scratch):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=scratch.path))
        self.ca = self.dir / "ca.pem"
        argv = ["ip", "netns", "exec", ARGS.far, ARGS.build / "sendoff", "sink", "--listen", f"{FAR}:0", "--port-file",
                self.dir / "port", "--tls", "starttls", "--write-ca", self.ca, "--maildir",
                self.dir / "mail"]
        self.process = harness.Process(argv, self.dir / "log")
        scratch.add(self.process)
        self.port = int(harness.until(lambda: (self.dir / "port").exists() and (self.dir / "port").read_text(),
                                      lambda: "the sink's port\n" + self.process.text()))

    def wait(self):
        """It says a line for each message."""
        harness.until(lambda: self.process.text().count("> to ") >= ARGS.messages,
                      lambda: "all messages\n" + self.process.text()[-500:], ARGS.messages * ARGS.rtt * 20 / 1000 + 20)


def load(agent):
    """Mail by SMTP, one message after another."""
    with smtplib.SMTP("127.0.0.1", agent.port, timeout=60) as smtp:
        for _ in range(ARGS.messages):
            smtp.sendmail("load@example.org", ["sink@example.net"], harness.message(body=("x" * 70 + "\r\n") * 10))


# ---------------------------------------------------------------- at the near end

def sendoff(scratch):
    sink = FarSink(scratch)
    host = harness.smarthost("far", host=FAR, port=sink.port, tls="starttls", tls_ca=str(sink.ca), tls_name="localhost",
                             connections=1, messages_per_connection=1000)
    agent = harness.Agent(scratch, host).start()
    agent.ctl("pause", "--yes")
    load(agent)
    begin = time.monotonic()
    agent.ctl("resume", "--yes")
    sink.wait()
    return time.monotonic() - begin


def postfix(scratch, **settings):
    sink = FarSink(scratch)
    quiet = {"smtpd_tls_security_level": "none", "smtpd_sasl_auth_enable": "no", "mynetworks": "127.0.0.0/8",
             "smtpd_recipient_restrictions": "permit_mynetworks,reject",
             "smtpd_relay_restrictions": "permit_mynetworks,reject", "virtual_mailbox_domains": "",
             "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native",
             "smtpd_client_restrictions": "static:HOLD", "relayhost": f"[{FAR}]:{sink.port}",
             "smtp_tls_security_level": "verify", "smtp_tls_CAfile": str(sink.ca),
             "smtp_tls_verify_cert_match": "localhost", "smtp_destination_concurrency_limit": "1",
             "initial_destination_concurrency": "1"}
    services = ["smtp unix - - n - - smtp", "scache unix - - n - 1 scache", "tlsproxy unix - - n - 0 tlsproxy"]
    server = postfix_module.Postfix(scratch, harness.free_port(), services=services, **{**quiet, **settings})
    load(server)
    begin = time.monotonic()
    subprocess.run(["postsuper", "-c", str(server.dir / "etc"), "-H", "ALL"], check=True, capture_output=True)
    kick = ["postkick", "-c", str(server.dir / "etc"), "public", "qmgr", "DFA"]
    harness.until(lambda: subprocess.run(kick, capture_output=True).returncode == 0, "the queue manager")
    sink.wait()
    return time.monotonic() - begin


def measure(what, **more):
    scratch = harness.Scratch(parent=ARGS.build)
    try:
        return what(scratch, **more) * 1000 / ARGS.rtt / ARGS.messages
    finally:
        scratch.close()


def main():
    if not ARGS.far:
        return over_link()
    found = {}
    if ARGS.measure != "postfix":
        found["sendoff"] = measure(sendoff)
    if ARGS.postfix or ARGS.measure == "postfix":
        found["postfix"] = measure(postfix)
        found["postfix with smtp_tls_connection_reuse"] = measure(postfix, smtp_tls_connection_reuse="yes")
    if ARGS.json:
        print(json.dumps(found))
        return 0
    print(f"round trips a message, {ARGS.messages} messages over one connection, {ARGS.rtt} ms, STARTTLS")
    for name, trips in found.items():
        print(f"{name:40}{trips:8.2f}")
    return 0


sys.exit(main())
