"""What a client may expect of the accepting side, against the real agent and, behind it, a smart host that notes what
it is told."""

import contextlib
import os
import re
import smtplib
import socket
import ssl
import struct
import subprocess
import time

import pytest

from harness import BUILD, Agent, Sink, free_port, key_of, message, parse, until, without_trace

IS_ROOT = os.getuid() == 0


def listener(agent, name, keys, port=None):
    """Adds a listener on loopback and returns its port."""
    port = port or free_port()
    agent.file.write_text(agent.file.read_text() + f'listener "{name}" {{ address = {{"127.0.0.1:{port}"}} {keys} }}\n')
    return port


def talk(smtp, *lines):
    """Says one line after the other and returns "code text" of each answer."""
    said = []
    for line in lines:
        code, text = smtp.docmd(line)
        said.append(f"{code} {text.decode(errors='replace')}")
    return said


def data(smtp, raw):
    assert smtp.docmd("DATA")[0] == 354
    smtp.send(raw + b".\r\n")
    code, text = smtp.getreply()
    return f"{code} {text.decode()}"


def hello(port, source=None, timeout=30):
    smtp = smtplib.SMTP(timeout=timeout, source_address=source and (source, 0))
    smtp.connect("127.0.0.1", port)
    smtp.ehlo("client.example")
    return smtp


@pytest.fixture
def pair(scratch):
    """An agent in front of a sink that offers everything."""
    sink = Sink(scratch)
    agent = Agent(scratch, sink.smarthost())
    agent.sink = sink
    return agent


def delivered(agent, count=1):
    until(lambda: len(agent.sink.envelopes()) >= count, lambda: f"{count} messages\n{agent.log()}")
    return agent.sink.envelopes()


# ---- extensions, each to the smart host


def test_every_extension_is_listed(pair):
    smtp = hello(pair.start().port)
    for word in ("pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "dsn", "chunking", "binarymime",
                 "mt-priority", "futurerelease", "deliverby", "limits"):
        assert smtp.has_extn(word), word
    for word in ("starttls", "auth", "requiretls", "expn", "vrfy"):  # not without a certificate, and users
        assert not smtp.has_extn(word), word
    assert smtp.docmd("EXPN", "staff")[0] in (502, 550)
    assert smtp.docmd("HELP")[0] == 214


def test_what_reports_are_wanted_goes_on(pair):
    smtp = hello(pair.start().port)
    talk(smtp, "MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ+2B314",
         "RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2Bbob@example.org",
         "RCPT TO:<carol@example.net> NOTIFY=NEVER")
    assert data(smtp, message()).startswith("250 2.0.0 ")
    envelope = delivered(pair)[0]
    assert envelope["ret"] == "HDRS" and envelope["envid"] == "QQ+314"
    bob, carol = sorted(envelope["rcpts"], key=lambda r: r["address"])
    assert set(bob["notify"].split(",")) == {"SUCCESS", "DELAY"} and bob["orcpt"] == "rfc822;first+bob@example.org"
    assert carol["notify"] == "NEVER"


def test_priority_goes_on(pair):
    smtp = hello(pair.start().port)
    assert talk(smtp, "MAIL FROM:<alice@example.org> MT-PRIORITY=4", "RCPT TO:<bob@example.net>")[0][:3] == "250"
    data(smtp, message())
    assert delivered(pair)[0]["priority"] == 4


