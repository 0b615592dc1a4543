"""What TLS proves, and what happens when it does not: DANE, downgrades and proofs by configuration, right and forged.

Each row of the table is a domain with a server on an address of its own, and one mail. All are sent at once by one
agent; then each must have come to what its row says, in the history, in `sendoff why` and in the log.
"""

import dataclasses
import hashlib
import re
import smtplib
import ssl

import pytest
from certificates import Authority
from harness import Agent, Scratch, free_port, key_of, message, until
from postfix import Postfix
from tlsserver import TlsServer
from zones import Faults, Reply, Zones, rdata, run, tlsa


@dataclasses.dataclass
class Row:
    name: str            # its domain is NAME.signed.test, its MX mx.NAME.signed.test unless `zone` says otherwise
    what: str            # happens there
    came_to: str         # "delivered" or "waits"
    says: str            # delivered: the word in the history, "" for clear text; waits: words of why and log
    records: tuple = ()  # TLSA of the MX: "3 1 1 leaf"
    chain: str = "leaf"  # certificates that the server sends, as world.certificate() knows them
    signed: bool = True  # else NAME.unsigned.test
    config: str = ""     # a domain section
    server: dict = dataclasses.field(default_factory=dict)
    zone: str = ""       # instead of an MX with an address; {mx} is the server's address, {port} its port
    broken: object = ()  # the domain is a zone of its own, NAME.test, broken as zones.py says
    requires: bool = False  # the mail has REQUIRETLS

    @property
    def domain(self):
        zone = "test" if self.broken else "signed.test" if self.signed else "unsigned.test"
        return f"{self.name}.{zone}"


NO_FIT = "no TLSA record fits the certificate"
NO_TLS = "does not offer STARTTLS, and TLS is required"
LIES = {"answer": "454 4.7.0 TLS not available"}

