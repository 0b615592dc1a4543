"""MTA-STS (RFC 8461) and TLS reports (RFC 8460), with an HTTPS server, DNS and MX hosts on loopback.

Each row of the table is a domain of its own with its policy and one MX; one agent sends one mail to each. Then each must
have come to what its row says: in the history or in `sendoff why`, and in `sendoff tlsrpt`.
"""

import base64
import dataclasses
import datetime
import json
import pathlib
import re
import threading

import pytest
from certificates import Authority
from harness import Agent, Scratch, free_port, key_of, message, parse, until
from policyserver import Page, PolicyServer, policy
from tlsserver import TlsServer
from zones import Zones, tlsa

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
GOOD = object()  # a policy in mode "enforce" for the domain's MX


@dataclasses.dataclass
class Row:
    name: str                # the domain is NAME.test, its MX mx.NAME.test
    what: str                # happens there
    came_to: str             # "delivered" or "waits"
    says: str                # delivered: how TLS was proven, in the history; waits: words of why
    page: object = GOOD      # what the HTTPS server says; None: nothing
    mx: str = "leaf"         # the certificate of the MX; "" for no STARTTLS
    https: str = ""          # the certificate of the HTTPS server: "other" authority, wrong "name", "expired"
    txt: str = '_mta-sts TXT "v=STSv1; id=1;"'
    records: str = ""        # TLSA of the MX, in a signed zone
    counted: tuple = ("sts",)  # in the report: kind of policy, and the failure


def enforce(*mx):
    return Page(body=policy("enforce", *mx))


NOT_NAMED = "does not name"
UNKNOWN = "its issuer is not trusted"
NO_TLS = "does not offer STARTTLS"
OPEN = "unverified"
FETCH = ("no-policy-found", "sts-policy-fetch-error")
INVALID = ("no-policy-found", "sts-policy-invalid")
WEBPKI = ("no-policy-found", "sts-webpki-invalid")