def test_letters_of_the_world_go_on(pair):
    smtp = hello(pair.start().port)
    raw = message("Grüße", "Schöne Grüße\r\n", To="jörg@bücher.example")
    smtp.sendmail("zoë@example.org", ["jörg@bücher.example"], raw, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    envelope = delivered(pair)[0]
    assert envelope["smtputf8"] and envelope["sender"] == "zoë@example.org"
    assert raw in pair.sink.messages()[0]
    # Without the word they are refused.
    assert talk(smtp, "MAIL FROM:<zoë@example.org>".encode().decode("latin-1"))[0].startswith("5")


def test_chunks_and_binary_arrive_byte_for_byte(pair):
    smtp = hello(pair.start().port)
    raw = message(body=bytes(range(256)) * 50 + b"\n.\r\n.\n\r", Content_Type="application/octet-stream",
                  MIME_Version="1.0", Content_Transfer_Encoding="binary")
    talk(smtp, "MAIL FROM:<alice@example.org> BODY=BINARYMIME", "RCPT TO:<bob@example.net>")
    for i in range(0, len(raw), 1000):
        last = " LAST" if i + 1000 >= len(raw) else ""
        smtp.send(f"BDAT {len(raw[i:i + 1000])}{last}\r\n".encode() + raw[i:i + 1000])
        assert smtp.getreply()[0] == 250
    envelope = delivered(pair)[0]
    assert envelope["body"] == "binarymime" and envelope["chunked"]
    assert without_trace(pair.sink.messages()[0]) == raw


def test_a_held_message_waits_for_its_hour_and_says_so(pair):
    smtp = hello(pair.start().port)
    begin = time.time()
    assert talk(smtp, "MAIL FROM:<alice@example.org> HOLDFOR=3", "RCPT TO:<bob@example.net>")[0][:3] == "250"
    assert data(smtp, message())[:3] == "250"
    row = [r for r in pair.json("list") if r.get("type") == "message"][0]
    assert "release" in pair.ctl("why", row["id"]).stdout.lower()
    delivered(pair)
    assert time.time() - begin >= 2.9
    # Beyond what EHLO promised.
    limit = smtp.esmtp_features["futurerelease"].split()
    assert talk(smtp, f"MAIL FROM:<alice@example.org> HOLDFOR={int(limit[0]) + 1}")[0].startswith("501")


def test_deliver_by_is_given_on(pair):
    smtp = hello(pair.start().port)
    talk(smtp, "MAIL FROM:<alice@example.org> BY=3600;NT", "RCPT TO:<bob@example.net>")
    data(smtp, message())
    seconds, mode = delivered(pair)[0]["by"].split(";")
    assert 3500 < int(seconds) <= 3600 and mode == "NT"
    assert talk(smtp, "MAIL FROM:<alice@example.org> BY=10;R HOLDFOR=20")[0].startswith("501 5.5.4")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "template").write_text('cn = "localhost"\ndns_name = "localhost"\nip_address = "127.0.0.1"\n'
                                     "tls_www_server\nsigning_key\nca\ncert_signing_key\nexpiration_days = 30\n")
    for argv in (["--generate-privkey", "--key-type", "ecdsa", "--outfile", folder / "key.pem"],
                 ["--generate-self-signed", "--load-privkey", folder / "key.pem", "--template", folder / "template",
                  "--outfile", folder / "cert.pem"]):
        subprocess.run(["certtool", *map(str, argv)], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    return folder


def tls_keys(certificate, tls):
    return f'tls = {tls} certificate = "{certificate}/cert.pem" key = "{certificate}/key.pem"'


def context(certificate):
    return ssl.create_default_context(cafile=certificate / "cert.pem")


def test_requiretls_is_taken_under_tls_only_and_given_on(pair, certificate):
    port = listener(pair, "secure", tls_keys(certificate, "starttls"))
    pair.start()
    with smtplib.SMTP("localhost", port, timeout=30) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("requiretls")
        assert talk(smtp, "MAIL FROM:<alice@example.org> REQUIRETLS")[0].startswith("555")
        smtp.starttls(context=context(certificate))
        smtp.ehlo()
        assert smtp.has_extn("requiretls")
        talk(smtp, "MAIL FROM:<alice@example.org> REQUIRETLS", "RCPT TO:<bob@example.net>")
        data(smtp, message())
    assert delivered(pair)[0]["requiretls"]


# ---- what they may send


def test_a_sender_that_is_not_theirs_is_refused_with_the_rule(pair):
    pair.file.write_text(pair.file.read_text() + 'submitter "shop" { senders = {"*@shop.example.com"} }\n')
    smtp = hello(pair.start().port)
    said = talk(smtp, "MAIL FROM:<boss@example.org>")[0]
    assert said.startswith("553 5.7.1 ") and "*@shop.example.com" in said
    assert re.search(r'submitter "shop" at \S*sendoff\.conf:\d+', said)
    assert talk(smtp, "MAIL FROM:<till@shop.example.com>", "RCPT TO:<bob@example.net>")[1][:3] == "250"
    smtp.rset()
    assert talk(smtp, "MAIL FROM:<>")[0][:3] == "250"
    assert "refused" in pair.log() and "boss@example.org" in pair.log()


def test_a_quota_is_kept_across_a_restart(pair):
    pair.file.write_text(pair.file.read_text() + 'submitter "all" { quota = "3/day" recipients = 2 }\n')
    pair.start()
    pair.send(to=["a@example.net", "b@example.net"])
    smtp = hello(pair.port)
    said = talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>", "RCPT TO:<b@example.net>")
    assert said[1][:3] == "250" and said[2].startswith("451 4.7.1 ") and "try again in" in said[2]
    assert "3 recipients a day" in said[2]
    smtp.close()  # nothing was sent: the one that was taken is free again
    pair.kill()
    pair.start()
    smtp = hello(pair.port)
    said = talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>", "RCPT TO:<b@example.net>",
                "RSET", "MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>")
    assert said[1][:3] == "250" and said[2].startswith("451 4.7.1 ") and said[5][:3] == "250"