ROWS = [
    # ---- usage 3: the certificate itself
    Row("ee", "3 1 1 fits", "delivered", "dane", ("3 1 1 leaf",)),
    Row("ee-whole", "3 0 0 holds the certificate", "delivered", "dane", ("3 0 0 leaf",)),
    Row("ee-wrong", "3 1 1 of another key", "waits", NO_FIT, ("3 1 1 other",)),
    Row("ee-expired", "3 1 1 of a certificate of 2020: dates do not count", "delivered", "dane", ("3 1 1 expired",),
        "expired"),
    Row("ee-other", "3 1 1 of a certificate for another name: names do not count", "delivered", "dane",
        ("3 1 1 other",), "other"),
    Row("ee-two", "one of two records fits", "delivered", "dane", ("3 1 1 other", "3 1 1 leaf")),
    Row("ee-weak", "only SHA-256 fits where there is SHA-512", "waits", NO_FIT, ("3 1 1 leaf", "3 1 2 other")),
    # ---- usage 2: an anchor
    Row("ta", "2 0 1 of the authority, which is sent", "delivered", "dane", ("2 0 1 ca",), "leaf+ca"),
    Row("ta-key", "2 1 1 of an authority in between", "delivered", "dane", ("2 1 1 inter",), "below+inter"),
    Row("ta-domain", "2 0 1, the certificate is for the domain", "delivered", "dane", ("2 0 1 ca",), "domain+ca"),
    Row("ta-name", "2 0 1, the certificate is for another name", "waits", "but for other.example", ("2 0 1 ca",),
        "other+ca"),
    Row("ta-expired", "2 0 1, the certificate is of 2020", "waits", "it expired on 2020-02-01", ("2 0 1 ca",),
        "expired+ca"),
    Row("ta-forged", "2 0 1, a forged chain carries the real authority", "waits",
        "its issuer is not trusted here: CN=Test CA", ("2 0 1 ca",), "forged+ca"),
    Row("ta-forged-whole", "2 0 0, a forged chain", "waits", "its issuer is not trusted here: CN=Test CA", ("2 0 0 ca",),
        "forged+fake"),
    Row("ta-absent", "2 0 1 of an authority that is not sent", "waits", NO_FIT, ("2 0 1 ca",)),
    Row("ta-whole", "2 0 0 holds the authority, which is not sent", "delivered", "dane", ("2 0 0 ca",)),
    Row("ta-whole-key", "2 1 0 holds the authority's key, which is not sent", "delivered", "dane", ("2 1 0 ca",)),
    # ---- DNS
    Row("unsigned", "wrong TLSA records in a zone without DNSSEC are passed over", "delivered", "unverified",
        ("3 1 1 other",), signed=False),
    Row("bogus", "the signatures of the whole zone have expired", "waits", "MX", ("3 1 1 leaf",), broken=True),
    Row("bogus-tlsa", "the signature of the TLSA records is wrong", "waits", "cannot be looked up", ("3 1 1 leaf",),
        broken=("TLSA",)),
    Row("alias", "the MX is an alias, records stand at its end", "delivered", "dane",
        zone="@ MX 10 mx\nmx CNAME real\nreal A {mx}\n_{port}._tcp.real TLSA {3 1 1 leaf}"),
    Row("alias-own", "the MX is an alias, records stand at the MX", "delivered", "dane",
        zone="@ MX 10 mx\nmx CNAME real\nreal A {mx}\n_{port}._tcp.mx TLSA {3 1 1 leaf}"),
    Row("alias-away", "the MX is an alias into a zone without DNSSEC", "delivered", "dane",
        zone="@ MX 10 mx\nmx CNAME mx.elsewhere.test.\n_{port}._tcp.mx TLSA {3 1 1 leaf}"),
    Row("alias-away-wrong", "the same, records do not fit", "waits", NO_FIT,
        zone="@ MX 10 mx\nmx CNAME mx.elsewhere.test.\n_{port}._tcp.mx TLSA {3 1 1 other}"),
    Row("no-mx", "the domain is its own MX", "delivered", "dane", zone="@ A {mx}\n_{port}._tcp TLSA {3 1 1 leaf}"),
    Row("foreign", "the MX lies in a zone without DNSSEC", "delivered", "unverified", ("3 1 1 other",),
        zone="@ MX 10 mx.elsewhere.test.\n_{port}._tcp.mx TLSA {3 1 1 other}"),
    # ---- records that prove nothing
    Row("unusable", "usage 1 only: TLS is a must", "delivered", "unverified", ("1 1 1 other",)),
    Row("unusable-clear", "usage 1 only, and no STARTTLS", "waits", NO_TLS, ("1 1 1 leaf",), server={"offer": False}),
    Row("unusable-454", "usage 1 only, STARTTLS is refused", "waits", "454", ("1 1 1 leaf",), server=LIES),
    # ---- one MX after the other
    Row("second", "records of the first MX do not fit, the second has none", "delivered", "unverified",
        zone="@ MX 10 mx\n@ MX 20 mx.away.test.\nmx A {mx}\n_{port}._tcp.mx TLSA {3 1 1 other}"),
    # ---- downgrades
    Row("stripped", "TLSA records, and STARTTLS is not offered", "waits", NO_TLS, ("3 1 1 leaf",),
        server={"offer": False}),
    Row("refused-454", "TLSA records, STARTTLS is answered 454", "waits", "454 4.7.0 TLS not available",
        ("3 1 1 leaf",), server=LIES),
    Row("refused-502", "TLSA records, STARTTLS is answered 502", "waits", "502", ("3 1 1 leaf",),
        server={"answer": "502 5.5.1 what?"}),
    Row("injected", "TLSA records, an answer in clear text behind the 220", "waits", "bytes in clear text where TLS begins",
        ("3 1 1 leaf",), server={"behind": b"250-mx.test\r\n250 AUTH PLAIN\r\n"}),
    Row("garbage", "TLSA records, no TLS behind the 220", "waits", "TLS: the ", ("3 1 1 leaf",),
        server={"broken": "garbage"}),
    # ---- opportunistic: nothing was promised
    Row("open", "no records", "delivered", "unverified"),
    Row("open-expired", "no records, a certificate of 2020", "delivered", "unverified", chain="expired"),
    Row("open-clear", "no records, no STARTTLS", "delivered", "", server={"offer": False}),
    Row("open-454", "no records, STARTTLS is answered 454", "delivered", "", server=LIES),
    Row("open-garbage", "no records, no TLS behind the 220", "delivered", "", server={"broken": "garbage"}),
    Row("open-close", "no records, the server hangs up instead of TLS", "delivered", "", server={"broken": "close"}),
    Row("open-old", "no records, nothing newer than TLS 1.1", "delivered", "",
        server={"newest": ssl.TLSVersion.TLSv1_1}),
    Row("open-shown", "no records, the server wants a certificate, and we have none", "delivered", "",
        server={"client_ca": True}),
    # ---- tls = dane
    Row("dane", "records fit", "delivered", "dane", ("3 1 1 leaf",), config="tls = dane"),
    Row("dane-none", "there are no records", "waits", "has no TLSA records that are signed", config="tls = dane"),
    Row("dane-unsigned", "the zone has no DNSSEC", "waits", "are not signed", ("3 1 1 leaf",), signed=False,
        config="tls = dane"),
    Row("dane-unusable", "usage 1 only", "waits", "none of the TLSA records", ("1 1 1 leaf",), config="tls = dane"),
    # ---- tls = starttls
    Row("sure", "an authority of the file, a name below the domain", "delivered", "verified", signed=False,
        config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-mx", "the name of an MX that DNSSEC proves", "delivered", "verified", chain="away",
        zone="@ MX 10 mx.away.test.", config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-mx-unsigned", "the name of an MX that nothing proves", "waits", "it is not for sure-mx-unsigned.unsigned.test",
        chain="away", zone="@ MX 10 mx.away.test.", signed=False, config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-named", "the same, and tls_name says so", "delivered", "verified", chain="away", signed=False,
        zone="@ MX 10 mx.away.test.", config="tls = starttls tls_ca = \"{ca}\" tls_name = \".away.test\""),
    Row("sure-other", "a certificate for another name", "waits", "but for other.example", chain="other",
        config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-expired", "a certificate of 2020", "waits", "it expired on", chain="expired",
        config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-stranger", "another authority", "waits", "its issuer is not trusted here", chain="below",
        config="tls = starttls"),
    Row("sure-454", "STARTTLS is answered 454", "waits", "454", server=LIES,
        config="tls = starttls tls_ca = \"{ca}\""),
    Row("sure-dane", "TLSA records are a proof as good", "delivered", "dane", ("3 1 1 other",), "other",
        config="tls = starttls"),
    Row("pin", "the key is pinned", "delivered", "verified", ("3 1 1 other",), "expired",
        config="tls = starttls tls_pins = {\"{pin expired}\"}"),
    Row("pin-wrong", "another key is pinned", "waits", "fits none of tls_pins",
        config="tls = starttls tls_pins = {\"{pin other}\"}"),
    Row("waived", "tls_verify = no: anybody, but by TLS", "delivered", "unverified", ("3 1 1 other",), "expired",
        config="tls = starttls tls_verify = no"),
    Row("waived-clear", "tls_verify = no, and no STARTTLS", "waits", NO_TLS, server={"offer": False},
        config="tls = starttls tls_verify = no"),
    # ---- our own certificate
    Row("shown", "the server wants a certificate, and gets ours", "delivered", "dane", ("3 1 1 leaf",),
        server={"client_ca": True}, config="tls_certificate = \"{own}\" tls_key = \"{own key}\""),
    Row("not-shown", "the server wants a certificate, and we have none", "waits", "EHLO: ", ("3 1 1 leaf",),
        server={"client_ca": True}),
    # ---- REQUIRETLS (RFC 8689): proven, and passed on
    Row("requires", "to a server that DANE proves", "delivered", "dane", ("3 1 1 leaf",),
        server={"extensions": ("REQUIRETLS",)}, requires=True),
    Row("requires-more", "the server does not know REQUIRETLS", "fails", "no REQUIRETLS", ("3 1 1 leaf",),
        requires=True),
    Row("requires-proof", "to a server that nothing proves", "fails", "proves who it is, this one does not",
        server={"extensions": ("REQUIRETLS",)}, requires=True),
    Row("requires-usable", "to a server whose records prove nothing", "fails", "proves who it is, this one does not",
        ("1 1 1 leaf",), server={"extensions": ("REQUIRETLS",)}, requires=True),
]

