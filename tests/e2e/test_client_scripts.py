"""The session scripts of the client engine, played by a server against a running agent: what the agent says is what the
script says, and what `sendoff` shows afterwards is what the script concludes.

Times are scaled: a script's longest wait of its settings takes a second. What only the engine's own driver can play (two
messages at a time, binary mail, a body that is given up) is left out; `test_most_scripts_can_be_played` keeps count.
"""

import re
import socket
import ssl
import threading
import time

import pytest
from harness import ROOT, Agent, message, smarthost, until
from postfix import make_certificate
from test_scripts import decode

FOLDER = ROOT / "tests" / "scripts" / "client"
SETTINGS = {"offers", "cut", "step", "tls", "relay", "greeting", "command", "data", "quit", "pipeline_next", "lmtp"}
EVENTS = {"message", "body", "end", "eof", "tls", "quit"}
OUTCOMES = {"delivered", "permanent", "temporary", "doubtful", "untried"}
LEFT_OUT = {
    "slow_replies": "the limit on all replies together cannot be scaled", "lmtp_slow_replies": "likewise",
    "reused_too_long": "the wait between messages cannot be scaled",
    "too_many_recipients": "those left over follow at once", "too_many_recipients_552": "likewise",
}
DEADLINE = 20


class Script:
    def __init__(self, path):
        self.settings, self.steps, self.messages, self.why_not = {}, [], [], None
        for line in path.read_text().splitlines():
            mark, text = line[:1], line[2:]
            word, _, rest = text.partition(" ")
            if not line or mark == "#":
                continue
            if mark == "=":
                self.settings[word] = rest
            elif mark == "+":
                self.steps.append(("+", seconds(line[1:])))
            elif mark == ">":
                data = decode(line[3:]) if line.startswith(">|") else decode(text) + b"\r\n"
                if self.steps and self.steps[-1][0] == ">":  # one group
                    data = self.steps.pop()[1] + data
                self.steps.append((">", data))
            else:
                self.steps.append((mark, text))
            if mark == "@" and word == "message":
                self.messages.append(rest.split())
            if mark == "@" and word not in EVENTS:
                self.why_not = word
        self.name = path.stem
        self.check()

    def check(self):
        """Says why a real agent cannot play it."""
        unknown = set(self.settings) - SETTINGS
        if unknown:
            self.why_not = f"setting {unknown}"
        if self.settings.get("relay") == "no":
            self.why_not = "an MX"
        if len(self.messages) > 1:
            self.why_not = "several messages"
        for words in self.messages:
            if any(not re.fullmatch(r"[^\s@=]+@[a-z.]+|size=\d{1,3}", w) for w in words):
                self.why_not = "demands"
        if self.steps and self.steps[0][0] == "@" and self.steps[0][1] != "message" and not self.messages:
            self.why_not = "it starts with " + self.steps[0][1]
        first = next((i for i, s in enumerate(self.steps) if s[0] == "@" and s[1].startswith("message")), None)
        if first is not None and any(s[0] in ">+" for s in self.steps[:first]) and "offers" in self.settings:
            self.why_not = "something happens before the message"
        if any(s == ("@", "quit") for s in self.steps) and not self.messages:
            self.why_not = "there is no message"
        if any(s[1] == "tls unproven" for s in self.steps if s[0] == "@"):
            self.why_not = "an unproven peer"
        self.why_not = LEFT_OUT.get(self.name, self.why_not)

    def scale(self):
        """A script's time to real time: the longest of its waits becomes a second."""
        waits = [seconds(self.settings[k]) for k in ("greeting", "command", "data", "quit") if k in self.settings]
        return 1 / max(waits) if waits else 0

    def recipients(self):
        return [w for w in self.messages[0][1:] if "@" in w] if self.messages else ["b@example.net"]

    def sender(self):
        return self.messages[0][0] if self.messages else "a@example.com"

    def outcomes(self):
        """What the script says of each recipient; without a message of its own: it waits as before."""
        found = dict(re.findall(r"rcpt (\S+) (\w+) at", "\n".join(s[1] for s in self.steps if s[0] == "!")))
        return found or {r: "untried" for r in self.recipients()} if not self.messages else found

    def ends_open(self):
        """In the middle of a message or before it: what becomes of that is not in the script."""
        last = [s[1] for s in self.steps if s[0] == "!"][-1]
        return last == "want body" or (last.startswith("ready") and not self.messages)

    def failure(self):
        found = [s[1] for s in self.steps if s[0] == "!" and s[1].startswith("failed ")]
        return found[0].split()[1] if found else None


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


