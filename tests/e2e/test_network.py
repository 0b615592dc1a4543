"""Networks that come and go: routes that wait for one, a machine that is offline, a network that is not yet ours.

Each test has a network namespace of its own, with loopback and whatever it adds; servers that mail leaves for listen on
all addresses in it, so that an address appears and goes with its interface.
"""

import os
import re
import smtplib
import socket
import subprocess
import time

import pytest

from certificates import Authority
from harness import BUILD, Agent, Process, key_of, message, smarthost, until

PLACE = "10.9.0.1"


def may_unshare():
    return os.geteuid() == 0 and subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not may_unshare(), reason="network namespaces need root and iproute2")


class Namespace:
    """A network of its own, held by a process that does nothing."""

    def __init__(self, scratch):
        self.holder = Process(["unshare", "-n", "sleep", "infinity"], scratch.path / "holder.log")
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "the namespace")
        self.enter = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        scratch.add(self)
        self.ip("link set lo up")

    def ip(self, *commands):
        for command in commands:
            subprocess.run([*self.enter, "ip", *command.split()], check=True, capture_output=True, timeout=30)

    def up(self, name, address=PLACE, default=False):
        """A link that carries the address; the last step makes it whole."""
        self.ip(f"link add {name} type veth peer name {name}-far", f"link set {name}-far up",
                f"addr add {address}/24 dev {name}", f"link set {name} up")
        if default:
            self.ip(f"route add default via {address.rsplit('.', 1)[0]}.254 dev {name}")
        return time.monotonic()

    def down(self, name):
        self.ip(f"link del {name}")

    def stop(self):
        self.holder.stop()


class NetSink:
    """`sendoff sink` at all addresses of the namespace."""

    def __init__(self, scratch, net, *options, name="sink", tls="none", port=0):
        self.dir = scratch.path / name
        self.dir.mkdir()
        self.maildir = self.dir / "mail"
        port_file = self.dir / "port"
        self.process = Process([*net.enter, BUILD / "sendoff", "sink", "--listen", f"0.0.0.0:{port}", "--port-file", port_file,
                                "--maildir", self.maildir, "--tls", tls, *options], self.dir / "log")
        scratch.add(self.process)
        self.port = int(until(lambda: port_file.exists() and port_file.read_text().strip(), self.process.text))

    def keys(self):
        new = self.maildir / "new"
        return {key_of(p.read_bytes()) for p in new.iterdir()} if new.exists() else set()


