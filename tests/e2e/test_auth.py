"""Logins at a listener, by programs that people use: every mechanism, every refusal, and what changes while it runs."""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest
from harness import BUILD, Agent, free_port, message, until

PASSWORD = "correct horse, Batterie"


def run(argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=60, **more)
    assert done.returncode == 0, (argv, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    return done.stdout.decode()


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


class Office:
    """An agent with a listener for STARTTLS and one for implicit TLS, users, and an authority for client certificates."""

    def __init__(self, scratch, trust="", more="", auth="required"):
        self.dir = scratch.path / "office"
        self.dir.mkdir()
        self.users = self.dir / "users"
        self.issue("ca", None, "-subj", "/CN=The authority", "-addext", "basicConstraints=critical,CA:TRUE")
        self.renew()
        self.user("add", "alice")
        self.starttls, self.implicit = free_port(), free_port()
        keys = (f'certificate = "{self.dir}/cert.pem" key = "{self.dir}/cert.key" auth = {auth} users = "{self.users}" '
                f'client_ca = "{self.dir}/ca.pem" {more}')
        self.agent = Agent(scratch, f'listener "submission" {{ address = {{"127.0.0.1:{self.starttls}"}} tls = starttls '
                                    f'{keys} }}\n'
                                    f'listener "submissions" {{ address = {{"127.0.0.1:{self.implicit}"}} tls = implicit '
                                    f'{keys} }}\n{trust}').start()
        self.ca = str(self.dir / "ca.pem")

    def issue(self, name, issuer, *options):
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                "2", "-keyout", f"{name}.key.new", "-out", f"{name}.pem.new", *options]
        if issuer:
            argv += ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"]
        run(argv, cwd=self.dir)
        (self.dir / f"{name}.key.new").chmod(0o600)
        for end in "pem", "key":
            (self.dir / f"{name}.{end}.new").rename(self.dir / f"{name}.{end}")

    def renew(self):
        self.issue("cert", "ca", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")

    def user(self, verb, name, password=PASSWORD, *options):
        return run([BUILD / "sendoff", "user", verb, name, "--file", self.users,
                    *(options or (["--password-stdin"] if verb == "add" else []))], input=password.encode() + b"\n")

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(self.dir / f"{certificate}.pem", self.dir / f"{certificate}.key")
        return context

    def smtp(self, certificate=None, source=None):
        host = smtplib.SMTP_SSL("localhost", self.implicit, context=self.context(certificate), timeout=60,
                                source_address=(source, 0) if source else None)
        host.ehlo()
        return host

    def log(self):
        return self.agent.process.text()

    def failures(self):
        return len(re.findall(r" login-failed ", self.log()))

    def submitter_of_last(self):
        return re.findall(r" accepted .*?submitter=(\S+)", self.log())[-1]


@pytest.fixture
def office(scratch):
    return Office(scratch)


def send(host):
    return host.sendmail("alice@example.org", ["bob@example.net"], message())


# ---------------------------------------------------------------- mechanisms

@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_python_logs_in(office, mechanism):
    with smtplib.SMTP("localhost", office.starttls, timeout=30) as host:
        host.ehlo()
        # In clear text only because it is loopback; there is nothing to bind to.
        assert host.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"]
        assert host.docmd("MAIL", "FROM:<a@example.org>")[0] == 530
        host.starttls(context=office.context())
        host.ehlo()
        assert host.esmtp_features["auth"].split() == [
            "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"]
        host.user, host.password = "alice", PASSWORD
        assert host.auth(mechanism, host.auth_plain if mechanism == "PLAIN" else host.auth_login)[0] == 235
        assert host.docmd("AUTH", "PLAIN")[0] == 503
        send(host)
    assert office.submitter_of_last() == "user:alice"
    assert re.search(rf" login user=alice source=\S+ mechanism={mechanism}\n", office.log())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("method", ["scram-sha-256", "scram-sha-1", "plain", "login"])
def test_msmtp_logs_in(office, tmp_path, tls, method):
    needs("msmtp")
    if method not in run(["msmtp", "--version"]).lower():
        pytest.skip(f"this msmtp does not know {method}")
    port = office.starttls if tls == "starttls" else office.implicit
    run(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={port}", "--tls=on",
         f"--tls-starttls={'on' if tls == 'starttls' else 'off'}", f"--tls-trust-file={office.ca}", f"--auth={method}",
         "--user=alice", f"--passwordeval=echo '{PASSWORD}'", "--from=alice@example.org", "bob@example.net"],
        input=message())
    assert office.submitter_of_last() == "user:alice"
    assert f"mechanism={method.upper()}" in office.log()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in(office, mechanism):
    needs("swaks")
    run(["swaks", "--server", f"localhost:{office.starttls}", "--tls", "--auth", mechanism, "--auth-user", "alice",
         "--auth-password", PASSWORD, "--from", "alice@example.org", "--to", "bob@example.net"])
    assert office.submitter_of_last() == "user:alice"


