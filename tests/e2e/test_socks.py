"""Delivery through a SOCKS5 proxy: with and without a login, by name, to MX, and what is said when it does not work."""

import re
import socket
import socketserver
import struct
import threading

import pytest
from harness import Agent, Sink, free_port, key_of, smarthost, until
from zones import Faults, Reply, rdata

QUICK = "reconnect { first = 1s  factor = 2  max = 2s }\n"


class Proxy:
    """A SOCKS5 server (RFC 1928, 1929) that knows some names; self.asked: (name or address, port) of each request."""

    def __init__(self, scratch, names, login=None, reply=None, garbage=None):
        self.names, self.login, self.reply, self.garbage = names, login, reply, garbage
        self.asked, self.logins, self.port = [], [], free_port()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    proxy.serve(self.request)
                except (ConnectionError, OSError, struct.error):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        scratch.add(self)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def url(self, login=""):
        return f"socks5://{login}127.0.0.1:{self.port}"

    @staticmethod
    def read(s, n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def greet(self, s):
        version, count = self.read(s, 2)
        methods = self.read(s, count)
        assert version == 5
        method = 2 if self.login else 0
        if method not in methods:
            s.sendall(b"\x05\xff")
            return False
        s.sendall(bytes([5, method]))
        if not self.login:
            return True
        assert self.read(s, 1) == b"\x01"
        user = self.read(s, self.read(s, 1)[0]).decode()
        password = self.read(s, self.read(s, 1)[0]).decode()
        self.logins.append((user, password))
        ok = (user, password) == self.login
        s.sendall(b"\x01\x00" if ok else b"\x01\x01")
        return ok

    def request(self, s):
        assert self.read(s, 3) == b"\x05\x01\x00"
        kind = self.read(s, 1)[0]
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, self.read(s, 4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, self.read(s, 16))
        else:
            host = self.read(s, self.read(s, 1)[0]).decode()
        port = struct.unpack(">H", self.read(s, 2))[0]
        self.asked.append((host, port))
        return host, port

    def serve(self, s):
        if self.garbage:
            s.sendall(self.garbage)
            return
        if not self.greet(s):
            return
        host, port = self.request(s)
        code = self.reply or (0 if host in self.names else 4)
        if code:
            s.sendall(bytes([5, code]) + b"\0\x01\0\0\0\0\0\0")
            return
        with socket.create_connection((self.names[host], port)) as there:
            s.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34")
            back = threading.Thread(target=self.pump, args=(there, s), daemon=True)
            back.start()
            self.pump(s, there)
            back.join(30)

    @staticmethod
    def pump(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def agent_by(scratch, proxy, sink, login="", **more):
    # The name is in no DNS that the agent could ask: only the proxy knows it.
    host = sink.smarthost("sink", **{"host": "relay.hidden.test", "proxy": proxy.url(login), **more})
    agent = Agent(scratch, QUICK + 'dns { servers = {"127.0.0.1:9"} }\n' + host)
    agent.file.chmod(0o600)  # a password of the proxy may stand in it
    return agent.start()


def arrived(agent, sink, key):
    until(lambda: key in [key_of(m) for m in sink.messages()], lambda: f"{key}\n{agent.log()[-3000:]}")


def says(agent, *words):
    def why():
        rows = [r for r in agent.json("list") if r.get("type") == "message"]
        return agent.ctl("why", rows[0]["id"]).stdout if rows else ""

    until(lambda: all(w in why() for w in words), lambda: f"{words}\n{why()}\n{agent.log()[-2000:]}")


def test_a_smart_host_is_reached_by_a_name_that_only_the_proxy_knows(scratch):
    sink = Sink(scratch)
    proxy = Proxy(scratch, {"relay.hidden.test": "127.0.0.1"})
    agent = agent_by(scratch, proxy, sink)
    arrived(agent, sink, key_of(agent.send()))
    assert set(proxy.asked) == {("relay.hidden.test", sink.port)}
    agent.drain()
    delivered = next(line for line in agent.log().splitlines() if " delivered " in line)
    assert f"relay.hidden.test via 127.0.0.1:{proxy.port}" in delivered and "verified" in delivered


def test_user_and_password_are_given_where_the_proxy_asks(scratch):
    sink = Sink(scratch)
    proxy = Proxy(scratch, {"relay.hidden.test": "127.0.0.1"}, login=("me", "hush"))
    agent = agent_by(scratch, proxy, sink, "me:hush@")
    arrived(agent, sink, key_of(agent.send()))
    assert set(proxy.logins) == {("me", "hush")}
    assert "hush" not in agent.log()


@pytest.mark.parametrize("trouble, words", [
    ({"login": ("me", "hush")}, "it wants a login, and the configuration names no user"),
    ({"reply": 5}, "the host refuses the connection"),
    ({"reply": 4}, "the host cannot be reached"),
    ({"reply": 2}, "its rules do not allow the connection"),
    ({"garbage": b"220 smtp.example.org ESMTP\r\n"}, "it does not speak SOCKS5"),
    ({"garbage": b"\x05"}, "it hangs up"),
])
def test_mail_waits_and_why_says_what_the_proxy_said(scratch, trouble, words):
    sink = Sink(scratch)
    proxy = Proxy(scratch, {"relay.hidden.test": "127.0.0.1"}, **trouble)
    agent = agent_by(scratch, proxy, sink)
    key = key_of(agent.send())
    says(agent, f"proxy 127.0.0.1:{proxy.port}: {words}")
    assert " bounced " not in agent.log() and " offline " not in agent.log()
    proxy.login = proxy.reply = proxy.garbage = None
    agent.ctl("flush", "--all", "--yes")
    arrived(agent, sink, key)


def test_a_wrong_password_of_the_proxy_is_no_fault_of_the_account(scratch):
    sink = Sink(scratch)
    proxy = Proxy(scratch, {"relay.hidden.test": "127.0.0.1"}, login=("me", "hush"))
    agent = agent_by(scratch, proxy, sink, "me:wrong@")
    agent.send()
    says(agent, "it refuses user and password")
    assert " parked " not in agent.log() and "wrong" not in agent.log()


def test_a_proxy_that_is_not_there_is_named(scratch):
    sink = Sink(scratch)
    proxy = Proxy(scratch, {})
    proxy.stop()
    scratch.started.remove(proxy)
    agent = agent_by(scratch, proxy, sink)
    agent.send()
    says(agent, f"proxy 127.0.0.1:{proxy.port}: Connection refused")


def test_mx_are_found_by_dns_and_reached_by_the_proxy(scratch):
    port = free_port()
    sink = Sink(scratch, port=port, tls="none", auth=None)
    proxy = Proxy(scratch, {"mx2.far.test": "127.0.0.1"})

    def say(name, kind, over_tcp):
        if (name, kind) == ("far.test", "MX"):
            return Reply((name, "MX", rdata("MX", 10, "mx1.far.test")), (name, "MX", rdata("MX", 20, "mx2.far.test")))
        return Reply(rcode="NXDOMAIN")

    dns = Faults(scratch, say)
    agent = Agent(scratch, f'{dns.config()}{QUICK}mx {{ port = {port}  proxy = "{proxy.url()}" }}\n',
                  route='route "direct" { via = {"mx"} }\n').start()
    key = key_of(agent.send(to=("bob@far.test",)))
    arrived(agent, sink, key)
    assert proxy.asked[:2] == [("mx1.far.test", port), ("mx2.far.test", port)]
    assert not [ask for ask in dns.asked if ask[1] in ("A", "AAAA")], dns.asked
    agent.drain()
    assert re.search(rf"delivered .*mx2\.far\.test via 127\.0\.0\.1:{proxy.port}", agent.log())