CONFIG = """
mx {{ port = {port} mta_sts = no }}
route "rest" {{ via = {{"mx"}} }}
retry {{ first = 60s }}
reconnect {{ first = 60s max = 60s }}
timeouts {{ connect = 5s greeting = 5s command = 10s data = 10s }}
"""


class World:
    """All domains, servers and certificates of the table, and one agent that has sent a mail to each."""

    def __init__(self, scratch):
        self.scratch, self.port, self.servers, self.sent = scratch, free_port(), {}, {}
        self.make_certificates()
        self.zones = Zones(scratch)
        away = self.address(len(ROWS))
        self.zones.add("elsewhere.test", f"mx A {self.address(ROWS.index(row('alias-away')))}", signed=False)
        self.zones.add("away.test", f"mx A {away}")
        self.away = TlsServer(scratch, away, self.port, *self.chain("away"))
        texts = {"signed.test": "", "unsigned.test": ""}
        for n, one in enumerate(ROWS):
            text = self.zone_of(n, one)
            if one.broken:
                self.zones.add(one.domain, text, broken=one.broken)
            else:
                zone = one.domain.split(".", 1)[1]
                texts[zone] += f"$ORIGIN {one.domain}.\n{text}\n"
            self.servers[one.name] = self.start_server(n, one)
        for name, text in texts.items():
            self.zones.add(name, text, signed=name == "signed.test")
        self.zones.start()
        self.agent = self.start_agent()
        for one in ROWS:
            self.sent[one.name] = self.send(one)

    @staticmethod
    def address(n):
        return f"127.0.3.{n + 1}"

    # ---- certificates

    def make_certificates(self):
        names = [f"mx.{one.domain}" for one in ROWS]  # certtool takes up to 128
        folder = self.scratch.path
        self.ca, fake = Authority(folder / "ca"), Authority(folder / "fake")  # of the same name
        inter = self.ca.authority("Intermediate")
        self.made = {"ca": self.ca, "fake": fake, "inter": inter, "leaf": self.ca.issue(*names),
                     "away": self.ca.issue("mx.away.test"), "domain": self.ca.issue(row("ta-domain").domain),
                     "other": self.ca.issue("other.example"), "expired": self.ca.issue(*names, expired=True),
                     "below": inter.issue(*names), "forged": fake.issue(*names)}
        self.own = self.ca.issue("agent.example.org", client=True)

    def file(self, who):
        made = self.made[who]
        return made.file if isinstance(made, Authority) else made.leaf

    def chain(self, words):
        """"leaf+ca": a file with these, in this order, and the key of the first."""
        file = self.scratch.path / f"{words}.chain"
        file.write_text("".join(self.file(who).read_text() for who in words.split("+")))
        return file, self.made[words.split("+")[0]].key

    def record(self, text):
        usage, selector, matching, who = text.split()
        return tlsa(self.file(who), int(usage), int(selector), int(matching)).strip()

    # ---- zones, servers, the agent

    def zone_of(self, n, one):
        records = "".join(f"_{self.port}._tcp.mx TLSA {self.record(r)}\n" for r in one.records)
        zone = one.zone or "@ MX 10 mx\nmx A {mx}\n" + records
        zone = zone.replace("{mx}", self.address(n)).replace("{port}", str(self.port))
        return re.sub(r"\{(\d \d \d \w+)\}", lambda m: self.record(m.group(1)), zone)

    def start_server(self, n, one):
        options = dict(one.server)
        if options.pop("client_ca", False):
            options["client_ca"] = self.ca.file
        return TlsServer(self.scratch, self.address(n), self.port, *self.chain(one.chain), **options)

    def server(self, one):
        if "mx.elsewhere.test" in one.zone:
            return self.servers["alias-away"]
        return self.away if "mx.away.test" in one.zone else self.servers[one.name]

    def config_of(self, one):
        text = one.config.replace("{ca}", str(self.ca.file)).replace("{own}", str(self.own.chain))
        text = text.replace("{own key}", str(self.own.key))
        return re.sub(r"\{pin (\w+)\}", lambda m: "sha256:" + self.record(f"3 1 1 {m.group(1)}").split()[3], text)

    def start_agent(self):
        made, self.secure_port = self.ca.issue("localhost"), free_port()
        config = CONFIG.format(port=self.port) + self.zones.config()
        config += "".join(f'domain "{one.domain}" {{ {self.config_of(one)} }}\n' for one in ROWS if one.config)
        config += (f'listener "secure" {{ address = {{"127.0.0.1:{self.secure_port}"}} tls = starttls\n'
                   f'  certificate = "{made.chain}" key = "{made.key}" }}\n')
        return Agent(self.scratch, config).start()

    def send(self, one):
        mail = message(subject=one.name)
        with smtplib.SMTP("localhost", self.secure_port, timeout=30) as smtp:
            if one.requires:  # offered under TLS only
                smtp.starttls(context=ssl.create_default_context(cafile=self.ca.file))
            smtp.ehlo("client.example.org")
            for line in ("MAIL FROM:<alice@example.org>" + (" REQUIRETLS" if one.requires else ""),
                         f"RCPT TO:<bob@{one.domain}>"):
                code, text = smtp.docmd(line)
                assert code == 250, (line, text)
            code, text = smtp.data(mail)
            assert code == 250, text
        return key_of(mail), re.search(rb"queued as ([0-9a-z]{13})", text).group(1).decode()

    # ---- what came of it

    def history(self, one):
        return [h for h in self.agent.json("history") if h.get("id") == self.sent[one.name][1]]

    def why(self, one):
        return self.agent.ctl("why", self.sent[one.name][1], check=False).stdout

    def mails(self, one):
        key = self.sent[one.name][0].encode()
        return [m for s in [self.away, *self.servers.values()] for m in s.mails if key in m["body"]]

    def story(self, one):
        return f"{self.why(one)}\n{self.history(one)}\n{self.server(one).story()}\n" + "\n".join(
            line for line in self.agent.log().splitlines() if one.domain in line)