SCRIPTS = {p.stem: Script(p) for p in sorted(FOLDER.glob("*.smtp"))}
PLAYABLE = [name for name, script in SCRIPTS.items() if not script.why_not]


class Server:
    """Plays one script to the first who connects; all others wait for a greeting that never comes."""

    def __init__(self, scratch, script, certificate):
        self.script, self.certificate = script, certificate
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sock, self.error, self.is_done = None, None, False
        self.others = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        scratch.add(self)

    def stop(self):
        for each in (self.listener, self.sock, *self.others):
            if each:
                each.close()

    def run(self):
        try:
            self.sock, _ = self.listener.accept()
            self.sock.settimeout(DEADLINE)
            self.held = b""
            if "offers" in self.script.settings:
                self.hello()
            self.play()
            if self.script.ends_open():
                self.sock.close()
        except Exception as error:  # told to the test
            self.error = error
        self.is_done = True
        while True:
            try:
                self.others.append(self.listener.accept()[0])
            except OSError:
                return

    def line(self):
        while b"\n" not in self.held:
            more = self.sock.recv(65536)
            if not more:
                raise AssertionError(f"the agent hung up behind {self.held!r}")
            self.held += more
        line, self.held = self.held.split(b"\n", 1)
        assert line.endswith(b"\r"), line
        return line[:-1].decode()

    def hello(self):
        self.sock.sendall(b"220 mx.example.org ESMTP\r\n")
        self.expect(("LHLO" if self.script.settings.get("lmtp") else "EHLO") + " client.example")
        offers = "".join(f"250-{w.replace('=', ' ')}\r\n" for w in self.script.settings["offers"].split())
        self.sock.sendall(f"250-mx.example.org\r\n{offers}250 HELP\r\n".encode())

    def expect(self, want):
        got = self.line()
        want = want.replace("client.example", "agent.example.org")
        if want.startswith("MAIL ") or want == "." or " SIZE=" in got:
            got, want = (re.sub(r" SIZE=\d+", "", text) for text in (got, want))
        assert got == want, f"said {got!r}, wanted {want!r}"

    def start_tls(self):
        ca, cert, key = self.certificate
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        assert not self.held
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def say(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # hung up on: the script knows

    def play(self):
        in_body = is_stuck = False
        for i, (mark, text) in enumerate(self.script.steps):
            is_event = mark == "@"
            if mark == ">":
                if in_body:  # the agent is sending, and the server does not wait for the end
                    while len(self.held) < 1000:
                        self.held += self.sock.recv(65536)
                self.say(text)
            elif mark == "+":
                is_stuck = in_body
                time.sleep(text * self.script.scale())  # the server takes its time: this is what is tested
            elif mark == "<" and in_body and text != ".":
                continue
            elif mark == "<":
                while in_body and self.line() != ".":
                    pass
                if not in_body:
                    self.expect(text)
                in_body = False
            elif mark == "!" and text == "want body":
                in_body = True
            elif is_event and text == "tls":
                self.start_tls()
            elif is_event and text.split()[0] == "eof":
                self.sock.close()
                break
            elif mark == "!" and text.startswith("close"):
                self.at_end(is_stuck)

    def at_end(self, is_stuck):
        if is_stuck:
            return  # it takes no more
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            pass


def gives_up_in_body(script):
    marks = [m + t if isinstance(t, str) else m for m, t in script.steps]
    return "!want body" in marks and "<." not in marks


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def configuration(script, server, certificate):
    keys = {"host": "127.0.0.1", "port": server.port, "auth": "none", "tls": script.settings.get("tls", "none")}
    if keys["tls"] in ("starttls", "implicit"):
        keys.update(tls_ca=str(certificate[0]), tls_name="localhost")
    if script.settings.get("lmtp"):
        keys["protocol"] = "lmtp"
    text = smarthost("work", **keys).replace('protocol = "lmtp"', "protocol = lmtp")
    if any(s == ("@", "quit") for s in script.steps):
        text = text.replace("\n}", "\n    messages_per_connection = 1\n}")
    waits = {k: seconds(v) * script.scale() for k, v in script.settings.items() if k in ("greeting", "command", "data")}
    if waits:
        text += "timeouts { " + " ".join(f"{k} = {v:.3f}s".replace(".000s", "s") for k, v in waits.items()) + " }\n"
    return text + "retry { first = 1h }\nreconnect { first = 1h max = 1h }\n"


def recipient(agent, queue_id, address):
    """What has become of a recipient, in the script's words; None: nothing yet."""
    for row in agent.json("history"):
        if row.get("type") == "history" and row["id"] == queue_id and row["recipient"] == address:
            return {"delivered": "delivered", "bounced": "permanent"}[row["outcome"]]
    rows = [r for r in agent.json("show", queue_id) if r.get("type") == "recipient" and r["address"] == address]
    if rows and rows[0]["state"] == "doubtful":
        return "doubtful"
    if rows and rows[0]["state"] in ("waiting", "sending"):  # the next attempt may have begun
        return "temporary" if rows[0]["attempts"] else "untried"
    return None


def lane(agent):
    return agent.json("status")[0]["lanes"][0]


def conclusion(agent):
    found = lane(agent)
    if found["trouble"] == "account":
        return "parked" if found["parked"] else "throttled"
    return {"well": None, "host": "lane"}.get(found["trouble"], found["trouble"])


@pytest.mark.parametrize("name", PLAYABLE)
def test_the_agent_does_what_the_script_says(scratch, certificate, name):
    script = SCRIPTS[name]
    server = Server(scratch, script, certificate)
    agent = Agent(scratch, configuration(script, server, certificate)).start()
    mail = message(body="x" * 70 + "\r\n" if not gives_up_in_body(script) else ("x" * 70 + "\r\n") * 150000)
    with agent.smtp() as smtp:
        sender = "" if script.sender() == "<>" else script.sender()
        smtp.ehlo("client.example.org")
        assert smtp.mail(sender)[0] == 250
        for address in script.recipients():
            assert smtp.rcpt(address)[0] == 250
        code, text = smtp.data(mail)
        assert code == 250, text
    queue_id = re.search(rb"queued as (\w+)", text).group(1).decode()
    until(lambda: server.is_done, lambda: agent.log(), DEADLINE + 5)
    if server.error:
        raise AssertionError(f"{server.error}\n{agent.log()}")
    if not script.ends_open():
        check(script, agent, queue_id)
    server.stop()  # so that the agent does not wait for it


def check(script, agent, queue_id):
    for address, outcome in script.outcomes().items():
        until(lambda: recipient(agent, queue_id, address) == outcome,
              lambda: f"{address} is {recipient(agent, queue_id, address)}, not {outcome}\n{agent.log()}", 10)
    until(lambda: conclusion(agent) == script.failure(),
          lambda: f"the lane is {lane(agent)}, not {script.failure()}\n{agent.log()}", 10)


def test_most_scripts_can_be_played():
    left_out = {name: script.why_not for name, script in SCRIPTS.items() if script.why_not}
    assert len(PLAYABLE) > 80, left_out
