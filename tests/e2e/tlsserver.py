"""A small SMTP server on loopback whose TLS can be anything: any chain, any answer to STARTTLS, any way to break.

    mx = TlsServer(scratch, "127.0.3.1", port, chain=made.full, key=made.key)
    until(lambda: mx.mails, mx.story)

It never takes a command that it has not waited for, so what was injected or smuggled would show.
"""

import contextlib
import socket
import socketserver
import ssl
import threading
import warnings


class TlsServer:
    """Keeps `mails`, `sessions` (what TLS each connection came to) and `commands` (as they came, TLS or not).

    offer: STARTTLS stands in the reply to EHLO. answer: what STARTTLS is answered. behind: bytes in clear behind a 220.
    broken: "garbage" or "close" instead of a handshake. client_ca: clients must show a certificate of its. extensions:
    more lines of EHLO. newest: ssl.TLSVersion.
    """

    def __init__(self, scratch, address, port, chain=None, key=None, *, offer=True, answer="220 2.0.0 go ahead",
                 behind=b"", broken=None, client_ca=None, extensions=("8BITMIME", "PIPELINING"), newest=None,
                 name="mx.test"):
        self.address, self.port, self.name = address, port, name
        self.offer, self.answer, self.behind, self.broken = offer, answer, behind, broken
        self.extensions = extensions
        self.mails, self.sessions, self.commands, self.errors = [], [], [], []
        self.context = self.make_context(chain, key, client_ca, newest) if chain else None
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError, EOFError):
                    Session(server, self.request).run()

        class Threads(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 50

        self.server = Threads((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        scratch.add(self)

    @staticmethod
    def make_context(chain, key, client_ca, newest):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
        context.load_cert_chain(chain, key)
        context.sni_callback = lambda sock, name, context: setattr(sock, "asked_for", name)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def story(self):
        return f"{self.address}: {self.commands} {self.sessions} {self.errors} {len(self.mails)} mails"


class Session:
    def __init__(self, server, sock):
        self.server, self.sock, self.buffer = server, sock, b""
        self.sock.settimeout(60)
        self.tls = None
        self.mail = None

    def say(self, text):
        self.sock.sendall(text.encode() + b"\r\n")

    def line(self, end=b"\r\n"):
        while end not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        got, self.buffer = self.buffer.split(end, 1)
        return got

    def run(self):
        self.say(f"220 {self.server.name} ready")
        while True:
            command = self.line().decode("latin-1")
            self.server.commands.append(("TLS " if self.tls else "") + command)
            verb = command.split(" ")[0].upper()
            if verb == "EHLO":
                lines = [self.server.name, *self.server.extensions]
                lines += ["STARTTLS"] if self.server.offer and not self.tls else []
                self.say("\r\n".join("250" + ("-" if i + 1 < len(lines) else " ") + one
                                     for i, one in enumerate(lines)))
            elif verb == "STARTTLS":
                self.start_tls()
            elif verb == "MAIL":
                self.mail = {"sender": command, "recipients": [], "tls": self.tls}
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                self.mail["recipients"].append(command)
                self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go ahead")
                self.mail["body"] = self.line(b"\r\n.\r\n")
                self.server.mails.append(self.mail)
                self.say("250 2.0.0 taken")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok")

    def start_tls(self):
        server = self.server
        if not server.answer.startswith("220"):
            self.say(server.answer)
            return
        self.sock.sendall(server.answer.encode() + b"\r\n" + server.behind)
        if server.broken == "close":
            raise EOFError
        if server.broken == "garbage":
            self.sock.sendall(b"250 this is no TLS\r\n")
            raise EOFError
        try:
            self.sock = server.context.wrap_socket(self.sock, server_side=True)
            peer = self.sock.getpeercert() if server.context.verify_mode == ssl.CERT_REQUIRED else None
        except (ssl.SSLError, OSError) as error:
            server.errors.append(str(error))
            raise EOFError from error
        self.buffer = b""
        self.tls = {"version": self.sock.version(), "sni": getattr(self.sock, "asked_for", None),
                    "resumed": self.sock.session_reused, "client": peer}
        server.sessions.append(self.tls)
