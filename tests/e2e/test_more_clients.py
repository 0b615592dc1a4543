"""Every client that people use hands in every kind of mail it can, in clear text on loopback and logged in over both
kinds of TLS; what it gave is what arrives.

Programs that send what they are given are compared byte for byte; those that write the message themselves by what a
reader sees.
"""

import base64
import email.message
import os
import re
import shutil
import smtplib
import ssl
import subprocess
from dataclasses import dataclass

import pytest
from harness import BUILD, Agent, Sink, free_port, key_of, message, parse, until, without_trace

USER, PASSWORD = "alice", "correct horse, Batterie"
ATTACHMENT = bytes(range(256)) * 50


@dataclass
class Way:
    """How a client reaches the agent."""

    tls: str  # none, starttls, implicit
    port: int
    ca: str
    agent: Agent
    sink: Sink

    @property
    def login(self):
        return self.tls != "none"


def make_certificate(folder):
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem", "-out",
            "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)


def make_way(scratch, tls):
    sink = Sink(scratch, tls="none", auth=None)
    config = sink.smarthost()
    port = None
    if tls != "none":
        port = free_port()
        make_certificate(scratch.path)
        users = scratch.path / "users"
        subprocess.run([BUILD / "sendoff", "user", "add", USER, "--file", users, "--password-stdin"], check=True,
                       input=PASSWORD.encode() + b"\n", capture_output=True, timeout=60)
        config += (f'listener "office" {{ address = {{"127.0.0.1:{port}"}} tls = {tls}\n'
                   f'    certificate = "{scratch.path}/cert.pem" key = "{scratch.path}/key.pem"\n'
                   f'    auth = required users = "{users}" }}\n')
    agent = Agent(scratch, config).start()
    return Way(tls, port or agent.port, str(scratch.path / "cert.pem"), agent, sink)


@pytest.fixture(params=["none", "starttls", "implicit"])
def way(scratch, request):
    return make_way(scratch, request.param)


@pytest.fixture
def local(scratch):
    return make_way(scratch, "none")


def run(argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=60, **more)
    assert done.returncode == 0, (done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    return done


def needs(program):
    if not shutil.which(program):
        pytest.fail(f"{program} is missing: tests/install-deps test should have installed it")


def arrived(way, count=1):
    return until(lambda: len(way.sink.messages()) >= count and len(way.sink.envelopes()) >= count
                 and way.sink.messages(),
                 lambda: f"{count} messages, there are {len(way.sink.messages())}\n{way.agent.log()[-2000:]}")


# ---------------------------------------------------------------- programs that send what they are given


@dataclass
class Mail:
    kind: str
    raw: bytes
    sender: str = "alice@example.org"
    to: str = "bob@example.net"


def mail_of(kind):
    if kind == "plain":
        return Mail(kind, message(body=b"hello\r\n.\r\n..\r\nFrom here\r\n"))
    if kind == "attachment":
        m = email.message.EmailMessage()
        m.set_content("see there\n")
        m.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="data.bin")
        return Mail(kind, b"X-Key: " + os.urandom(8).hex().encode() + b"\r\nFrom: alice@example.org\r\nDate: Tue, 24 Nov "
                    b"2026 05:30:00 +0000\r\nMessage-ID: <1@example.org>\r\n" + m.as_bytes(policy=email.policy.SMTP))
    if kind == "utf8":
        raw = message(subject="Grüße", body="Grüße\r\n", From="Jörg <jörg@bücher.example>",
                      Content_Type="text/plain; charset=utf-8", Content_Transfer_Encoding="8bit")
        return Mail(kind, raw, "jörg@bücher.example", "δοκιμή@example.net")
    if kind == "8bit":
        return Mail(kind, message(body="Grüße aus Köln\r\n", Content_Type="text/plain; charset=utf-8",
                                  Content_Transfer_Encoding="8bit"))
    return Mail(kind, message(body=bytes(range(256)) * 4, Content_Type="application/octet-stream",
                              Content_Transfer_Encoding="binary"))