def row(name):
    return next(one for one in ROWS if one.name == name)


@pytest.fixture(scope="module")
def world():
    scratch = Scratch()
    try:
        yield World(scratch)
    finally:
        scratch.close()


SNI = {"alias": "real.alias.signed.test", "no-mx": "no-mx.signed.test", "foreign": "mx.elsewhere.test",
       **{one.name: "mx.away.test" for one in ROWS if "mx.away.test" in one.zone}}


@pytest.mark.parametrize("one", [one for one in ROWS if one.came_to == "delivered"], ids=lambda one: one.name)
def test_delivered(world, one):
    ended = until(lambda: world.history(one), lambda: world.story(one))[0]
    assert ended["outcome"] == "delivered", world.story(one)
    mail, = world.mails(one)
    if one.says:
        assert mail["tls"] and ended["tls"] == f"{mail['tls']['version']} {one.says}", world.story(one)
        assert mail["tls"]["sni"] == SNI.get(one.name, f"mx.{one.domain}"), mail
    else:
        assert not mail["tls"] and ended.get("tls", "") == "", world.story(one)
    assert ("REQUIRETLS" in mail["sender"]) == one.requires


@pytest.mark.parametrize("one", [one for one in ROWS if one.came_to == "waits"], ids=lambda one: one.name)
def test_waits(world, one):
    until(lambda: one.says in world.why(one), lambda: f"{one.says} in:\n{world.story(one)}")
    assert any(one.says in line for line in world.agent.log().splitlines() if f"mx:{one.domain} " in line)
    assert not world.mails(one) and not world.history(one)
    # Nothing but the way to TLS, in clear text.
    assert all(c.split(" ")[0] in ("EHLO", "STARTTLS", "QUIT") for c in world.servers[one.name].commands)


