"""LMTP to Dovecot's Unix socket: each recipient ends for itself, and a report of success says delivered."""

import os
import pwd
import re
import shutil

import pytest
from harness import Agent, Process, key_of, message, smarthost, until


@pytest.fixture
def dovecot(scratch):
    if os.geteuid() != 0:
        pytest.skip("Dovecot's master only runs as root with mailboxes of others")
    if not shutil.which("dovecot") or not os.path.exists("/usr/lib/dovecot/lmtp"):
        pytest.skip("dovecot-lmtpd is missing: tests/install-deps test installs it")
    owner = pwd.getpwnam("mail")
    folder = scratch.path / "dovecot"
    (folder / "mail").mkdir(parents=True)
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    (folder / "users").write_text("".join(f"{name}::{owner.pw_uid}:{owner.pw_gid}::/nowhere::\n"
                                          for name in ("bob", "carol")))
    (folder / "dovecot.conf").write_text(f"""base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
default_internal_user = root
default_internal_group = root
default_login_user = nobody
first_valid_uid = 1
first_valid_gid = 1
auth_username_format = %Ln
mail_location = maildir:{folder}/mail/%n
hostname = mail.example.net
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
passdb {{
  driver = static
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
""")
    process = scratch.add(Process(["dovecot", "-F", "-c", folder / "dovecot.conf"], folder / "output"))
    until(lambda: (folder / "lmtp").exists(), lambda: "Dovecot's socket\n" + process.text())
    return folder


def mailbox(dovecot, name):
    new = dovecot / "mail" / name / "new"
    return [p.read_bytes() for p in sorted(new.iterdir())] if new.exists() else []


def test_each_recipient_ends_for_itself(scratch, dovecot):
    host = smarthost("box", host=str(dovecot / "lmtp"), tls="none", auth="none").replace("}", "    protocol = lmtp\n}")
    agent = Agent(scratch, host).start()
    mail = message()
    with agent.smtp() as smtp:
        smtp.ehlo("client.example.org")
        for line in ("MAIL FROM:<carol@example.net>", "RCPT TO:<bob@example.net> NOTIFY=SUCCESS",
                     "RCPT TO:<nobody@example.net>", "RCPT TO:<carol@example.net>"):
            assert smtp.docmd(line)[0] == 250
        assert smtp.data(mail)[0] == 250
    agent.drain()
    assert [key_of(m) for m in mailbox(dovecot, "bob")] == [key_of(mail)]
    ends = {row["recipient"]: row["outcome"] for row in agent.json("history")
            if row.get("type") == "history" and row["sender"] == "carol@example.net"}
    assert ends == {"bob@example.net": "delivered", "nobody@example.net": "bounced", "carol@example.net": "delivered"}
    reports = until(lambda: [m for m in mailbox(dovecot, "carol") if b"multipart/report" in m] or None, agent.log)
    actions = dict(pair for m in reports for pair in re.findall(
        rb"^Final-Recipient: rfc822; ?(\S+?)\r?\n(?:.+\n)*?Action: (\w+)", m, re.M))
    assert actions == {b"bob@example.net": b"delivered", b"nobody@example.net": b"failed"}
