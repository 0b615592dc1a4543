"""Full disks, reached quotas and damaged files: clear words, nothing accepted is lost, a full queue drains."""

import os
import re
import subprocess

import pytest
from harness import Agent, Process, Sink, key_of, message, smarthost, until, free_port, BUILD


def fill(agent, size=100_000, most=2000):
    """Sends until the agent refuses; returns the accepted messages and the refusal."""
    accepted = []
    with agent.smtp() as smtp:
        smtp.ehlo()
        for _ in range(most):
            mail = message(body=b"x" * 70 + b"\r\n" + os.urandom(size // 2).hex().encode() + b"\r\n")
            code, text = smtp.mail("alice@example.org")
            if code == 250:
                smtp.rcpt("bob@example.net")
                code, text = smtp.data(mail)
            if code != 250:
                return accepted, (code, text.decode())
            accepted.append(key_of(mail))
    raise AssertionError(f"{most} messages and it is still not full")


def mount_small(scratch, size):
    path = scratch.path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("this machine does not let us mount a small file system: " + done.stderr.strip())
    scratch.mounts.append(str(path))
    return path


def test_a_reached_quota_refuses_and_the_queue_still_drains(scratch):
    sink = Sink(scratch, tls="none", auth=None)
    sink.stop()
    agent = Agent(scratch, sink.smarthost(), queue="max_size = 8M min_free_disk = 0").start()
    accepted, (code, text) = fill(agent)
    assert code == 452 and text.startswith("4.3.1") and "max_size" in text
    assert len(accepted) > 20
    more, (code, text) = fill(agent, size=1000)  # until not even a small one fits
    accepted += more
    assert code == 452 and text.startswith("4.3.1")
    shown = agent.ctl("status", check=False).stdout
    assert "full" in shown.lower() or "limit" in shown.lower(), shown
    sink.start()
    agent.ctl("flush", "--all", "--yes")
    agent.drain("60s")
    assert sorted(map(key_of, sink.messages())) == sorted(accepted)
    agent.send()
    agent.drain("60s")


def test_a_full_disk_refuses_and_the_queue_still_drains(scratch):
    disk = mount_small(scratch, "64m")
    sink = Sink(scratch, tls="none", auth=None)
    sink.stop()
    agent = Agent(scratch, sink.smarthost(), queue="min_free_disk = 1M", directory=disk / "queue").start()
    first = agent.send()
    with open(disk / "other", "wb") as other:  # somebody else takes the rest of the disk
        try:
            while True:
                other.write(b"\0" * 65536)
                other.flush()
        except OSError:
            pass
    accepted, (code, text) = fill(agent)
    assert code == 452 and text.startswith("4.3.1") and "full" in text, text
    shown = agent.ctl("status", check=False).stdout
    assert "disk" in shown.lower(), shown
    sink.start()
    agent.ctl("flush", "--all", "--yes")
    agent.drain("60s")
    assert sorted(map(key_of, sink.messages())) == sorted(accepted + [key_of(first)])
    (disk / "other").unlink()
    until(lambda: can_send(agent), "mail is taken again once the disk has room")
    agent.stop()


def can_send(agent):
    with agent.smtp() as smtp:
        smtp.ehlo()
        smtp.mail("alice@example.org")
        smtp.rcpt("bob@example.net")
        return smtp.data(message())[0] == 250


def down(scratch, **more):
    return Agent(scratch, smarthost("down", host="127.0.0.1", port=free_port(), tls="none"), **more)


def test_a_flipped_bit_holds_that_message_and_no_other(scratch):
    sink = Sink(scratch, tls="none", auth=None)
    sink.stop()
    agent = Agent(scratch, sink.smarthost()).start()
    mark = b"flip-me-" + os.urandom(8).hex().encode()
    good = agent.send()
    bad = agent.send(message(body=mark + b"\r\n"))
    agent.stop()
    file = agent.queue / "queue.mdb"
    raw = bytearray(file.read_bytes())
    at = [found.start() for found in re.finditer(re.escape(mark), raw)]
    assert at, "the body is in the file"
    for position in at:
        raw[position] ^= 1
    with open(file, "r+b") as f:
        f.write(raw)
    sink.start()
    agent.start()
    until(lambda: [key_of(m) for m in sink.messages()] == [key_of(good)], lambda: "the good one\n" + agent.log())
    until(lambda: "checksum" in agent.ctl("status", check=False).stdout + agent.log(), "a word about the checksum")
    listed = agent.json("list")
    left = [m for m in listed if m.get("type") == "message"]
    assert len(left) == 1
    why = agent.ctl("why", left[0]["id"]).stdout
    assert "checksum" in why or "damaged" in why, why
    assert key_of(bad) not in [key_of(m) for m in sink.messages()]


def start_fails(agent):
    process = agent.scratch.add(Process([BUILD / "sendoffd", "--config", agent.file], agent.dir / "log.fail"))
    status = process.wait(20)
    assert status > 0, f"a clear exit, not {status}"
    return process.text()


def test_a_truncated_queue_file_is_refused_in_clear_words(scratch):
    agent = down(scratch).start()
    for _ in range(20):
        agent.send()
    agent.stop()
    file = agent.queue / "queue.mdb"
    used = len(file.read_bytes().rstrip(b"\0"))
    os.truncate(file, used // 2 // 4096 * 4096)
    text = start_fails(agent)
    assert "was cut" in text and str(file) in text and "has " in text, text


def test_a_file_of_garbage_is_refused_in_clear_words(scratch):
    agent = down(scratch).start()
    agent.stop()
    (agent.queue / "queue.mdb").write_bytes(os.urandom(100_000))
    assert "damaged" in start_fails(agent)


def test_a_second_agent_is_refused_and_the_first_goes_on(scratch):
    agent = down(scratch).start()
    text = start_fails(agent)
    assert "another agent" in text or "already" in text, text
    agent.send()
    assert len([m for m in agent.json("list") if m.get("type") == "message"]) == 1