@pytest.mark.parametrize("one", [one for one in ROWS if one.came_to == "fails"], ids=lambda one: one.name)
def test_fails(world, one):
    ended = until(lambda: world.history(one), lambda: world.story(one))[0]
    assert ended["outcome"] == "bounced" and "5.7.30" in ended["reply"] and one.says in ended["reply"], ended
    assert not world.mails(one)


def test_the_second_mx_gets_what_the_first_is_not_proven_for(world):
    one = row("second")
    until(lambda: world.history(one), lambda: world.story(one))
    lines = [line for line in world.agent.log().splitlines() if "mx:second.signed.test" in line]
    assert any("next-address" in line and NO_FIT in line for line in lines), lines
    assert not world.servers["second"].mails


# ---------------------------------------------------------------- a resolver that says anything

def key_digest(file):
    key = run("openssl", "x509", "-in", file, "-noout", "-pubkey")
    return hashlib.sha256(run("openssl", "pkey", "-pubin", "-outform", "DER", stdin=key)).digest()


@pytest.mark.parametrize("answer", [
    Reply(rcode="SERVFAIL"), Reply(rcode="REFUSED"), Reply(rcode="FORMERR", authentic=True),
    Reply(("_{port}._tcp.mx.lies.test", "TLSA", b"\3\1"), authentic=True)],
    ids=["servfail", "refused", "formerr", "malformed"])
