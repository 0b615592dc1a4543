"""What nobody can beat on this machine, and proof that the load generator and the sink are not what is measured.

Floors: bare LMDB group commits of 1 KB, and SMTP over loopback without any storage (generator against sink).
"""

import re
import shutil
import subprocess
import time

import disk
import harness
import programs

CLIENTS = (1, 10, 100)


def storage(area):
    """Group size to messages a second."""
    place = disk.Place(area)
    try:
        done = subprocess.run([str(programs.TOOLS / "queue_layout"), "--floor", str(place.disk)], capture_output=True,
                              text=True, check=True, timeout=programs.PATIENCE_S)
    finally:
        place.close()
    return {f"lmdb_{group}": float(rate)
            for group, rate in re.findall(r"bytes=1024 group=(\d+) messages_per_s=([\d.]+)", done.stdout)}


class SmtpSink:
    """Postfix's."""

    def __init__(self, place):
        self.port = harness.free_port()
        self.process = place.add(harness.Process(["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{self.port}", 1024],
                                                 place.path / "smtp-sink"))
        harness.until(self.is_listening, "smtp-sink")

    def is_listening(self):
        import socket
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


def smtp_source(port, clients, messages):
    """Postfix's generator with its connections kept: messages a second."""
    argv = ["smtp-source", "-d", "-s", clients, "-l", 1024, "-m", messages, "-f", "load@example.org", "-t",
            "sink@example.net", f"127.0.0.1:{port}"]
    begin = time.monotonic()
    subprocess.run([str(a) for a in argv], check=True, capture_output=True, timeout=programs.PATIENCE_S)
    return messages / (time.monotonic() - begin)


def transport(area, seconds):
    """Generators and sinks against each other."""
    figures, place = {}, disk.Place(area)
    try:
        sinks = {"drain": programs.Drain(place).port, "sink": programs.TlsSink(place, tls="none").port}
        with_postfix = shutil.which("smtp-source") and shutil.which("smtp-sink")
        if with_postfix:
            sinks["smtp-sink"] = SmtpSink(place).port
        for name, port in sinks.items():
            for clients in CLIENTS:
                told = programs.load(f"127.0.0.1:{port}", connections=clients, seconds=seconds)
                figures[f"load_{name}_{clients}"] = told["rate"]
        if with_postfix:
            messages = max(1000, int(figures["load_drain_100"] * seconds / 2))
            figures["smtp-source_drain_100"] = smtp_source(sinks["drain"], 100, messages)
    finally:
        place.close()
    return figures


def measure(area, seconds, say):
    figures = {}
    for part in (lambda: storage(area), lambda: transport(area, seconds)):
        try:
            figures.update(part())
        except (programs.Failed, AssertionError, OSError, subprocess.SubprocessError) as error:
            say(f"a floor is missing: {error}")
    say("floors: " + ", ".join(f"{key} {value:,.0f}" for key, value in figures.items()))
    return figures