ROWS = [
    # ---- enforce
    Row("good", "the MX is proven and named", "delivered", "mta-sts"),
    Row("star", "named by a pattern", "delivered", "mta-sts", enforce("other.example", "*.star.test")),
    Row("lf", "lines end in LF, parameters behind the type", "delivered", "mta-sts",
        Page(body=policy("enforce", "mx.lf.test", end="\n"), type="Text/Plain; charset=utf-8")),
    Row("wrong-name", "the MX has a certificate for another name", "waits", "other.example", mx="name",
        counted=("sts", "certificate-host-mismatch")),
    Row("wrong-ca", "the MX has a certificate of a stranger", "waits", UNKNOWN, mx="other",
        counted=("sts", "certificate-not-trusted")),
    Row("late", "the MX has a certificate of 2020", "waits", "expired", mx="expired",
        counted=("sts", "certificate-expired")),
    Row("clear", "the MX offers no TLS", "waits", NO_TLS, mx="", counted=("sts", "starttls-not-supported")),
    Row("unnamed", "the policy names another MX", "waits", NOT_NAMED, enforce("mx2.unnamed.test"),
        counted=("sts", "validation-failure")),
    Row("deep-star", "a pattern does not fit two labels", "waits", NOT_NAMED, enforce("*.test"),
        counted=("sts", "validation-failure")),
    # ---- testing and none
    Row("testing", "mode testing, the MX is proven", "delivered", "", Page(body=policy("testing", "mx.testing.test"))),
    Row("testing-name", "mode testing, another name", "delivered", "",
        Page(body=policy("testing", "mx.testing-name.test")), mx="name", counted=("sts", "certificate-host-mismatch")),
    Row("testing-mx", "mode testing, another MX", "delivered", "", Page(body=policy("testing", "x.example")),
        counted=("sts", "validation-failure")),
    Row("none", "mode none", "delivered", OPEN, Page(body=policy("none")), mx="other", counted=("no-policy-found",)),
    # ---- no policy can be had: as if there were none
    Row("absent", "404", "delivered", OPEN, None, mx="other", counted=FETCH),
    Row("redirect", "a redirect to a good policy", "delivered", OPEN,
        Page(301, headers={"Location": "https://mta-sts.good.test/.well-known/mta-sts.txt"}), mx="other",
        counted=FETCH),
    Row("html", "text/html", "delivered", OPEN, Page(body=policy("enforce", "mx.html.test"), type="text/html"),
        mx="other", counted=INVALID),
    Row("large", "larger than a policy may be", "delivered", OPEN,
        Page(body=policy("enforce", "mx.large.test") + "x" * 70000), mx="other", counted=FETCH),
    Row("broken", "a policy without max_age", "delivered", OPEN,
        Page(body="version: STSv1\nmode: enforce\nmx: mx.broken.test\n"), mx="other", counted=INVALID),
    Row("https-ca", "HTTPS by a stranger", "delivered", OPEN, mx="other", https="other", counted=WEBPKI),
    Row("https-name", "HTTPS for another name", "delivered", OPEN, mx="other", https="name", counted=WEBPKI),
    Row("https-late", "HTTPS of 2020", "delivered", OPEN, mx="other", https="expired", counted=WEBPKI),
    # ---- no record: nobody asks
    Row("no-txt", "no TXT record", "delivered", OPEN, mx="other", txt="", counted=("no-policy-found",)),
    Row("two-txt", "two of them", "delivered", OPEN, mx="other", counted=("no-policy-found",),
        txt='_mta-sts TXT "v=STSv1; id=1;"\n_mta-sts TXT "v=STSv1; id=2;"'),
    Row("bad-txt", "one without id", "delivered", OPEN, mx="other", txt='_mta-sts TXT "v=STSv1;"',
        counted=("no-policy-found",)),
    Row("odd-txt", "another TXT beside it, in two strings", "delivered", "mta-sts",
        txt='_mta-sts TXT "hello"\n_mta-sts TXT "v=STSv1; " "id=1"'),
    # ---- DANE comes first (RFC 8461, 2)
    Row("dane", "TLSA fits, the name does not", "delivered", "dane", mx="name", records="fits", counted=("tlsa",)),
    Row("dane-wrong", "TLSA does not fit, the policy would do", "waits", "no TLSA record fits", records="wrong",
        counted=("tlsa", "tlsa-invalid")),
]

CONFIG = """
mx {{ port = {port} tls_ca = "{ca}" mta_sts_ca = "{ca}" mta_sts_port = {https} {mx} }}
route "rest" {{ via = {{"mx"}} }}
retry {{ first = 60s }}
reconnect {{ first = {reconnect} max = 60s }}
timeouts {{ connect = 5s greeting = 5s command = 10s data = 10s }}
"""