class UnixSMTP(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(host)
        return sock


class NetAgent(Agent):
    def __init__(self, scratch, net, config, route):
        super().__init__(scratch, config, route=route)
        self.net = net

    def start(self, wait=True):
        self.runs += 1
        self.process = Process([*self.net.enter, BUILD / "sendoffd", "--config", self.file],
                               self.dir / f"log.{self.runs}", env=self.env)
        if wait:
            self.wait_ready()
        return self

    def smtp(self, timeout=30):
        return UnixSMTP(str(self.socket), 1, timeout=timeout)

    def send(self, to="bob@example.net"):
        return key_of(super().send(message(), to=(to,)))

    def status(self):
        return self.json("status")[0]

    def waits(self):
        """The gate of everything that waits."""
        ids = [row["id"] for row in self.json("list") if row.get("type") == "message"]
        return [row for row in self.json("why", *ids) if "gate" in row] if ids else []


@pytest.fixture
def net(scratch):
    return Namespace(scratch)


def arrived(sink, key, since):
    until(lambda: key in sink.keys(), "the mail at the smart host")
    return time.monotonic() - since


# ---------------------------------------------------------------- routes that wait for a network

def test_office_mail_waits_for_the_vpn_and_leaves_when_it_is_up(scratch, net):
    sink = NetSink(scratch, net)
    agent = NetAgent(scratch, net, smarthost("office", host=PLACE, port=sink.port, tls="none"),
                     'route "office" { to = {"*@lab"} via = {"office"} when = {"interface tun*", "gateway 10.1.0.1"} }\n'
                     'route "rest" { via = {"office"} when = "online" }').start()
    for turn in range(3):
        key = agent.send("you@lab")
        gate = until(agent.waits, "why")[0]
        assert gate["gate"] == "network" and gate["text"] == \
            'it waits for the network of route "office": interface tun*, or gateway 10.1.0.1', gate
        assert "by itself" in gate["advice"] and gate["since_ms"] > 0
        text = agent.ctl("status").stdout
        assert "All that waits waits for a network that is not there." in text
        assert re.search(r"office +interface tun\*, or gateway 10\.1\.0\.1 +not there since .*, 1 waiting", text), text
        rows = {row["route"]: row for row in agent.status()["conditions"]}
        assert not rows["office"]["holds"] and not rows["rest"]["holds"] and rows["office"]["line"] > 0
        took = arrived(sink, key, net.up("tun7"))
        assert took < 1, f"{took:.3f} s"
        print(f"from the interface to the smart host: {took * 1000:.0f} ms")
        assert agent.status()["conditions"][0]["holds"]
        net.down("tun7")
        until(lambda: not agent.status()["conditions"][0]["holds"], "the interface to be missed")
    lane = agent.status()["lanes"][0]
    assert lane["failures"] == 0 and lane["trouble"] == "well", lane
    assert " failing " not in agent.log() and " offline " not in agent.log()


def test_explain_says_whether_the_network_is_there(scratch, net):
    agent = NetAgent(scratch, net, smarthost("office", host="127.0.0.1", port=9, tls="none"),
                     'route "office" { via = {"office"} when = "gateway 10.9.0.0/16" }').start()
    text = agent.ctl("explain", "--from", "me@example.org", "--to", "you@lab").stdout
    assert "when     gateway 10.9.0.0/16: not so now; the mail is taken, and waits until it is" in text, text
    net.up("eth7", default=True)
    until(lambda: "gateway 10.9.0.0/16: so it is now" in
          agent.ctl("explain", "--from", "me@example.org", "--to", "you@lab").stdout, "the gateway")


def test_a_reload_lets_mail_go_that_waits_for_a_network(scratch, net):
    sink = NetSink(scratch, net)
    host = smarthost("office", host="127.0.0.1", port=sink.port, tls="none")
    agent = NetAgent(scratch, net, host, 'route "office" { via = {"office"} when = "online" }').start()
    key = agent.send()
    until(agent.waits, "why")
    agent.configure(host, 'route "office" { via = {"office"} }')
    agent.ctl("reload")
    arrived(sink, key, time.monotonic())


# ---------------------------------------------------------------- offline

def test_mail_of_a_machine_without_a_network_leaves_when_it_has_one(scratch, net):
    sink = NetSink(scratch, net)
    agent = NetAgent(scratch, net, smarthost("out", host=PLACE, port=sink.port, tls="none"), None).start()
    key = agent.send()
    until(lambda: agent.status()["offline"], agent.log)
    assert "This machine is offline: mail is kept and sent when the network is back." in agent.ctl("status").stdout
    gate = until(agent.waits, "why")[0]
    assert gate["gate"] == "network" and gate["text"] == "this machine has no network", gate
    took = arrived(sink, key, net.up("eth7", default=True))
    print(f"from the link to the smart host: {took * 1000:.0f} ms")
    assert took < 5, f"{took:.3f} s" # the dust settles for a second, and two are jitter
    assert agent.status()["lanes"][0]["failures"] == 0


# ---------------------------------------------------------------- captive portals

class Portal:
    """A hotel: at the smart host's address somebody else answers until one has logged in."""

    def __init__(self, scratch, net):
        self.scratch, self.net = scratch, net
        self.ca = Authority(scratch.path / "ca")
        self.sink, self.served = None, 0
        self.serve("login.hotel.example")
        self.port = self.sink.port

    def serve(self, name):
        if self.sink:
            self.sink.process.stop()
        made = self.ca.issue(name)
        self.served += 1
        self.sink = NetSink(self.scratch, self.net, "--certificate", made.chain, "--key", made.key,
                            name=f"sink{self.served}", tls="starttls", port=self.sink.port if self.sink else 0)

    def smarthost(self):
        return smarthost("mail", host=PLACE, port=self.port, tls="starttls", tls_name="mail.example.org",
                         tls_ca=self.ca.file) + "reconnect { first = 1s }\n"


def test_a_captive_portal_counts_as_offline_until_one_has_logged_in(scratch, net):
    portal = Portal(scratch, net)
    agent = NetAgent(scratch, net, portal.smarthost(), None).start()
    net.up("wlan7", default=True)
    until(lambda: "network-changed" in agent.log(), "the link")
    key = agent.send()
    until(lambda: agent.status()["portal"], agent.log)
    status = agent.status()
    assert status["offline"] and "login.hotel.example" in status["offline_text"], status
    text = agent.ctl("status").stdout
    assert "The network answers in the name of other hosts: log in to it (captive portal)." in text, text
    assert re.search(r"captive portal since .*login\.hotel\.example", text), text
    gate = until(agent.waits, "why")[0]
    assert gate["gate"] == "network" and "log in to it (captive portal)" in gate["text"], gate
    # More than one try, and still nobody is to blame.
    until(lambda: agent.log().count("captive portal") > 2, agent.log)
    lane = agent.status()["lanes"][0]
    assert lane["failures"] == 0 and lane["trouble"] == "network", lane
    assert " failing " not in agent.log()
    portal.serve("mail.example.org")
    until(lambda: key in portal.sink.keys(), "the mail at the smart host")
    assert not agent.status()["offline"] and " online " in agent.log()
    # This network is proven now: what is wrong next is the smart host's own fault.
    agent.ctl("pause", "mail")
    agent.send()
    portal.serve("login.hotel.example")
    agent.ctl("resume", "mail")
    until(lambda: agent.status()["lanes"][0]["trouble"] == "host", agent.log)
    assert not agent.status()["portal"]


def test_a_wrong_name_without_a_new_network_is_the_smart_hosts_trouble(scratch, net):
    portal = Portal(scratch, net)
    net.up("eth7", default=True)
    agent = NetAgent(scratch, net, portal.smarthost(), None).start()
    agent.send()
    until(lambda: agent.status()["lanes"][0]["trouble"] == "host", agent.log)
    assert not agent.status()["offline"] and "captive portal" not in agent.log()


# ---------------------------------------------------------------- name servers

NAME_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, peer = s.recvfrom(4096)
    end = query.index(0, 12) + 5
    is_a = query[end - 4:end - 2] == bytes([0, 1])
    answer = bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]) + socket.inet_aton(sys.argv[2]) if is_a else b""
    s.sendto(query[:2] + bytes([0x81, 0x80, 0, 1, 0, is_a, 0, 0, 0, 0]) + query[12:end] + answer, peer)