def test_tlsa_records_that_cannot_be_had_are_never_taken_for_none(scratch, answer):
    """And mail goes when they can be had."""
    port, ca, answers = free_port(), Authority(scratch.path / "ca"), {"TLSA": answer}
    made = ca.issue("mx.lies.test")
    answer.records = [(name.format(port=port), *rest) for name, *rest in answer.records]

    def say(name, kind, over_tcp):
        known = {("lies.test", "MX"): rdata("MX", 10, "mx.lies.test"), ("mx.lies.test", "A"): rdata("A", "127.0.3.1")}
        if kind == "TLSA":
            return answers["TLSA"]
        found = known.get((name, kind))
        return Reply(*([(name, kind, found)] if found else []), authentic=True)

    resolver = Faults(scratch, say)
    mx = TlsServer(scratch, "127.0.3.1", port, made.chain, made.key)
    agent = Agent(scratch, CONFIG.format(port=port) + resolver.config()).start()
    agent.send(to=["bob@lies.test"])
    ident = agent.json("list")[0]["id"]
    until(lambda: f"the TLSA records of _{port}._tcp.mx.lies.test cannot be looked up" in agent.ctl("why", ident).stdout,
          lambda: agent.ctl("why", ident).stdout + agent.log(), 60)
    assert not mx.commands
    answers["TLSA"] = Reply((f"_{port}._tcp.mx.lies.test", "TLSA", rdata("TLSA", 3, 1, 1, key_digest(made.leaf))),
                            authentic=True)
    agent.ctl("flush", "--all", "--yes")
    until(lambda: mx.mails, lambda: mx.story() + agent.log())
    until(lambda: [h for h in agent.json("history") if h.get("tls") == "TLSv1.3 dane"], agent.log)