class Bed:
    """DNS, HTTPS and certificates; MX hosts and an agent as a test asks for them."""

    def __init__(self, scratch, domains):
        self.scratch, self.port = scratch, free_port()
        self.ca, self.fake = Authority(scratch.path / "ca"), Authority(scratch.path / "fake", "Strange CA")
        self.https = PolicyServer(scratch, self.ca.issue(*(f"mta-sts.{d}" for d in domains)))
        self.zones = Zones(scratch)
        self.servers, self.agent = {}, None

    def certificate(self, who, *names):
        if who == "name":
            return self.ca.issue("other.example")
        if who == "other":
            return self.fake.issue(*names)
        return self.ca.issue(*names, expired=who == "expired")

    def mx(self, domain, address, who="leaf", port=None):
        made = self.certificate(who or "leaf", f"mx.{domain}")
        self.servers[domain] = TlsServer(self.scratch, address, port or self.port, made.chain, made.key,
                                         offer=bool(who))
        return made

    def zone(self, domain, address, txt, more="", signed=False, ttl=300):
        self.zones.add(domain, f"@ MX 10 mx\nmx A {address}\nmta-sts A 127.0.0.1\n{txt}\n{more}", signed=signed,
                       ttl=ttl)

    def start(self, more="", env=None, reconnect="60s", mx=""):
        self.agent = Agent(self.scratch, CONFIG.format(port=self.port, ca=self.ca.file, https=self.https.port,
                                                       reconnect=reconnect, mx=mx) + self.zones.config() + more,
                           env=env)
        return self.agent.start()

    def send(self, domain):
        mail = message(subject=domain)
        self.agent.send(mail, to=(f"bob@{domain}",))
        return key_of(mail)

    def arrived(self, domain, key):
        return [m for m in self.servers[domain].mails if key.encode() in m["body"]]

    def history(self, domain):
        return [h for h in self.agent.json("history") if h.get("recipient") == f"bob@{domain}"]

    def why(self, domain):
        for one in self.agent.json("list"):
            if one.get("id") and domain in json.dumps(one):
                return self.agent.ctl("why", one["id"], check=False).stdout
        return ""

    def story(self, domain):
        return f"{self.why(domain)}\n{self.servers[domain].story()}\n{self.https.asked}\n" + "\n".join(
            line for line in self.agent.log().splitlines() if domain in line)

    def reports(self, domain, day="today"):
        return [r["report"] for r in self.agent.json("tlsrpt", "--day", day, domain) if r.get("type") == "tls-report"]


@pytest.fixture(scope="module")
def world():
    scratch = Scratch()
    try:
        bed = Bed(scratch, [f"{one.name}.test" for one in ROWS])
        for n, one in enumerate(ROWS):
            domain, address = f"{one.name}.test", f"127.0.5.{n + 1}"
            made = bed.mx(domain, address, one.mx)
            wrong = bed.certificate("other", "x.example")
            more = "" if not one.records else f"_{bed.port}._tcp.mx TLSA " + tlsa(
                made.leaf if one.records == "fits" else wrong.leaf)
            bed.zone(domain, address, one.txt, more, signed=bool(one.records))
            if one.page:
                bed.https.pages[f"mta-sts.{domain}"] = enforce(f"mx.{domain}") if one.page is GOOD else one.page
            if one.https:
                bed.https.certificate(f"mta-sts.{domain}", bed.certificate(one.https, f"mta-sts.{domain}"))
        bed.zones.start()
        bed.start('log_level = "debug"\n')
        bed.keys = {one.name: bed.send(f"{one.name}.test") for one in ROWS}
        yield bed
    finally:
        scratch.close()


@pytest.mark.parametrize("one", ROWS, ids=lambda one: one.name)
def test_what_a_policy_does(world, one):
    domain = f"{one.name}.test"
    if one.came_to == "delivered":
        ended = until(lambda: world.history(domain), lambda: world.story(domain))[0]
        mail, = world.arrived(domain, world.keys[one.name])
        assert ended["outcome"] == "delivered" and mail["tls"], world.story(domain)
        assert ended["tls"].endswith(one.says), ended
    else:
        until(lambda: one.says in world.why(domain), lambda: f"{one.says} in:\n{world.story(domain)}")
        assert not world.servers[domain].mails and not world.history(domain)
        # Whose promise it is, and whom to tell: no line of the configuration demands it.
        assert f"{domain} has published" in world.why(domain), world.why(domain)
        assert all(c.split(" ")[0] in ("EHLO", "STARTTLS", "QUIT") for c in world.servers[domain].commands)
    # Once is enough: whoever asks shares the answer.
    assert world.https.times(domain) <= 1
    assert world.https.times(domain) == (one.counted[0] in ("sts", "tlsa") or len(one.counted) > 1
                                         or one.name == "none") - (one.counted == WEBPKI), world.story(domain)