"""


@pytest.mark.parametrize("way", ["rename", "behind a link"])
def test_a_name_server_that_is_named_anew_is_asked_at_once(scratch, net, way):
    """/etc is a copy of the test's own, in a mount namespace of the agent's."""
    etc, stub = scratch.path / "etc", scratch.path / "stub.conf"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    resolv = etc / "resolv.conf"
    resolv.unlink(missing_ok=True)
    if way == "behind a link":
        stub.write_text("nameserver 127.0.0.2\n")
        resolv.symlink_to(stub)
    else:
        resolv.write_text("nameserver 127.0.0.2\n")
    net.up("eth7", default=True)
    sink = NetSink(scratch, net)
    server = scratch.add(Process([*net.enter, "/usr/bin/python3", "-c", NAME_SERVER, "127.0.0.3", PLACE],
                                 scratch.path / "dns.log"))
    until(lambda: "ready" in server.text(), server.text)
    agent = NetAgent(scratch, net, smarthost("out", host="mail.example.test", port=sink.port, tls="none")
                     + "reconnect { first = 10m }\n", None)
    net.enter = [*net.enter, "unshare", "-m", "--propagation", "private", "sh", "-c",
                 f'mount --bind "{etc}" /etc && exec "$@"', "sh"]
    agent.start()
    key = agent.send()
    until(lambda: agent.status()["offline"] and agent.status()["dns_only"], agent.log, deadline=60)
    fresh = scratch.path / "etc" / "resolv.conf.new"
    if way == "rename":
        fresh.write_text("nameserver 127.0.0.3\n# new\n")
        fresh.rename(resolv)
    else:
        stub.write_text("nameserver 127.0.0.3\n# new\n")
    took = arrived(sink, key, time.monotonic())
    assert "resolvers-changed" in agent.log()
    print(f"from resolv.conf to the smart host: {took * 1000:.0f} ms")
    assert took < 10, f"{took:.3f} s"
