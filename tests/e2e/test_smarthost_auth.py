"""Logins at smart hosts that are not ours: Postfix with Cyrus SASL and with Dovecot, and what binds them to TLS by OpenSSL."""

import base64
import hashlib
import hmac
import re
import shutil
import subprocess
import threading

import pytest
from dovecot import Dovecot
from harness import DEADLINE, Agent, Sink, free_port, key_of, smarthost, until
from postfix import Postfix, make_certificate
from test_auth import PASSWORD, Office

FAST = """
retry { first = 1s factor = 2 max = 4s }
reconnect { first = 1s factor = 2 max = 2s }
"""


def private(path, text):
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def host(scratch, postfix, auth, secret="secret", **more):
    keys = {"host": "localhost", "port": postfix.port, "tls": "starttls", "tls_ca": str(postfix.ca), "user": "me",
            "auth": auth, "secret_file": str(private(scratch.path / "secret", secret))}
    return smarthost("postfix", **{**keys, **more}) + FAST


def method(postfix):
    return re.findall(r"sasl_method=([A-Z0-9-]+), sasl_username=me", postfix.whole_log())[-1]


def lets_in(scratch, postfix):
    """By each mechanism: a smart host of its own for each, and a mail to a recipient of that name."""
    names = ["plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "auto"]
    config = "".join(host(scratch, postfix, name).replace('smarthost "postfix"', f'smarthost "{name}"')
                     .replace(FAST, "") for name in names)
    routes = "\n".join(f'route "{name}" {{ to = {{"{name}@*"}} via = {{"{name}"}} }}' for name in names)
    agent = Agent(scratch, config + FAST, route=routes).start()
    for name in names:
        agent.send(to=[f"{name}@example.net"])
    until(lambda: len(postfix.messages()) >= len(names), lambda: agent.log()[-3000:] + postfix.log())
    used = re.findall(r"sasl_method=([A-Z0-9-]+), sasl_username=me", postfix.whole_log())
    assert sorted(used) == sorted([name.upper() for name in names if name != "auto"] + ["SCRAM-SHA-256"])


def test_cyrus_sasl_lets_us_in_by_each_mechanism(scratch):
    postfix = Postfix(scratch, free_port())
    conf = postfix.dir / "etc" / "sasl" / "smtpd.conf"
    conf.write_text(conf.read_text().replace("PLAIN LOGIN", "LOGIN CRAM-MD5 SCRAM-SHA-1 PLAIN SCRAM-SHA-256"))
    lets_in(scratch, postfix)


# ---------------------------------------------------------------- Dovecot

def with_dovecot(scratch, **more):
    dovecot = Dovecot(scratch, **more)
    return dovecot, Postfix(scratch, free_port(), smtpd_sasl_type="dovecot", smtpd_sasl_path=dovecot.socket)


def test_dovecot_lets_us_in_by_each_mechanism(scratch):
    lets_in(scratch, with_dovecot(scratch)[1])


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_dovecot_takes_a_token_and_refuses_another(scratch, auth):
    dovecot, postfix = with_dovecot(scratch)
    agent = Agent(scratch, host(scratch, postfix, auth, dovecot.token(key=b"another key"))).start()
    sent = agent.send()
    until(lambda: "535" in agent.ctl("status", check=False).stdout, lambda: agent.log()[-3000:] + dovecot.log())
    said = agent.ctl("status", check=False).stdout
    assert ("invalid_token" if auth == "oauthbearer" else "401") in said, said  # what its challenge said
    assert not postfix.messages() and "bounced" not in agent.log()
    assert len(re.findall(r"authentication failed", postfix.whole_log())) == 1, postfix.log()
    private(scratch.path / "secret", dovecot.token())
    until(lambda: postfix.messages(), lambda: agent.log()[-3000:] + dovecot.log(), deadline=60)
    assert key_of(postfix.messages()[0]) == key_of(sent)
    assert method(postfix) == auth.upper()


def tokens(scratch, *texts):
    """A secret_command that gives these tokens in turn, then the last one; returns (command, calls so far)."""
    calls = scratch.path / "calls"
    calls.mkdir()
    for n, text in enumerate(texts):
        private(scratch.path / f"token.{n}", text)
    script = scratch.path / "give-token"
    script.write_text(f"""#!/bin/sh
n=$(ls {calls} | wc -l)
touch {calls}/$n
[ $n -lt {len(texts)} ] || n={len(texts) - 1}
cat {scratch.path}/token.$n
""")
    script.chmod(0o755)
    return str(script), lambda: len(list(calls.iterdir()))


def test_a_refused_token_is_fetched_once_more_at_once(scratch):
    dovecot, postfix = with_dovecot(scratch)
    command, calls = tokens(scratch, dovecot.token(key=b"withdrawn"), dovecot.token())
    agent = Agent(scratch, host(scratch, postfix, "oauthbearer", secret_file=None, secret_command=command)).start()
    sent = agent.send()
    until(lambda: postfix.messages(), lambda: agent.log()[-3000:] + dovecot.log())
    assert key_of(postfix.messages()[0]) == key_of(sent)
    assert calls() == 2 and " token-refused " in agent.log() and " parked " not in agent.log()


def test_the_same_token_again_is_not_tried_again(scratch):
    dovecot, postfix = with_dovecot(scratch)
    command, calls = tokens(scratch, dovecot.token(key=b"withdrawn"))
    agent = Agent(scratch, host(scratch, postfix, "xoauth2", secret_file=None, secret_command=command)).start()
    sent = agent.send()
    until(lambda: " parked " in agent.log(), lambda: agent.log()[-3000:] + dovecot.log())
    assert "the same token once more" in agent.ctl("status", check=False).stdout
    threading.Event().wait(3)  # time itself is what is tested: nobody tries again meanwhile
    assert calls() == 2
    assert len(re.findall(r"authentication failed", postfix.whole_log())) == 1, postfix.log()
    assert agent.log().count(" parked ") == 1 and "bounced" not in agent.log()
    assert not re.search(re.escape(dovecot.token(key=b"withdrawn").split(".")[2]), agent.log())
    private(scratch.path / "token.0", dovecot.token())
    agent.ctl("resume", "postfix", "--yes")
    until(lambda: postfix.messages(), lambda: agent.log()[-3000:] + dovecot.log())
    assert key_of(postfix.messages()[0]) == key_of(sent)


def test_a_wrong_password_is_tried_once_by_one_mechanism(scratch):
    dovecot, postfix = with_dovecot(scratch)
    agent = Agent(scratch, host(scratch, postfix, "auto", "wrong")).start()
    agent.send()
    until(lambda: "535" in agent.ctl("status", check=False).stdout, lambda: agent.log()[-3000:] + dovecot.log())
    threading.Event().wait(3)  # time itself is what is tested: nobody tries again meanwhile
    failed = re.findall(r"SASL (\S+) authentication failed", postfix.whole_log())
    assert failed == ["SCRAM-SHA-256"], postfix.log()
    assert "bounced" not in agent.log()


# ---------------------------------------------------------------- OpenSSL: what binds SCRAM to TLS (RFC 9266)

class Bound:
    """`openssl s_server`, which prints the exporter's value of its end, with a server of SCRAM-SHA-256-PLUS behind it."""

    def __init__(self, scratch, tls="1.3"):
        if not shutil.which("openssl"):
            pytest.skip("openssl is missing")
        folder = scratch.path / "bound"
        folder.mkdir()
        self.ca, cert, key = make_certificate(folder)
        self.port, self.said = free_port(), []
        self.child = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", cert, "-key", key, "-crlf", "-naccept",
             "1", f"-tls{tls.replace('.', '_')}", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.watchdog = threading.Timer(2 * DEADLINE, self.child.kill)  # find() ends then
        self.watchdog.start()
        scratch.add(self)
        self.find("ACCEPT")

    def find(self, pattern):
        for line in iter(self.child.stdout.readline, b""):
            text = line.decode(errors="replace").strip()
            self.said.append(text)
            if found := re.search(pattern, text):
                return found
        raise AssertionError(f"no {pattern} in\n" + "\n".join(self.said))

    def say(self, *lines):
        self.child.stdin.write("".join(line + "\n" for line in lines).encode())
        self.child.stdin.flush()

    def challenge(self, text):
        self.say("334 " + base64.b64encode(text.encode()).decode())
        return base64.b64decode(self.find(r"^([A-Za-z0-9+/]*=*)$").group(1)).decode("latin-1")

    def hello(self, mechanisms):
        self.say("220 bound.example.org")
        self.find("EHLO")
        self.say("250-bound.example.org", f"250 AUTH {mechanisms}")
        found = self.find(r"^AUTH (\S+) (\S+)")
        return found.group(1), base64.b64decode(found.group(2)).decode()

    def stop(self):
        self.watchdog.cancel()
        self.child.kill()
        self.child.communicate()


def test_openssl_sees_the_same_connection(scratch):
    server = Bound(scratch)
    agent = Agent(scratch, smarthost("bound", host="localhost", port=server.port, tls="implicit", tls_ca=str(server.ca),
                                     user="me", secret_file=str(private(scratch.path / "secret", "pencil"))) + FAST)
    agent.start().send()
    exported = bytes.fromhex(server.find(r"Keying material: (\w+)").group(1))
    mechanism, first = server.hello("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS")
    assert mechanism == "SCRAM-SHA-256-PLUS" and first.startswith("p=tls-exporter,,n=me,r=")
    bare = first.split(",,", 1)[1]
    nonce = bare.split("r=")[1] + "server"
    server_first = f"r={nonce},s={base64.b64encode(b'pepper').decode()},i=4096"
    final = server.challenge(server_first)
    without_proof, proof = final.rsplit(",p=", 1)
    bound = base64.b64encode(b"p=tls-exporter,," + exported).decode()
    assert without_proof == f"c={bound},r={nonce}"
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", b"pepper", 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signed = f"{bare},{server_first},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    assert base64.b64decode(proof) == bytes(a ^ b for a, b in zip(client_key, signature))
    ours = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    assert server.challenge("v=" + base64.b64encode(ours).decode()) == ""
    server.say("235 2.7.0 welcome")
    server.find(r"MAIL FROM:<alice@example.org>")


def test_nothing_is_bound_to_tls_1_2(scratch):
    server = Bound(scratch, tls="1.2")
    agent = Agent(scratch, smarthost("bound", host="localhost", port=server.port, tls="implicit", tls_ca=str(server.ca),
                                     user="me", secret_file=str(private(scratch.path / "secret", "pencil"))) + FAST)
    agent.start().send()
    mechanism, first = server.hello("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS")
    assert mechanism == "SCRAM-SHA-256" and first.startswith("n,,n=me,r=")


# ---------------------------------------------------------------- an agent of ours

def home(scratch, office, **more):
    keys = {"host": "localhost", "port": office.implicit, "tls": "implicit", "tls_ca": office.ca, "user": "alice",
            "secret_file": str(private(scratch.path / "secret", PASSWORD))}
    return Agent(scratch, smarthost("office", **{**keys, **more}) + FAST, name="home").start()


def test_an_agent_binds_its_login_at_another_one(scratch):
    office = Office(scratch)
    agent = home(scratch, office)
    agent.send()
    until(lambda: re.search(r" login user=alice source=\S+ mechanism=SCRAM-SHA-256-PLUS\n", office.log()),
          lambda: agent.log() + office.log())
    until(lambda: " delivered " in agent.log(), lambda: agent.log() + office.log())


def test_an_agent_shows_another_one_its_certificate(scratch):
    office = Office(scratch)
    office.issue("client", "ca", "-subj", "/CN=Alice", "-addext", "subjectAltName=email:alice@example.org")
    agent = home(scratch, office, auth="external", user=None, secret_file=None,
                 tls_certificate=str(office.dir / "client.pem"), tls_key=str(office.dir / "client.key"))
    agent.send()
    until(lambda: re.search(r" login user=alice@example.org source=\S+ mechanism=EXTERNAL\n", office.log()),
          lambda: agent.log() + office.log())
    until(lambda: " delivered " in agent.log(), lambda: agent.log() + office.log())


def test_too_many_logins_are_a_pause_and_not_a_refusal(scratch):
    sink = Sink(scratch, "--reply", "auth=454 4.7.0 Too many login attempts, please try again later")
    agent = Agent(scratch, sink.smarthost() + FAST).start()
    agent.send()
    until(lambda: "454" in agent.ctl("status", check=False).stdout, lambda: agent.log())
    threading.Event().wait(3)  # time itself is what is tested: nobody tries again meanwhile
    assert agent.log().count("account-failing") == 1 and " parked " not in agent.log() and "bounced" not in agent.log()


def test_a_refusal_says_what_the_provider_means_by_it(scratch):
    sink = Sink(scratch, "--reply", "auth=534 5.7.9 Application-specific password required")
    agent = Agent(scratch, sink.smarthost(auth="auto") + FAST).start()
    agent.send()
    until(lambda: " parked " in agent.log(), lambda: agent.log())
    said = agent.ctl("status", check=False).stdout
    assert "app password" in said and "sendoff resume sink" in said, said
    threading.Event().wait(2)  # time itself is what is tested: no other mechanism is tried, and nobody else is told
    assert agent.log().count(" parked ") == 1 and agent.log().count(" error ") == 1