@pytest.mark.parametrize("one", ROWS, ids=lambda one: one.name)
def test_what_is_reported_of_it(world, one):
    domain = f"{one.name}.test"
    until(lambda: world.history(domain) or one.says in world.why(domain), lambda: world.story(domain))
    report, = world.reports(domain)
    policies, = report["policies"]
    failed, well = (policies["summary"][f"total-{w}-session-count"] for w in ("failure", "successful"))
    assert policies["policy"]["policy-type"] == one.counted[0], report
    assert policies["policy"]["policy-domain"] == domain
    if one.counted[0] == "sts":
        assert "version: STSv1" in policies["policy"]["policy-string"]
        assert policies["policy"]["mx-host"]
    if one.counted[0] == "tlsa":
        assert policies["policy"]["policy-string"][0].startswith("3 1 1 ")
    if len(one.counted) == 1:
        assert (failed, well) == (0, 1) and "failure-details" not in policies, report
    else:
        details = policies["failure-details"]
        assert failed >= 1 and well == 0 and details[0]["result-type"] == one.counted[1], report
        assert details[0]["receiving-mx-hostname"] == f"mx.{domain}"
        assert not details[0].get("failure-reason-code", "").startswith("mx."), details


# ---------------------------------------------------------------- as time goes by

@pytest.fixture
def bed(scratch):
    def make(*domains):
        return Bed(scratch, domains)
    return make


def test_a_policy_with_a_new_id_is_fetched_and_followed(bed):
    b = bed("a.test")
    b.mx("a.test", "127.0.5.1")
    b.https.policy("a.test", "enforce", "mx.a.test")
    b.zone("a.test", "127.0.5.1", '_mta-sts TXT "v=STSv1; id=1;"', ttl=1)
    b.zones.start()
    b.start(mx="messages_per_connection = 1")
    until(lambda key=b.send("a.test"): b.arrived("a.test", key), lambda: b.story("a.test"))
    assert b.https.times("a.test") == 1
    # The page alone changes nothing, as long as the id is the same.
    b.https.policy("a.test", "enforce", "mx2.a.test")
    until(lambda key=b.send("a.test"): b.arrived("a.test", key), lambda: b.story("a.test"))
    assert b.https.times("a.test") == 1
    b.zone("a.test", "127.0.5.1", '_mta-sts TXT "v=STSv1; id=2;"', ttl=1)
    b.zones.reload()

    def waits():
        key = b.send("a.test")
        until(lambda: b.arrived("a.test", key) or b.why("a.test"), lambda: b.story("a.test"))
        return NOT_NAMED in b.why("a.test")

    until(waits, lambda: b.story("a.test"))
    assert b.https.times("a.test") == 2


def test_a_kept_policy_is_followed_after_a_restart_whatever_dns_and_https_say(bed):
    b = bed("a.test", "b.test")
    for domain, address, age in (("a.test", "127.0.5.1", 86400), ("b.test", "127.0.5.2", 1)):
        b.mx(domain, address)
        b.https.policy(domain, "enforce", f"mx.{domain}", max_age=age)
        b.zone(domain, address, '_mta-sts TXT "v=STSv1; id=1;"', ttl=1)
    b.zones.start()
    b.start(reconnect="1s")
    for domain in ("a.test", "b.test"):
        until(lambda d=domain, key=b.send(domain): b.arrived(d, key), lambda d=domain: b.story(d))
    b.agent.stop()
    # Now a stranger sits in the place of the MX, has the page taken away and the record changed or removed.
    b.https.stop()
    for domain, address, txt in (("a.test", "127.0.5.1", ""), ("b.test", "127.0.5.2", '_mta-sts TXT "v=STSv1; id=2;"')):
        b.servers[domain].stop()
        b.mx(domain, address, "other")
        b.zone(domain, address, txt, ttl=1)
    b.zones.reload()
    b.agent.start()
    kept, over = b.send("a.test"), b.send("b.test")
    until(lambda: UNKNOWN in b.why("a.test"), lambda: b.story("a.test"))
    # The other policy was good for a second only: over, and none can be had, so it is as if there were none.
    until(lambda: b.arrived("b.test", over), lambda: b.story("b.test"))
    assert not b.arrived("a.test", kept)
    assert re.search(r"mta-sts-failed domain=b\.test result=sts-policy-fetch-error", b.agent.log())