def test_a_runaway_job_leaves_others_their_quota(pair):
    if not IS_ROOT:
        pytest.skip("needs root, for clients of two users")
    pair.file.write_text(pair.file.read_text() + 'submitter "all" { rate = "5/hour" quota = "100/day" }\n')
    pair.start()
    os.chmod(pair.dir, 0o755)
    script = ("import smtplib,sys\ns=smtplib.SMTP('127.0.0.1',%d)\nn=0\n"
              "try:\n for i in range(20):\n  s.sendmail('a@example.org',['b@example.net'],'Subject: x\\r\\n\\r\\n'); n+=1\n"
              "except smtplib.SMTPException as e: print(n, e)\nelse: print(n)\n" % pair.port)

    def run(uid):
        return subprocess.run(["/usr/bin/python3", "-c", script], user=uid, capture_output=True, text=True, timeout=60,
                              check=True).stdout

    assert run(65534).startswith("5 ") and "451" in run(65534)
    assert run(33).startswith("5 ")


def test_the_first_submitter_that_fits_counts(pair):
    pair.file.write_text(pair.file.read_text() +
                         'submitter "other" { listeners = {"local"} senders = {"nobody@example.com"} }\n'
                         'submitter "rest" { networks = {"127.0.0.0/8"} recipients = 1 }\n')
    smtp = hello(pair.start().port)
    said = talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<a@example.net>", "RCPT TO:<b@example.net>")
    assert [s[:3] for s in said] == ["250", "250", "452"]


# ---- under which address: what cron, root, PHP and phones send


