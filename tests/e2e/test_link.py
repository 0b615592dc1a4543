"""Over a slow link a message costs about one round trip: see tests/bench/link.py, which is run here on a small scale."""

import json
import os
import subprocess
import sys

import pytest
from harness import BUILD, ROOT


def test_a_message_costs_about_one_round_trip():
    if os.geteuid() != 0:
        pytest.skip("only root can make a slow link")
    argv = [sys.executable, ROOT / "tests" / "bench" / "link.py", "--build", BUILD, "--rtt", 100, "--messages", 40, "--json"]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    # Eight are the connection's own (TCP, greeting, EHLO, TLS …); the machine may be busy, and yet not two a message.
    assert json.loads(done.stdout)["sendoff"] < 1.3 + 8 / 40 + 0.3