def test_a_short_policy_is_fetched_again_before_mail_goes_without_it(bed):
    b = bed("a.test")
    b.mx("a.test", "127.0.5.1")
    b.https.policy("a.test", "enforce", "mx.a.test", max_age=2)
    b.zone("a.test", "127.0.5.1", '_mta-sts TXT "v=STSv1; id=1;"', ttl=300)
    b.zones.start()
    b.start(mx="messages_per_connection = 1")

    def again():
        key = b.send("a.test")
        until(lambda: b.arrived("a.test", key), lambda: b.story("a.test"))
        return b.https.times("a.test") >= 2

    until(again, lambda: b.story("a.test"))
    assert all(ended["tls"].endswith("mta-sts") for ended in b.history("a.test")), b.history("a.test")


class SlowPage(Page):
    """One that takes a while, so that many are asked for at once."""

    @property
    def status(self):
        threading.Event().wait(0.3)
        return 200

    @status.setter
    def status(self, _):
        pass


def test_who_has_to_wait_for_a_policy_does_not_go_without_it(bed):
    domains = [f"d{n}.many.test" for n in range(100)]
    b = bed(*domains)
    b.mx("many.test", "127.0.5.1", "")
    b.zones.add("many.test", "mx A 127.0.5.1\n" + "".join(
        f"d{n} MX 10 mx\nmta-sts.d{n} A 127.0.0.1\n_mta-sts.d{n} TXT \"v=STSv1; id=1;\"\n" for n in range(100)),
        signed=False)
    for domain in domains:
        b.https.pages[f"mta-sts.{domain}"] = SlowPage(body=policy("enforce", "mx.elsewhere.example"))
    b.zones.start()
    b.start()
    b.agent.send(message(subject="to many"), to=tuple(f"bob@{domain}" for domain in domains))
    until(lambda: len(set(re.findall(r"failing lane=mx:(d\d+)\.many\.test", b.agent.log()))) == 100
          or b.servers["many.test"].mails, lambda: b.agent.log()[-3000:])
    assert not b.servers["many.test"].mails, b.agent.log()[-3000:]
    assert "mta-sts-failed" not in b.agent.log()


def test_who_does_not_want_policies_asks_for_none(bed):
    b = bed("a.test")
    b.mx("a.test", "127.0.5.1", "other")
    b.https.policy("a.test", "enforce", "mx.a.test")
    b.zone("a.test", "127.0.5.1", '_mta-sts TXT "v=STSv1; id=1;"')
    b.zones.start()
    b.start('domain "a.test" { mta_sts = no }\n')
    until(lambda key=b.send("a.test"): b.arrived("a.test", key), lambda: b.story("a.test"))
    assert b.https.times("a.test") == 0


# ---------------------------------------------------------------- reports

def report_of(mail):
    """The JSON in a mail with a report, and the mail."""
    mail = parse(mail["body"])
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "tlsrpt"
    words, data = mail.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert data.get_content_type() == "application/tlsrpt+json"
    return json.loads(base64.b64decode(data.get_payload())), data.get_filename(), mail


