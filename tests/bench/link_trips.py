"""Round trips that a message costs over a slow link: link.py, which needs a process of its own in other namespaces."""

import json
import subprocess
import sys

import harness
import programs
from scenarios import Row, Scenario


class LinkTrips(Scenario):
    rounds = 1
    def __init__(self, args):
        self.args = args
        self.only = ("sendoff",) if args.quick else ("sendoff", "postfix")
        self.messages = 60 if args.quick else 100
        super().__init__("link", [Row("link_trips", "round trips a message over a 50 ms link, one connection, STARTTLS", "",
                                      2, False),
                                  Row("link_trips_reuse", "the same, Postfix with smtp_tls_connection_reuse", "", 2, False)])

    def measure(self, kind, place, seconds):
        argv = [sys.executable, harness.ROOT / "tests" / "bench" / "link.py", "--build", self.args.build, "--json",
                "--messages", self.messages, "--measure", kind.name]
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=programs.PATIENCE_S)
        if done.returncode != 0:
            raise programs.Failed((done.stdout + done.stderr).strip()[-300:])
        found = json.loads(done.stdout)
        figures = {"link_trips": found[kind.name]}
        if len(found) > 1:
            figures["link_trips_reuse"] = found["postfix with smtp_tls_connection_reuse"]
        return figures