def test_cron_and_php_send_under_their_identity(pair):
    pair.file.write_text(pair.file.read_text() + '''
identity "cron" { senders = {"root@agent.example.org"} from = "alerts@example.com" name = "Alerts" to = "me@example.com" }
identity "php" { senders = {"www-data@*"} from = "shop@example.com" envelope = "bounces@example.com" original = reply-to }
identity "phone" { senders = {"+4930*@*"} from = "me@example.com" original = x-original-from }
''')
    smtp = hello(pair.start().port)
    smtp.sendmail("root", ["root"], b"From: root (Cron Daemon)\r\nTo: root\r\nSubject: Cron\r\n\r\nout\r\n")
    smtp.sendmail("www-data", ["order@example.net"],
                  b"From: Customer <customer@example.net>\r\nTo: order@example.net\r\nSubject: form\r\n\r\nx\r\n")
    smtp.sendmail("+4930123456@pbx", ["bob@example.net"], b"From: +4930123456@pbx\r\nTo: bob@example.net\r\n\r\nx\r\n")
    smtp.sendmail("", ["bob@example.net"], b"From: MAILER-DAEMON\r\nTo: bob@example.net\r\n\r\nx\r\n")
    envelopes = delivered(pair, 4)
    senders = {e["recipients"][0] + str(i): e["sender"] for i, e in enumerate(envelopes)}
    assert sorted(senders.values()) == ["", "alerts@example.com", "bounces@example.com", "me@example.com"]
    mails = [parse(without_trace(raw)) for raw in pair.sink.messages()]
    cron = next(m for m in mails if m["subject"] == "Cron")
    assert cron["from"] == "Alerts <alerts@example.com>" and "me@example.com" in cron["to"]
    form = next(m for m in mails if m["subject"] == "form")
    assert "shop@example.com" in form["from"] and "customer@example.net" in form["reply-to"]
    phone = next(m for m in mails if m["x-original-from"])
    assert "me@example.com" in phone["from"] and "+4930123456@pbx" in phone["x-original-from"]


def test_aliases_are_followed_and_read_again(pair):
    aliases = pair.dir / "aliases"
    aliases.write_text("root: me@example.com, joe\njoe: joe@example.com\n*: rest@example.com\n")
    pair.file.write_text(pair.file.read_text() + f'aliases = "{aliases}"\n')
    smtp = hello(pair.start().port)
    smtp.sendmail("alice@example.org", ["root", "joe", "whoever@agent.example.org", "bob@example.net"], message())
    # The sink may get them in several transactions.
    until(lambda: sum(len(e["recipients"]) for e in pair.sink.envelopes()) == 4, "four recipients")
    rcpts = {r["address"]: r["orcpt"] for e in pair.sink.envelopes() for r in e["rcpts"]}
    assert set(rcpts) == {"me@example.com", "joe@example.com", "rest@example.com", "bob@example.net"}
    assert rcpts["me@example.com"] == "rfc822;root@agent.example.org" and not rcpts["bob@example.net"]
    aliases.write_text("root: new@example.com\nbroken line\n")

    def has_changed():
        smtp.sendmail("alice@example.org", ["root"], message())
        return any("new@example.com" in e["recipients"] for e in pair.sink.envelopes())

    until(has_changed, "the new aliases")
    assert len(re.findall(r"warning aliases .*:2:", pair.log())) == 1


# ---- who is there