def test_yesterdays_report_goes_once_to_those_who_ask(bed):
    if not FAKETIME.exists():
        pytest.skip("libfaketime is missing: tests/install-deps test installs faketime")
    b = bed("a.test")
    b.mx("a.test", "127.0.5.1")
    b.mx("quiet.test", "127.0.5.2")
    b.zone("a.test", "127.0.5.1", 
           f'_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@a.test," "https://mta-sts.a.test:{b.https.port}/v1/report"')
    b.zone("quiet.test", "127.0.5.2", "")
    b.zones.start()
    more = 'tlsrpt { send = yes organization = "Example" contact = "tls@example.org" from = "reports@example.org" }\n'
    b.start(more + 'log_level = "debug"\n')
    for domain in ("a.test", "quiet.test"):
        until(lambda d=domain, key=b.send(domain): b.arrived(d, key), lambda d=domain: b.story(d))
    day = datetime.date.fromisoformat(b.agent.json("tlsrpt", "--day", "today")[0]["day"])
    b.agent.stop()
    # At noon of the next day it is due, whatever the delay after midnight; and the day after nothing new is.
    libfaketime = {"LD_PRELOAD": str(FAKETIME), "TZ": "UTC", "DONT_FAKE_MONOTONIC": "1"}

    def go_to(days):
        b.agent.env.update(libfaketime, FAKETIME=f"@{day + datetime.timedelta(days=days)} 12:00:00")
        b.agent.start()

    go_to(1)
    until(lambda: len(b.servers["a.test"].mails) == 2 and b.https.posted, lambda: b.story("a.test"))
    report, name, mail = report_of(b.servers["a.test"].mails[1])
    assert (mail["From"], mail["To"]) == ("reports@example.org", "tls@a.test")
    assert mail["TLS-Report-Domain"] == "a.test" and mail["TLS-Report-Submitter"] == "agent.example.org"
    assert mail["TLS-Required"] == "No" and "Report Domain: a.test" in mail["Subject"]
    assert name.startswith("agent.example.org!a.test!") and name.endswith(".json")
    assert report["organization-name"] == "Example" and report["contact-info"] == "tls@example.org"
    assert report["date-range"] == {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
    assert [p["policy"]["policy-type"] for p in report["policies"]] == ["no-policy-found"]
    assert report["policies"][0]["summary"] == {"total-successful-session-count": 1, "total-failure-session-count": 0}
    host, kind, body = b.https.posted[0]
    assert (host, kind) == ("mta-sts.a.test", "application/tlsrpt+json") and json.loads(body) == report
    assert b.reports("a.test", "yesterday") == [report]
    # Our own mail was a session, too; it is printed, but makes no report.
    until(lambda: b.reports("a.test"), lambda: b.story("a.test"))
    b.agent.drain()
    b.agent.stop()
    go_to(1)
    until(lambda: "tls-report-round" in b.agent.log().split("started")[-1], lambda: b.agent.log()[-2000:])
    b.agent.stop()
    go_to(2)
    until(lambda: "tls-report-round" in b.agent.log().split("started")[-1], lambda: b.agent.log()[-2000:])
    assert len(b.servers["a.test"].mails) == 2 and len(b.https.posted) == 1
    assert len(b.servers["quiet.test"].mails) == 1
    assert len(b.agent.json("tlsrpt", "--day", str(day))) == 3


def test_the_report_is_read_by_people_and_by_whom_it_concerns(bed):
    b = bed("a.test")
    b.mx("a.test", "127.0.5.1", "other")
    b.https.policy("a.test", "enforce", "mx.a.test")
    b.zone("a.test", "127.0.5.1", '_mta-sts TXT "v=STSv1; id=1;"')
    b.zones.start()
    b.start()
    assert "No TLS sessions" in b.agent.ctl("tlsrpt").stdout
    b.send("a.test")
    until(lambda: UNKNOWN in b.why("a.test"), lambda: b.story("a.test"))
    words = b.agent.ctl("tlsrpt", "--day", "today").stdout
    assert re.search(r"^a\.test\n  sts +0 as they should be, 1 not\n    1 x certificate-not-trusted at mx\.a\.test "
                     r"\[127\.0\.5\.1\]: ", words), words
    assert b.agent.ctl("tlsrpt", "--day", "today", "A.TEST").stdout == words
    assert "towards b.test" in b.agent.ctl("tlsrpt", "--day", "today", "b.test").stdout
    for bad in (("--day", "soon"), ("--day", "2026-02-30"), ("--day", "today", "..")):
        assert b.agent.ctl("tlsrpt", *bad, check=False).returncode == 64
    # It survives a restart.
    b.agent.stop()
    b.agent.start()
    report, = b.reports("a.test")
    assert report["policies"][0]["summary"]["total-failure-session-count"] >= 1
