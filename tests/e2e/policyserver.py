"""An HTTPS server on loopback for MTA-STS policies and TLS reports: one address, as many hosts as have a page.

    https = PolicyServer(scratch, ca.issue("mta-sts.a.test", "mta-sts.b.test"))
    https.policy("a.test", "enforce", "mx.a.test")
    https.pages["mta-sts.b.test"] = Page(404, "no")

Keeps `asked` (host and path of each request) and `posted` (host, content type, body).
"""

import contextlib
import dataclasses
import http.server
import ssl
import threading

PATH = "/.well-known/mta-sts.txt"


@dataclasses.dataclass
class Page:
    status: int = 200
    body: str = ""
    type: str = "text/plain"
    headers: dict = dataclasses.field(default_factory=dict)


def policy(mode, *mx, max_age=86400, end="\r\n"):
    return end.join(["version: STSv1", f"mode: {mode}", *(f"mx: {one}" for one in mx), f"max_age: {max_age}", ""])


class PolicyServer:
    def __init__(self, scratch, certificate, address="127.0.0.1"):
        self.pages, self.contexts, self.asked, self.posted = {}, {}, [], []
        self.default = self.context(certificate)
        self.default.sni_callback = self.choose
        self.address, self.port, self.server = address, 0, None
        self.start()
        scratch.add(self)

    @staticmethod
    def context(certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        return context

    def choose(self, sock, name, _context):
        if name in self.contexts:
            sock.context = self.contexts[name]

    def certificate(self, host, certificate):
        """Another one for this host."""
        self.contexts[host] = self.context(certificate)

    def policy(self, domain, mode, *mx, **more):
        self.pages[f"mta-sts.{domain}"] = Page(body=policy(mode, *mx, **more))

    def start(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 30

            def answer(self, page):
                body = page.body.encode()
                self.send_response(page.status)
                self.send_header("Content-Type", page.type)
                self.send_header("Content-Length", str(len(body)))
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def host(self):
                return self.headers.get("Host", "").split(":")[0]

            def do_GET(self):
                outer.asked.append((self.host(), self.path))
                page = outer.pages.get(self.host())
                self.answer(page if page and self.path == PATH else Page(404, "nothing here"))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.host(), self.headers["Content-Type"], body))
                self.answer(Page(201, ""))

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = allow_reuse_address = True

            def finish_request(self, request, client):
                with contextlib.suppress(OSError):
                    request.settimeout(30)
                    secured = outer.default.wrap_socket(request, server_side=True)
                    try:
                        Handler(secured, client, self)
                    finally:
                        secured.close()

            def handle_error(self, *_):
                pass

        self.server = Server((self.address, self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def times(self, domain):
        return len([host for host, _ in self.asked if host == f"mta-sts.{domain}"])