def test_records_of_a_resolver_that_is_not_trusted_prove_nothing(scratch):
    """AD counts from a resolver of this machine, or where trust_ad says so; trust_ad = no says not even that."""
    port, ca = free_port(), Authority(scratch.path / "ca")
    made = ca.issue("mx.lies.test")

    def say(name, kind, over_tcp):
        known = {("lies.test", "MX"): rdata("MX", 10, "mx.lies.test"), ("mx.lies.test", "A"): rdata("A", "127.0.3.1"),
                 (f"_{port}._tcp.mx.lies.test", "TLSA"): rdata("TLSA", 3, 1, 1, bytes(32))}
        found = known.get((name, kind))
        return Reply(*([(name, kind, found)] if found else []))  # without AD

    resolver = Faults(scratch, say)
    mx = TlsServer(scratch, "127.0.3.1", port, made.chain, made.key)
    agent = Agent(scratch, CONFIG.format(port=port) + resolver.config()).start()
    agent.send(to=["bob@lies.test"])
    until(lambda: mx.mails, lambda: mx.story() + agent.log())
    assert not any(kind == "TLSA" for name, kind, over_tcp in resolver.asked)
    until(lambda: [h for h in agent.json("history") if h.get("tls") == "TLSv1.3 unverified"], agent.log)


def test_a_session_is_resumed_and_proven_again_and_never_under_other_records(scratch):
    port, ca = free_port(), Authority(scratch.path / "ca")
    made, other = ca.issue("mx.again.test"), ca.issue("mx.again.test")
    zones = Zones(scratch)
    zone = f"@ MX 10 mx\nmx A 127.0.3.1\n_{port}._tcp.mx TLSA "
    zones.add("again.test", zone + tlsa(made.leaf))
    zones.start()
    mx = TlsServer(scratch, "127.0.3.1", port, made.chain, made.key)
    agent = Agent(scratch, CONFIG.format(port=port) + "domain \"again.test\" { messages_per_connection = 1 }\n"
                  + zones.config()).start()
    for n in range(2):
        agent.send(to=["bob@again.test"])
        until(lambda: len(mx.mails) > n, lambda: mx.story() + agent.log())
    until(lambda: len([h for h in agent.json("history") if h.get("tls") == "TLSv1.3 dane"]) == 2, agent.log)
    assert [one["resumed"] for one in mx.sessions] == [False, True]
    zones.add("again.test", zone + tlsa(other.leaf))
    zones.reload()
    agent.ctl("reload")  # forgets what DNS said, and keeps the tickets
    agent.send(to=["bob@again.test"])
    until(lambda: NO_FIT in agent.log(), lambda: mx.story() + agent.log())
    assert len(mx.mails) == 2


@pytest.mark.parametrize("records, says", [(("3 1 1", "leaf"), "TLSv1.3 dane"), (("2 0 1", "ca"), "TLSv1.3 dane"),
                                           (("2 0 1", "leaf"), None)], ids=["3 1 1", "2 0 1", "2 0 1 of the wrong one"])
def test_postfix_proves_itself_by_dane(scratch, records, says):
    port, ca = free_port(), Authority(scratch.path / "ca")
    made = ca.issue("mx.real.test")
    made.chain.write_text(made.full.read_text())
    zones, (words, who) = Zones(scratch), records
    numbers = [int(word) for word in words.split()]
    zones.add("real.test", f"@ MX 10 mx\nmx A 127.0.3.1\n_{port}._tcp.mx TLSA "
              + tlsa(ca.file if who == "ca" else made.leaf, *numbers))
    zones.start()
    postfix = Postfix(scratch, port, address="127.0.3.1", certificate=made, mx=True)
    agent = Agent(scratch, CONFIG.format(port=port) + zones.config()).start()
    mail = agent.send(to=["bob@real.test"])
    if says:
        until(lambda: [m for m in postfix.messages() if key_of(m) == key_of(mail)], lambda: postfix.log() + agent.log())
        until(lambda: [h for h in agent.json("history") if h.get("tls") == says], agent.log)
    else:
        until(lambda: NO_FIT in agent.log(), agent.log)
        assert not postfix.messages()