@pytest.mark.parametrize("options", ["AUTH=PLAIN", "AUTH=LOGIN"])
def test_curl_logs_in(office, tmp_path, options):
    (tmp_path / "mail").write_bytes(message())
    run(["curl", "-sS", "--cacert", office.ca, f"smtps://localhost:{office.implicit}", "--mail-from", "alice@example.org",
         "--mail-rcpt", "bob@example.net", "--user", f"alice:{PASSWORD}", "--login-options", options, "-T",
         tmp_path / "mail"])
    assert office.submitter_of_last() == "user:alice"


class Greeter:
    """Says EHLO for gsasl, which sends STARTTLS without; everything else goes through as it is."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.target))
            greeting = far.recv(4096)
            far.sendall(b"EHLO greeter\r\n")
            answer = b""
            while not re.search(rb"^250 .*\r\n", answer, re.M):
                answer += far.recv(4096)
            near.sendall(greeting)
            for a, b in (near, far), (far, near):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
def test_gsasl_logs_in_over_starttls(office, mechanism):
    needs("gsasl")
    greeter = Greeter(office.starttls)
    for password, good in (PASSWORD, True), ("wrong", False):
        done = subprocess.run(["gsasl", "--smtp", "--mechanism", mechanism, "--authentication-id", "alice",
                               "--authorization-id", "alice", "--password", password, "--x509-ca-file", office.ca,
                               "--starttls", "--connect", f"localhost:{greeter.port}",
                               *([] if mechanism.endswith("-PLUS") else ["--no-cb"])],
                              input=b"", capture_output=True, timeout=60)
        assert (b"235 2.7.0" in done.stdout + done.stderr) == good, done.stdout + done.stderr
        assert (b"535 5.7.8" in done.stdout + done.stderr) != good
    assert f"mechanism={mechanism}" in office.log()


class Bound:
    """openssl s_client, which tells what a login can be bound to (RFC 9266), and SCRAM by hand."""

    def __init__(self, office):
        argv = ["openssl", "s_client", "-connect", f"localhost:{office.implicit}", "-CAfile", office.ca, "-verify_return_error",
                "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32", "-crlf", "-nocommands"]
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        text = ""
        while not (found := re.search(r"Keying material: ([0-9A-F]{64})", text)):
            text += self.line()
        self.binding = bytes.fromhex(found.group(1))
        while not self.line().startswith("220 "):
            pass

    def line(self):
        line = self.child.stdout.readline().decode()
        assert line
        return line

    def say(self, text):
        self.child.stdin.write(text.encode() + b"\n")
        self.child.stdin.flush()
        while not re.match(r"\d\d\d ", line := self.line()):
            pass
        return line

    def scram(self, password, flag="p=tls-exporter", binding=None):
        header = f"{flag},,"
        bare = "n=alice,r=abcdefghij"
        answer = self.say("AUTH SCRAM-SHA-256-PLUS " + base64.b64encode((header + bare).encode()).decode())
        if not answer.startswith("334 "):
            return answer
        first = base64.b64decode(answer[4:]).decode()
        parts = dict(part.split("=", 1) for part in first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        bound = base64.b64encode(header.encode() + (binding or self.binding)).decode()
        final = f"c={bound},r={parts['r']}"
        signature = hmac.digest(hashlib.sha256(client).digest(), f"{bare},{first},{final}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        answer = self.say(base64.b64encode(f"{final},p={proof}".encode()).decode())
        if not answer.startswith("334 "):
            return answer
        server = hmac.digest(salted, b"Server Key", "sha256")
        want = hmac.digest(server, f"{bare},{first},{final}".encode(), "sha256")
        assert base64.b64decode(answer[4:]) == b"v=" + base64.b64encode(want)
        return self.say("")

    def close(self):
        self.child.kill()
        self.child.communicate()


def test_a_login_is_bound_to_its_connection(office):
    """Over implicit TLS; the binding of another connection will not do, nor no binding where one is offered."""
    for right, options in ((True, {}), (False, {"binding": bytes(32)}), (False, {"flag": "y"}), (False, {"flag": "n"})):
        bound = Bound(office)
        try:
            bound.say("EHLO a")
            assert bound.scram(PASSWORD, **options).startswith("235 " if right else "535 ")
        finally:
            bound.close()


# ---------------------------------------------------------------- certificates

def test_a_certificate_logs_in(office):
    office.issue("alice", "ca", "-subj", "/CN=Alice", "-addext", "subjectAltName=email:alice@example.org", "-addext",
                 "extendedKeyUsage=clientAuth")
    with office.smtp("alice") as host:
        assert "EXTERNAL" in host.esmtp_features["auth"].split()
        send(host)
        assert office.submitter_of_last() == "cert:alice@example.org"
        assert host.docmd("AUTH", "EXTERNAL " + base64.b64encode(b"bob").decode())[0] == 535
        assert host.docmd("AUTH", "EXTERNAL =")[0] == 235
        send(host)
        assert office.submitter_of_last() == "user:alice@example.org"
    with office.smtp() as host:
        assert "EXTERNAL" not in host.esmtp_features["auth"].split()
        assert host.docmd("AUTH", "EXTERNAL =")[0] == 504


def test_curl_sends_with_a_certificate(office, tmp_path):
    office.issue("alice", "ca", "-subj", "/CN=printer.example.org")
    (tmp_path / "mail").write_bytes(message())
    run(["curl", "-sS", "--cacert", office.ca, "--cert", office.dir / "alice.pem", "--key", office.dir / "alice.key",
         f"smtps://localhost:{office.implicit}", "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.net", "-T",
         tmp_path / "mail"])
    assert office.submitter_of_last() == "cert:printer.example.org"


def test_curl_logs_in_with_a_certificate(office, tmp_path):
    office.issue("alice", "ca", "-subj", "/CN=Alice", "-addext", "subjectAltName=email:alice@example.org")
    (tmp_path / "mail").write_bytes(message())
    argv = ["curl", "-sS", "--cacert", office.ca, "--cert", office.dir / "alice.pem", "--key", office.dir / "alice.key",
            f"smtps://localhost:{office.implicit}", "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.net",
            "--login-options", "AUTH=EXTERNAL", "-T", tmp_path / "mail", "--user"]
    run([*argv, "alice@example.org:"])
    assert office.submitter_of_last() == "user:alice@example.org"
    assert re.search(r" login user=alice@example.org source=\S+ mechanism=EXTERNAL\n", office.log())
    assert subprocess.run([str(a) for a in [*argv, "alice:"]], capture_output=True, timeout=60).returncode == 67
    assert "wants to act as another user" in office.log() and office.log().count(" info accepted ") == 1


def test_msmtp_logs_in_with_a_certificate(office):
    needs("msmtp")
    office.issue("printer", "ca", "-subj", "/CN=printer.example.org")
    run(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={office.starttls}", "--tls=on", "--tls-starttls=on",
         f"--tls-trust-file={office.ca}", f"--tls-cert-file={office.dir}/printer.pem",
         f"--tls-key-file={office.dir}/printer.key", "--auth=external", "--user=printer.example.org",
         "--from=alice@example.org", "bob@example.net"], input=message())
    assert office.submitter_of_last() == "user:printer.example.org"


@pytest.mark.parametrize("issuer, options, why", [
    (None, [], "it is self-signed"),
    ("ca", ["-addext", "extendedKeyUsage=serverAuth"], "it is not meant for clients"),
])
def test_a_certificate_that_proves_nothing_is_refused(office, issuer, options, why):
    office.issue("evil", issuer, "-subj", "/CN=alice", *options)
    with pytest.raises((ssl.SSLError, smtplib.SMTPServerDisconnected, ConnectionError)):
        office.smtp("evil")
    until(lambda: why in office.log(), "the reason in the log")


def test_a_client_that_means_another_protocol_is_turned_away(office):
    context = office.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.raises(ssl.SSLError), socket.create_connection(("localhost", office.implicit)) as s:
        context.wrap_socket(s, server_hostname="localhost")
    context.set_alpn_protocols(["smtp"])
    with socket.create_connection(("localhost", office.implicit)) as s:
        assert context.wrap_socket(s, server_hostname="localhost").selected_alpn_protocol() == "smtp"


# ---------------------------------------------------------------- beside trust

def test_where_trust_lets_in_a_login_says_who_it_is(scratch):
    """And nothing else does: not one that failed, not one of before STARTTLS, not the certificate of another."""
    office = Office(scratch, auth="optional")
    office.issue("carol", "ca", "-subj", "/CN=Carol", "-addext", "subjectAltName=email:carol@example.org")
    plain = {who: "PLAIN " + base64.b64encode(f"\0{who}\0{password}".encode()).decode()
             for who, password in [("alice", PASSWORD), ("mallory", PASSWORD)]}

    def submitter(host):
        send(host)
        return office.submitter_of_last()

    with smtplib.SMTP("localhost", office.starttls, timeout=30) as host:
        host.ehlo()
        trusted = submitter(host)
        assert not trusted.startswith(("user:", "cert:"))
        assert host.docmd("AUTH", plain["mallory"])[0] == 535
        assert submitter(host) == trusted
        assert host.docmd("AUTH", plain["alice"])[0] == 235
        host.rset()
        assert submitter(host) == "user:alice"
        assert host.docmd("AUTH", plain["mallory"])[0] == 503
        host.ehlo()
        assert submitter(host) == "user:alice"
        # RFC 3207, 4.2: what was known before it is forgotten.
        host.starttls(context=office.context("carol"))
        host.ehlo()
        assert submitter(host) == "cert:carol@example.org"
        assert host.docmd("AUTH", plain["mallory"])[0] == 535
        assert submitter(host) == "cert:carol@example.org"
        assert host.docmd("AUTH", plain["alice"])[0] == 235
        assert submitter(host) == "user:alice"


# ---------------------------------------------------------------- while it runs

def test_users_come_and_go_while_the_agent_runs(office):
    def logs_in(user, password=PASSWORD):
        with office.smtp() as host:
            try:
                return host.login(user, password)[0] == 235
            except smtplib.SMTPAuthenticationError:
                return False

    assert logs_in("alice")
    office.user("add", "zoë@example.org", "another")
    until(lambda: office.smtp().docmd("AUTH", "PLAIN " + base64.b64encode("\0zoë@example.org\0another".encode()).decode())[0]
          == 235, "the new user")
    office.user("add", "alice", "changed")
    until(lambda: logs_in("alice", "changed"), "the new password")
    office.user("remove", "alice")
    until(lambda: not logs_in("alice", "changed"), "the user gone")
    # A hash of crypt(5) takes SCRAM from the list: clients that prefer it would lock this user out.
    office.user("add", "bob", run(["openssl", "passwd", "-6", "secret"]).strip(), "--hash-stdin")
    until(lambda: office.smtp().esmtp_features["auth"].split() == ["PLAIN", "LOGIN"], "no SCRAM")
    until(lambda: logs_in("bob", "secret"), "the hash")
    # What cannot be trusted lets nobody in, for the time being.
    office.users.chmod(0o644)
    until(lambda: office.smtp().docmd("AUTH", "PLAIN " + base64.b64encode(b"\0bob\0secret").decode())[0] == 454, "454")
    assert "everybody may read or write it" in office.log()


def test_a_renewed_certificate_is_used_at_once(office):
    def serial():
        with office.smtp() as host:
            return host.sock.getpeercert()["serialNumber"]

    old = serial()
    office.renew()
    new = until(lambda: (s := serial()) != old and s, "the new certificate")
    (office.dir / "cert.pem").write_text("nothing\n")
    until(lambda: serial() == new and "certificate-kept" in office.log(), "the reason in the log")
    assert serial() == new


# ---------------------------------------------------------------- failures

def test_wrong_passwords_wait_and_nobody_else_does(office):
    took = []
    for number in range(3):
        with office.smtp() as host:
            before = time.monotonic()
            code, text = host.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0alice\0wrong").decode())
            took.append(time.monotonic() - before)
            assert (code, text) == (535, b"5.7.8 wrong name or password")
    assert all(took[n] >= 1 << n for n in range(3)), took
    # While the next waits for its answer, another is served, and so is the right password.
    slow = office.smtp()
    before = time.monotonic()
    slow.send("AUTH PLAIN " + base64.b64encode(b"\0alice\0wrong").decode() + "\r\n")
    until(lambda: office.failures() == 4, "the failure in the log")
    with office.smtp() as host:
        host.login("alice", PASSWORD)
        send(host)
    # And the agent stops all the same: all before that answer is due.
    office.agent.stop()
    assert time.monotonic() - before < 8


def test_an_unknown_user_looks_like_a_wrong_password(office):
    """The same words, and for SCRAM the same salt each time."""
    def first(user):
        with office.smtp() as host:
            code, text = host.docmd("AUTH", "SCRAM-SHA-256 " + base64.b64encode(f"n,,n={user},r=abc".encode()).decode())
            assert code == 334
            host.docmd("*")
            return dict(part.split("=", 1) for part in base64.b64decode(text).decode().split(","))

    alice, nobody, other = first("alice"), first("nobody"), first("other")
    assert nobody["s"] == first("nobody")["s"] != other["s"] and nobody["i"] == alice["i"]
    assert len(nobody["s"]) == len(alice["s"])
    with office.smtp() as host:
        assert host.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0nobody\0wrong").decode()) == (
            535, b"5.7.8 wrong name or password")
    assert "no such user" in office.log()


def test_unknown_users_are_like_all_sorts_of_users(office):
    """Else those whose password takes another time to check would be known to exist."""
    office.user("add", "bob")
    lines = office.users.read_text()
    office.users.write_text(re.sub(r"(?m)^(bob:SCRAM-SHA-256)\$\d+:", r"\1$9999:", lines))
    assert "$9999:" in office.users.read_text() != lines
    seen = set()
    for n in range(24):
        with office.smtp() as host:
            first = base64.b64encode(f"n,,n=nobody{n},r=abc".encode()).decode()
            text = host.docmd("AUTH", "SCRAM-SHA-256 " + first)[1]
            seen.add(dict(part.split("=", 1) for part in base64.b64decode(text).decode().split(","))["i"])
            host.docmd("*")
    assert len(seen) == 2 and "9999" in seen


def test_a_flood_of_failures_is_kept_out(office):
    hosts = [office.smtp() for _ in range(24)]
    for host in hosts:
        host.send("AUTH PLAIN " + base64.b64encode(os.urandom(4).hex().encode().join([b"\0", b"\0x"])).decode() + "\r\n")
    until(lambda: office.failures() >= 20, "twenty failures")
    with office.smtp() as host:
        code, text = host.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode())
        assert code == 454 and re.match(rb"4.7.0 too many failed logins from (127.0.0.1|uid:\d+); try again in \d+s", text), text