def test_proxied_clients_are_judged_by_their_own_address(pair, certificate):
    pair.file.write_text(pair.file.read_text().replace('"127.0.0.0/8"', '"127.0.0.0/8", "192.0.2.0/24"'))
    plain = listener(pair, "balanced", 'proxy = {"127.0.0.1"}')
    secure = listener(pair, "secure", 'proxy = {"127.0.0.1"} ' + tls_keys(certificate, "implicit"))
    pair.start()

    def ask(port, header, more=b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(header + more)
            text = b""
            with contextlib.suppress(ConnectionError):
                while piece := s.recv(4096):
                    text += piece
            return text

    def v2(source):
        body = socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 25)
        body += b"\x04\x00\x02ok"
        return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(body)) + body

    assert b"250 2.1.0 " in ask(plain, b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 25\r\n")
    assert b"250 2.1.0 " in ask(plain, v2("192.0.2.9"))
    for header in (b"PROXY TCP4 198.51.100.1 192.0.2.1 1 25\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n",
                   b"PROXY TCP6 ::1 ::1 1 25\r\n", b"PROXY UNKNOWN\r\n", v2("127.0.0.1"), v2("198.51.100.1"),
                   b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"):
        said = ask(plain, header)
        assert said.startswith(b"554 5.7.1 ") and b"250" not in said, header
    for header in (b"", b"PROXY TCP4 192.0.2.9\r\n", b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 99999\r\n",
                   b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"):
        assert ask(plain, header) == b"", header
    assert b"500" in ask(pair.port, b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 25\r\n")
    # TLS begins right behind the header, in the same segment.
    raw = socket.create_connection(("127.0.0.1", secure), timeout=20)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(certificate).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    raw.sendall(v2("192.0.2.9") + outgoing.read())
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(raw.recv(65536))
    raw.sendall(outgoing.read())
    text = b""
    while b"220 " not in text:
        try:
            text += tls.read(4096)
        except ssl.SSLWantReadError:
            incoming.write(raw.recv(65536))
    raw.close()
    assert 'reason="198.51.100.1 is not among' in pair.log()


def test_a_proxy_that_is_not_listed_is_hung_up_on(pair):
    port = listener(pair, "balanced", 'proxy = {"192.0.2.1"}')
    pair.start()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\nEHLO x\r\n")
            assert s.recv(100) == b""
    until(lambda: "not one of the proxies" in pair.log(), "its record")


RELAYS = ("<bob@example.net>", "<@agent.example.org:bob@example.net>", "<bob%example.net@agent.example.org>",
          '<"bob@example.net"@agent.example.org>', "<bob%example.net>", "<bob@example.net@agent.example.org>",
          "<example.net!bob>", "<bob@[127.0.0.1]>", "<postmaster>", "<root>", "<>", "bob@example.net")


@pytest.mark.parametrize("sender", ["<>", "<root>", "<root@agent.example.org>", "<a@example.org>"])
def test_no_stranger_gets_anything_in(scratch, certificate, sender):
    agent = Agent(scratch, trust='networks = {"127.0.0.1/32"}')
    text = agent.file.read_text().replace('networks = {"127.0.0.0/8", "::1"} ', "")
    agent.file.write_text(text)
    users = agent.dir / "users"
    users.touch(0o600)
    login = listener(agent, "office", f'auth = optional users = "{users}" ' + tls_keys(certificate, "starttls"))
    agent.start()
    with hello(agent.port, "127.0.0.1") as smtp:
        assert talk(smtp, f"MAIL FROM:{sender}")[0][:3] == "250"
    # Turned away with the greeting.
    with socket.create_connection(("127.0.0.1", agent.port), source_address=("127.0.0.2", 0), timeout=20) as s:
        assert s.recv(1000).startswith(b"554 5.7.1 ")
    # Greeted, and let do nothing before it has logged in.
    for rcpt in RELAYS:
        with hello(login, "127.0.0.2") as smtp:
            said = talk(smtp, f"MAIL FROM:{sender}", f"RCPT TO:{rcpt}", "DATA", "BDAT 0 LAST", "VRFY root")
            assert said[0].startswith("530 5.7.0 "), said
            assert not [s for s in said[:4] if s[0] in "23"], said
    assert not [row for row in agent.json("list") if row.get("type") == "message"]


def certify(folder, name, issuer=None, client=True):
    """A key and a certificate in `folder`, its own issuer's or `issuer`'s."""
    (folder / f"{name}.tmpl").write_text(f'cn = "{name}"\nemail = "{name}@example.org"\nexpiration_days = 30\nsigning_key\n' +
                                         ("tls_www_client\n" if client else "ca\ncert_signing_key\n"))
    subprocess.run(["certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", folder / f"{name}.key"],
                   check=True, capture_output=True)
    argv = ["certtool", "--load-privkey", folder / f"{name}.key", "--template", folder / f"{name}.tmpl", "--outfile",
            folder / f"{name}.pem"]
    argv += (["--generate-certificate", "--load-ca-certificate", folder / f"{issuer}.pem", "--load-ca-privkey",
              folder / f"{issuer}.key"] if issuer else ["--generate-self-signed"])
    subprocess.run([str(a) for a in argv], check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o600)


def test_a_clients_certificate_lets_in(pair, certificate):
    certify(pair.dir, "authority", client=False)
    certify(pair.dir, "joe", "authority")
    certify(pair.dir, "stranger")
    pair.file.write_text(pair.file.read_text() + 'submitter "joe" { users = {"joe@example.org"} senders = {"joe@*"} }\n')
    port = listener(pair, "office", f'client_ca = "{pair.dir}/authority.pem" trust = no ' +
                    tls_keys(certificate, "starttls"))
    pair.start()

    def call(name=None):
        tls = context(certificate)
        if name:
            tls.load_cert_chain(pair.dir / f"{name}.pem", pair.dir / f"{name}.key")
        smtp = smtplib.SMTP("localhost", port, timeout=30)
        smtp.starttls(context=tls)
        smtp.ehlo()
        return smtp

    with call() as smtp:
        assert talk(smtp, "MAIL FROM:<joe@example.org>")[0].startswith("530 5.7.0 ")
    with call("joe") as smtp:
        assert talk(smtp, "MAIL FROM:<boss@example.org>")[0].startswith("553 5.7.1 ")
        smtp.sendmail("joe@example.org", ["bob@example.net"], message())
    delivered(pair)
    assert "submitter=cert:joe@example.org" in pair.log()
    with pytest.raises((OSError, smtplib.SMTPException)):
        with call("stranger") as smtp:
            assert talk(smtp, "MAIL FROM:<joe@example.org>")[0][:3] != "250"
            raise smtplib.SMTPException("refused")


def test_a_renewed_certificate_is_served_to_new_clients(pair, certificate):
    for name in ("key.pem", "cert.pem"):
        (pair.dir / name).write_bytes((certificate / name).read_bytes())
        (pair.dir / name).chmod(0o600)
    port = listener(pair, "secure", tls_keys(pair.dir, "implicit"))
    pair.start()

    def serial():
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s, blind.wrap_socket(s) as tls:
            return tls.getpeercert(binary_form=True)

    before = serial()
    certify(pair.dir, "localhost", client=False)
    for ending, name in (("key", "key.pem"), ("pem", "cert.pem")):
        os.replace(pair.dir / f"localhost.{ending}", pair.dir / name)
    until(lambda: serial() != before, "the new certificate")
    assert "certificate-renewed" in pair.log()


def test_users_and_groups_of_the_machine_are_told_apart(scratch):
    if not IS_ROOT:
        pytest.skip("needs root, for clients of several users")
    agent = Agent(scratch, trust='gids = {"33"}')
    agent.file.write_text(agent.file.read_text().replace('uids = {"*"}', 'uids = {"0"}'))
    agent.start()
    os.chmod(agent.dir, 0o755)
    script = "import smtplib\ntry: print(smtplib.SMTP('127.0.0.1',%d).ehlo('x')[0])\nexcept smtplib.SMTPException as e: print(e)"

    def ask(**who):
        return subprocess.run(["/usr/bin/python3", "-c", script % agent.port], capture_output=True, text=True, timeout=60,
                              check=True, **who).stdout

    assert ask().strip() == "250"
    assert "554" in ask(user=65534) and "trust.uids" in ask(user=65534)
    assert ask(user=33).strip() == "250"  # its group, by the files of the system


def test_nobody_escapes_the_rules_about_users_by_closing_at_once(scratch):
    if not IS_ROOT:
        pytest.skip("needs root, for a client of another user")
    agent = Agent(scratch, 'submitter "web" { uids = {"65534"} senders = {"www@example.org"} }').start()
    script = """
import socket
for _ in range(40):
    with socket.create_connection(("127.0.0.1", %d)) as peer:
        peer.sendall(b"EHLO x\\r\\nMAIL FROM:<ceo@example.org>\\r\\nRCPT TO:<v@example.net>\\r\\nBDAT 0 LAST\\r\\n")
"""
    subprocess.run(["/usr/bin/python3", "-c", script % agent.port], user=65534, check=True, timeout=60)
    agent.send()
    log = until(lambda: "accepted" in agent.log() and agent.log(), agent.log)
    assert "turned-away" in log and "from=ceo@example.org recipients" not in log


def test_users_are_told_apart_at_an_own_address_as_on_loopback(scratch):
    if not IS_ROOT:
        pytest.skip("needs root, for a client of another user")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
            probe.connect(("198.51.100.1", 9))
        own = probe.getsockname()[0]
    if own.startswith("127.") or own == "0.0.0.0":
        pytest.skip("this machine has no address but loopback")
    agent = Agent(scratch)
    port = free_port()
    agent.file.write_text(agent.file.read_text().replace('"::1"} uids = {"*"}', f'"{own}"}} uids = {{"0"}}')
                          + f'listener "lan" {{ address = {{"{own}:{port}"}} tls = none trust = yes }}\n')
    agent.start()
    script = "import smtplib\ntry: print(smtplib.SMTP('%s',%d).ehlo('x')[0])\nexcept smtplib.SMTPException as e: print(e)"

    def ask(**who):
        return subprocess.run(["/usr/bin/python3", "-c", script % (own, port)], capture_output=True, text=True, timeout=60,
                              check=True, **who).stdout

    assert ask().strip() == "250"
    assert "554" in ask(user=65534)


# ---- the message: each accepted or refused by a rule, never changed otherwise


BODIES = {
    "8-bit": b"gr\xfc\xdfe \xff\r\n",
    "long-line": b"x" * 998 + b"\r\n" + b"y" * 999 + b"\r\n",
    "very-long-line": b"z" * 200000 + b"\r\n",
    "controls": bytes(c for c in range(1, 32) if c not in (10, 13)) + b"\x7f\r\n",
    "nothing": b"",
    "dots": b".\r\n..\r\n. .\r\n.\r\n",
    "from": b"From here on\r\nFrom there\r\n",
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies_are_kept_as_they_were(pair, what):
    body = BODIES[what]
    raw = message(body=body)
    pair.start()
    pair.ctl("pause")
    with hello(pair.port) as smtp:
        talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.net>")
        assert data(smtp, re.sub(rb"(?m)^\.", b"..", raw))[:3] == "250"
    row = [r for r in pair.json("list") if r.get("type") == "message"][0]
    stored = subprocess.run([BUILD / "sendoff", "--config", pair.file, "cat", row["id"]], capture_output=True,
                            timeout=60, check=True).stdout
    assert (without_trace(stored) == raw) is True  # a long difference is no help
    # What the next hop cannot carry the sending side encodes; its parts are the same bytes.
    pair.ctl("resume")
    delivered(pair)
    got = parse(pair.sink.messages()[0])
    assert (got.get_payload(decode=True) == body) is True


def test_a_nul_makes_a_message_binary(pair):
    raw = message(body=b"a\0b\r\n")
    pair.start()
    with hello(pair.port) as smtp:
        talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.net>")
        assert data(smtp, raw)[:3] == "250"
    assert delivered(pair)[0]["body"] == "binarymime"
    assert without_trace(pair.sink.messages()[0]) == raw


def test_a_message_of_nothing_gets_what_it_needs(pair):
    pair.start()
    with hello(pair.port) as smtp:
        talk(smtp, "MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.net>")
        assert data(smtp, b"")[:3] == "250"
    delivered(pair)
    mail = parse(pair.sink.messages()[0])
    assert mail["date"] and mail["message-id"] and mail["from"] == "alice@example.org"


@pytest.mark.parametrize("privacy, seen", [("reduced", False), ("full", True), ("none", False)])
def test_the_trace_leaks_only_what_is_asked_for(pair, privacy, seen):
    pair.file.write_text(pair.file.read_text() + f"privacy = {privacy}\n")
    pair.start()
    with hello(pair.port) as smtp:
        smtp.sendmail("alice@example.org", ["bob@example.net"], message())
    delivered(pair)
    raw = pair.sink.messages()[0]
    assert (b"client.example" in raw) == seen and (b"127.0.0.1" in raw) == seen
    assert (b"Received:" in raw) == (privacy != "none")
    assert key_of(raw)