def by_smtplib(way, mail, folder):
    context = ssl.create_default_context(cafile=way.ca) if way.login else None
    if way.tls == "implicit":
        smtp = smtplib.SMTP_SSL("127.0.0.1", way.port, timeout=30, context=context)
    else:
        smtp = smtplib.SMTP("127.0.0.1", way.port, timeout=30)
    with smtp:
        if way.tls == "starttls":
            smtp.starttls(context=context)
        if way.login:
            smtp.login(USER, PASSWORD)
        smtp.ehlo()
        if mail.kind == "binary":
            smtp.mail(mail.sender, ["BODY=BINARYMIME"])
            smtp.rcpt(mail.to)
            smtp.send(b"BDAT 100\r\n" + mail.raw[:100] + b"BDAT %d LAST\r\n" % (len(mail.raw) - 100) + mail.raw[100:])
            assert smtp.getreply()[0] == smtp.getreply()[0] == 250
        else:
            smtp.sendmail(mail.sender, mail.to, mail.raw,
                          {"utf8": ["SMTPUTF8", "BODY=8BITMIME"], "8bit": ["BODY=8BITMIME"]}.get(mail.kind, []))


def by_swaks(way, mail, folder):
    needs("swaks")
    tls = {"none": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[way.tls]
    login = ["--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD] if way.login else []
    (folder / "data").write_bytes(mail.raw.removesuffix(b"\r\n"))  # it puts one there
    run(["swaks", "--silent", "1", "--server", "127.0.0.1", "--port", way.port, *tls, *login, "--from", mail.sender,
         "--to", mail.to, "--data", f"@{folder / 'data'}"])


def by_curl(way, mail, folder):
    needs("curl")
    (folder / "data").write_bytes(mail.raw)
    login = ["--user", f"{USER}:{PASSWORD}", "--cacert", way.ca] if way.login else []
    run(["curl", "--silent", "--show-error", "--url",
         f"{'smtps' if way.tls == 'implicit' else 'smtp'}://localhost:{way.port}/client.example.org", *login,
         *(["--ssl-reqd"] if way.tls == "starttls" else []), "--mail-from", mail.sender, "--mail-rcpt", mail.to,
         "--upload-file", folder / "data"])


def by_msmtp(way, mail, folder):
    needs("msmtp")
    tls = ["--tls=on", f"--tls-starttls={'on' if way.tls == 'starttls' else 'off'}", f"--tls-trust-file={way.ca}",
           "--auth=plain", f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'"] if way.login else ["--auth=off"]
    run(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={way.port}", *tls, f"--from={mail.sender}", "--",
         mail.to], input=mail.raw)


PERL = r"""
use strict; use warnings; use Net::SMTP;
my ($port, $tls, $ca, $user, $password, $from, $to, $bits, $file) = @ARGV;
my $raw = do { open my $in, '<:raw', $file or die $!; local $/; <$in> };
my %tls = (SSL_ca_file => $ca, SSL_verifycn_name => 'localhost');
my $smtp = Net::SMTP->new('127.0.0.1', Port => $port, Timeout => 30, $tls eq 'implicit' ? (SSL => 1, %tls) : ())
    or die "connect: $@";
if ($tls eq 'starttls') { $smtp->starttls(%tls) or die 'starttls: ' . $smtp->message }
if ($tls ne 'none') { $smtp->auth($user, $password) or die 'auth: ' . $smtp->message }
$smtp->mail($from, $bits ? (Bits => $bits) : ()) or die 'mail: ' . $smtp->message;
$smtp->to($to) or die 'to: ' . $smtp->message;
if ($bits eq 'binary') {
    $smtp->bdat(substr $raw, 0, 100) && $smtp->bdatlast(substr $raw, 100) or die 'bdat: ' . $smtp->message;
} else {
    $raw =~ s/\r\n/\n/g;
    $smtp->data($raw) or die 'data: ' . $smtp->message;
}
$smtp->quit or die;
"""


def by_net_smtp(way, mail, folder):
    needs("perl")
    (folder / "data").write_bytes(mail.raw)
    run(["perl", "-e", PERL, way.port, way.tls, way.ca, USER, PASSWORD, mail.sender, mail.to,
         {"8bit": "8", "binary": "binary"}.get(mail.kind, ""), folder / "data"])


class Typist:
    """Types a session into a program that only makes the connection."""

    def __init__(self, argv):
        self.child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)

    def reply(self):
        """The last line of the next reply; what the program says itself is passed over."""
        while True:
            line = self.child.stdout.readline()
            assert line, "the program has ended"
            if re.match(rb"\d\d\d ", line):
                return line.decode()

    def type(self, data, code):
        self.child.stdin.write(data)
        self.child.stdin.flush()
        reply = self.reply()
        assert reply.startswith(code), (data[:100], reply)

    def session(self, mail, greeting):
        """In small letters: openssl takes a line that begins with R or Q for itself."""
        if greeting:
            assert self.reply().startswith("220")
        plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
        options = {"utf8": " smtputf8 body=8bitmime", "8bit": " body=8bitmime", "binary": " body=binarymime"}
        self.type(b"ehlo client.example.org\r\n", "250")
        self.type(b"auth plain " + plain + b"\r\n", "235")
        self.type(f"mail from:<{mail.sender}>{options.get(mail.kind, '')}\r\n".encode(), "250")
        self.type(f"rcpt to:<{mail.to}>\r\n".encode(), "250")
        if mail.kind == "binary":
            self.type(b"bdat %d last\r\n" % len(mail.raw) + mail.raw, "250")
        else:
            self.type(b"data\r\n", "354")
            self.type(re.sub(rb"(?m)^\.", b"..", mail.raw) + b".\r\n", "250")
        self.type(b"quit\r\n", "221")
        self.child.stdin.close()
        self.child.wait(timeout=30)


def by_openssl(way, mail, folder):
    starttls = ["-starttls", "smtp"] if way.tls == "starttls" else []
    # -starttls has read all up to the end of its own handshake, the greeting too.
    Typist(["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{way.port}", "-CAfile", way.ca,
            "-verify_return_error", *starttls]).session(mail, way.tls == "implicit")


def by_gnutls_cli(way, mail, folder):
    needs("gnutls-cli")
    starttls = ["--starttls-proto=smtp"] if way.tls == "starttls" else []
    Typist(["gnutls-cli", "--x509cafile", way.ca, "--port", str(way.port), *starttls,
            "localhost"]).session(mail, way.tls == "implicit")


RAW = {
    "smtplib": (by_smtplib, ["plain", "attachment", "utf8", "8bit", "binary"], True),
    "swaks": (by_swaks, ["plain", "attachment", "8bit"], True),
    "curl": (by_curl, ["plain", "attachment", "utf8", "8bit"], True),
    "msmtp": (by_msmtp, ["plain", "attachment", "8bit"], True),
    "Net::SMTP": (by_net_smtp, ["plain", "attachment", "8bit", "binary"], True),
    "openssl": (by_openssl, ["plain", "attachment", "utf8", "8bit", "binary"], False),
    "gnutls-cli": (by_gnutls_cli, ["plain", "attachment", "utf8", "8bit"], False),
}


@pytest.mark.parametrize("client", RAW)
def test_what_is_given_arrives_byte_for_byte(way, client, tmp_path):
    send, kinds, clear = RAW[client]
    if not way.login and not clear:
        return
    mails = [mail_of(kind) for kind in kinds]
    for mail in mails:
        send(way, mail, tmp_path)
    arrived(way, len(mails))
    got = {key_of(raw): without_trace(raw) for raw in way.sink.messages()}
    for mail in mails:
        assert got[key_of(mail.raw)] == mail.raw, f"{mail.kind}\n{got[key_of(mail.raw)][:2000]!r}"
    # curl writes the domain in its ASCII form.
    senders = sorted(e["sender"].replace("xn--bcher-kva", "bücher") for e in way.sink.envelopes())
    assert senders == sorted(m.sender for m in mails)


# ---------------------------------------------------------------- programs that write the message


def the_one(way, subject):
    """What arrived under this subject, as a reader sees it."""
    found = [parse(raw) for raw in way.sink.messages()]
    found = [m for m in found if m["Subject"] == subject]
    assert len(found) == 1, (subject, [m["Subject"] for m in found])
    return found[0]


def text_of(mail):
    return mail.get_content().replace("\r\n", "\n").rstrip("\n") + "\n"


def attachment_of(mail, name):
    return [p for p in mail.walk() if p.get_filename() == name][0].get_content()


NODE = r"""
const nodemailer = require('nodemailer'), fs = require('fs');
const [port, tls, ca, user, pass, file] = process.argv.slice(1);
const transport = nodemailer.createTransport({
    host: '127.0.0.1', port: Number(port), secure: tls === 'implicit', requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none', auth: tls === 'none' ? undefined : { user, pass },
    tls: tls === 'none' ? undefined : { ca: fs.readFileSync(ca), servername: 'localhost' } });
const from = 'Alice <alice@example.org>', to = 'bob@example.net';
(async () => {
    await transport.sendMail({ from, to, subject: 'plain', text: 'hello\n.\nthere\n' });
    await transport.sendMail({ from, to, subject: 'attachment', text: 'see there', html: '<p>see there</p>',
        attachments: [{ filename: 'data.bin', path: file }] });
    await transport.sendMail({ from: { name: 'Jörg', address: 'jörg@bücher.example' }, to: 'δοκιμή@example.net',
        subject: 'Grüße', text: 'Grüße aus Köln\n' });
    await transport.sendMail({ envelope: { from: 'alice@example.org', to: [to], use8BitMime: true },
        raw: fs.readFileSync(file + '.8bit') });
})().catch(error => { console.error(error); process.exit(1) });
"""


def test_nodemailer(way, tmp_path):
    needs("node")
    env = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), "/usr/share/nodejs",
                                                                    "/usr/lib/nodejs"]))}
    if subprocess.run(["node", "-e", "require('nodemailer')"], env=env, capture_output=True).returncode:
        pytest.skip("nodemailer is not here")
    eight = mail_of("8bit").raw
    (tmp_path / "data").write_bytes(ATTACHMENT)
    (tmp_path / "data.8bit").write_bytes(eight)
    run(["node", "-e", NODE, way.port, way.tls, way.ca, USER, PASSWORD, tmp_path / "data"], env=env)
    arrived(way, 4)
    assert text_of(the_one(way, "plain")) == "hello\n.\nthere\n"
    assert attachment_of(the_one(way, "attachment"), "data.bin") == ATTACHMENT
    assert text_of(the_one(way, "Grüße")) == "Grüße aus Köln\n"
    assert "jörg@" in str(the_one(way, "Grüße")["From"])
    assert eight in [without_trace(raw) for raw in way.sink.messages()]


