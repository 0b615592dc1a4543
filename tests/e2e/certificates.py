"""Certificates for servers in tests: an authority of their own, and what it issues, made by certtool.

    ca = Authority(scratch.path / "ca")
    mx = ca.issue("mx1.secure.test", "*.mail.test")      # mx.chain, mx.key: for a server; mx.leaf, ca.file: for TLSA
    below = ca.authority("Intermediate").issue("mx2.secure.test")
    late = ca.issue("mx3.secure.test", expired=True)
"""

import pathlib
import shutil
import subprocess

import pytest


class Certificate:
    """`chain`: the leaf, then what issued it, up to but without the root; `full`: with the root."""

    def __init__(self, folder, name):
        self.leaf, self.key, self.chain, self.full = (
            folder / f"{name}{end}" for end in (".pem", ".key", ".chain.pem", ".full.pem"))


class Authority:
    def __init__(self, folder, name="Test CA", parent=None):
        if not shutil.which("certtool"):
            pytest.skip("certtool is missing: tests/install-deps test installs gnutls-bin")
        self.folder, self.name, self.parent, self.issued = pathlib.Path(folder), name, parent, 0
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = name.replace(" ", "-").lower()
        self.file, self.key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        make_key(self.key)
        sign(self.file, self.key, f'cn = "{name}"\nca\ncert_signing_key\n', parent)

    def authority(self, name):
        """One below this one."""
        return Authority(self.folder, name, self)

    def issue(self, *names, expired=False, client=False, rsa=False, cn=None):
        self.issued += 1
        made = Certificate(self.folder, f"{self.file.stem}-{self.issued}")
        make_key(made.key, rsa)
        sign(made.leaf, made.key, f'cn = "{cn or names[0]}"\n' + "".join(f'dns_name = "{n}"\n' for n in names)
             + ("tls_www_client\n" if client else "tls_www_server\n") + "signing_key\nencryption_key\n", self, expired)
        chain, at = made.leaf.read_text(), self
        while at.parent:
            chain, at = chain + at.file.read_text(), at.parent
        made.chain.write_text(chain)
        made.full.write_text(chain + at.file.read_text())
        return made


def make_key(file, rsa=False):
    run("--generate-privkey", *(("--rsa", "--bits", "2048") if rsa else ("--ecc",)), "--outfile", file)
    file.chmod(0o600)


def sign(file, key, words, authority=None, expired=False):
    template = file.with_suffix(".tmpl")
    dates = ('activation_date = "2020-01-01 00:00:00 UTC"\nexpiration_date = "2020-02-01 00:00:00 UTC"\n'
             if expired else "expiration_days = 2\n")
    template.write_text(words + dates)
    by = (["--generate-certificate", "--load-ca-certificate", authority.file, "--load-ca-privkey", authority.key]
          if authority else ["--generate-self-signed"])
    run(*by, "--load-privkey", key, "--template", template, "--outfile", file)
    template.unlink()


def run(*argv):
    done = subprocess.run(["certtool", *map(str, argv)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