def test_mutt_speaks_smtp(way, tmp_path):
    needs("mutt")
    (tmp_path / "data.bin").write_bytes(ATTACHMENT)
    scheme = "smtps" if way.tls == "implicit" else "smtp"
    user = f"{USER}@" if way.login else ""
    tls = {"none": "set ssl_starttls=no\nset ssl_force_tls=no", "starttls": "set ssl_starttls=yes\nset ssl_force_tls=yes"}.get(way.tls, "")
    (tmp_path / "muttrc").write_text(
        f'set smtp_url="{scheme}://{user}localhost:{way.port}/"\nset smtp_pass="{PASSWORD}"\n{tls}\n'
        f'set smtp_authenticators="scram-sha-256:plain"\nset ssl_ca_certificates_file="{way.ca}"\n'
        'set from="alice@example.org"\nset use_from=yes\nset use_envelope_from=yes\nset copy=no\nset charset="utf-8"\n'
        'set send_charset="utf-8"\nset allow_8bit=yes\n')
    env = {**os.environ, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    for subject, files, text in (("plain", [], "hello\n.\n"), ("attachment", ["-a", "data.bin"], "see there\n"),
                                 ("Grüße", [], "Grüße aus Köln\n")):
        run(["mutt", "-F", "muttrc", "-s", subject, *files, "--", "bob@example.net"], cwd=tmp_path, env=env,
            input=text.encode())
    arrived(way, 3)
    assert text_of(the_one(way, "plain")) == "hello\n.\n"
    assert attachment_of(the_one(way, "attachment"), "data.bin") == ATTACHMENT
    assert text_of(the_one(way, "Grüße")) == "Grüße aus Köln\n"


def test_s_nail_speaks_smtp(way, tmp_path):
    program = shutil.which("s-nail") or shutil.which("mailx")
    assert program, "s-nail is missing: tests/install-deps test should have installed it"
    (tmp_path / "data.bin").write_bytes(ATTACHMENT)
    login = f"{USER}:{PASSWORD.replace(' ', '%20').replace(',', '%2C')}@" if way.login else ""
    mta = f"{'smtps' if way.tls == 'implicit' else 'smtp'}://{login}localhost:{way.port}"
    options = ["-S", "v15-compat", "-S", f"mta={mta}", "-S", f"smtp-auth={'plain' if way.login else 'none'}", "-S",
               f"tls-ca-file={way.ca}", "-S", "tls-ca-no-defaults", "-S", "tls-verify=strict"]
    if way.tls == "starttls":
        options += ["-S", "smtp-use-starttls"]
    env = {**os.environ, "HOME": str(tmp_path), "MAILRC": "/dev/null", "LC_ALL": "C.UTF-8"}
    for subject, files, text in (("plain", [], "hello\n"), ("attachment", ["-a", "data.bin"], "see there\n"),
                                 ("Grüße", [], "Grüße aus Köln\n")):
        run([program, "-n", *options, "-r", "alice@example.org", "-s", subject, *files, "bob@example.net"], env=env,
            cwd=tmp_path, input=text.encode())
    arrived(way, 3)
    assert text_of(the_one(way, "plain")) == "hello\n"
    assert attachment_of(the_one(way, "attachment"), "data.bin") == ATTACHMENT
    assert text_of(the_one(way, "Grüße")) == "Grüße aus Köln\n"


def test_git_send_email_speaks_smtp(way, tmp_path):
    needs("git")
    encryption = {"none": [], "starttls": ["--smtp-encryption=tls"], "implicit": ["--smtp-encryption=ssl"]}[way.tls]
    login = [f"--smtp-user={USER}", f"--smtp-pass={PASSWORD}", f"--smtp-ssl-cert-path={way.ca}",
             "--smtp-auth=PLAIN"] if way.login else []
    (tmp_path / "0001-x.patch").write_bytes(
        "From: Älice <alice@example.org>\nSubject: [PATCH] Grüße\nMIME-Version: 1.0\nContent-Type: text/plain; "
        "charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n---\n+Köln\n".encode())
    env = {**os.environ, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "XDG_CONFIG_HOME": str(tmp_path),
           **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", "Älice"), ("EMAIL", "alice@example.org"))}}
    run(["git", "send-email", "--smtp-server=localhost", f"--smtp-server-port={way.port}", *encryption, *login,
         "--confirm=never", "--quiet", "--to=bob@example.net", "--from=Älice <alice@example.org>",
         "0001-x.patch"], cwd=tmp_path, env=env)
    arrived(way)
    assert text_of(the_one(way, "[PATCH] Grüße")) == "Grüße\n---\n+Köln\n"


PHP = r"""
$file = $argv[1]; $b = 'b' . bin2hex(random_bytes(8));
mail('bob@example.net', 'plain', "hello\n.\nthere\n", "From: alice@example.org\r\nCc: carol@example.net") or exit(1);
mail('bob@example.net', '=?UTF-8?B?' . base64_encode('Grüße') . '?=', "Grüße aus Köln\n",
     ['From' => 'alice@example.org', 'Content-Type' => 'text/plain; charset=utf-8',
      'Content-Transfer-Encoding' => '8bit']) or exit(1);
mail('bob@example.net', 'attachment', "--$b\r\n\r\nsee there\r\n--$b\r\nContent-Type: application/octet-stream\r\n" .
     "Content-Disposition: attachment; filename=data.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n" .
     chunk_split(base64_encode(file_get_contents($file))) . "--$b--\r\n",
     "From: alice@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=$b",
     '-falice@example.org') or exit(1);
"""


def test_php_mail(local, tmp_path):
    needs("php")
    (tmp_path / "data").write_bytes(ATTACHMENT)
    env = {**os.environ, "SENDOFF_SUBMIT": str(local.agent.socket)}
    run(["php", "-n", "-d", f"sendmail_path={BUILD / 'sendmail'} -t -i", "-r", PHP, tmp_path / "data"], env=env)
    arrived(local, 3)
    assert text_of(the_one(local, "plain")) == "hello\n.\nthere\n"
    assert text_of(the_one(local, "Grüße")) == "Grüße aus Köln\n"
    assert attachment_of(the_one(local, "attachment"), "data.bin") == ATTACHMENT
    recipients = [sorted(e["recipients"]) for e in local.sink.envelopes()]
    assert ["bob@example.net", "carol@example.net"] in recipients
