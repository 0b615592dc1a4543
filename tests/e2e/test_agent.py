"""How the agent starts, what it says when it cannot, how it reloads and how it ends."""

import os
import pwd
import signal
import smtplib
import socket
import stat
import subprocess
import time

import pytest

from harness import BUILD, ROOT, Agent, Process, free_port, until


def run(*argv, env=None, **more):
    return subprocess.run([str(BUILD / "sendoffd"), *map(str, argv)], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, **more)


def start_fails(agent):
    agent.start(wait=False)
    status = agent.process.wait()
    return status, agent.process.text()


# ---- the command line


def test_version_and_usage():
    assert run("--version").stdout.startswith("sendoffd ")
    assert run("--help").returncode == 0
    assert run("--nonsense").returncode == 64
    assert run("file").returncode == 64


def test_check_tells_all_mistakes_with_their_lines_and_starts_nothing(tmp_path):
    file = tmp_path / "a.conf"
    file.write_text('hostname = "mail.example.org"\nqueue { max_sise = 4G }\nlimits { errors = 0 }\n'
                    'route "r" { via = {"nobody"} }\n')
    done = run("--config", file, "--check")
    assert done.returncode == 78
    assert done.stderr == (f"{file}:2: unknown key 'max_sise' in queue - did you mean 'max_size'?\n"
                           f"{file}:3: errors = 0 is out of bounds - from 1 to 1000\n"
                           f'{file}:4: via names no smarthost "nobody" - add smarthost "nobody" {{ host = … }}\n')
    file.write_text('hostname = "mail.example.org"\n')
    done = run("--config", file, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: fine\n", "")


def test_the_shipped_configuration_is_fine():
    assert run("--config", ROOT / "etc" / "sendoff.conf", "--check").returncode == 0


@pytest.mark.skipif(subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode != 0,
                    reason="no network namespaces here")
def test_a_machine_without_ipv6_may_name_its_loopback(tmp_path):
    """A new network namespace has no [::1]."""
    file = tmp_path / "a.conf"

    def start(addresses):
        file.write_text(f'queue {{ directory = "{tmp_path}/queue" }}\ncontrol {{ socket = "{tmp_path}/control" }}\n'
                        f'listener "loopback" {{ address = {{{addresses}}} }}\n')
        return Process(["unshare", "-rn", BUILD / "sendoffd", "--config", file], tmp_path / "log")

    agent = start('"127.0.0.1:2525", "[::1]:2525"')
    until(lambda: " started " in agent.text(), agent.text)
    assert "not-listening" in agent.text() and "[::1]:2525" in agent.text()
    agent.stop()
    for alone in ('"[::1]:2525"', '"127.0.0.1:2525", "[fd00::1]:2525"'):
        agent = start(alone)
        assert agent.wait() != 0, agent.text()


def test_a_named_file_must_exist(tmp_path):
    done = run("--config", tmp_path / "none.conf")
    assert done.returncode == 78
    assert "No such file" in done.stderr


# ---- starts that fail: plain words, a status of sysexits, nothing left


def test_mistakes_in_the_configuration(scratch):
    agent = Agent(scratch, 'log = "nowhere"')
    status, text = start_fails(agent)
    assert status == 78
    assert f"{agent.file}:" in text and "log" in text and "not started" in text


def test_a_port_that_is_taken(scratch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        agent = Agent(scratch, 'listener "taken" { address = "127.0.0.1:%d" }' % taken.getsockname()[1])
        status, text = start_fails(agent)
    assert status == 69
    assert "Address already in use" in text and "127.0.0.1:" in text
    assert not agent.socket.exists()


def test_a_queue_that_cannot_be_made(scratch):
    (scratch.path / "file").write_text("")
    status, text = start_fails(Agent(scratch, directory=scratch.path / "file" / "queue"))
    assert status in (73, 77)
    assert str(scratch.path / "file" / "queue") in text


def test_the_queue_of_another_agent(scratch):
    first = Agent(scratch, name="first").start()
    second = Agent(scratch, name="second", directory=first.queue)
    status, text = start_fails(second)
    assert status == 75
    assert "another agent" in text
    first.send()


# ---- what a start leaves behind


def test_sockets_and_queue_have_their_modes(scratch):
    agent = Agent(scratch, 'listener "closed" { socket = "%s" socket_mode = 0600 }' % (scratch.path / "closed")).start()
    assert stat.S_IMODE(agent.queue.stat().st_mode) == 0o700
    assert stat.S_IMODE((agent.queue / "queue.mdb").stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o666
    assert stat.S_IMODE((scratch.path / "closed").stat().st_mode) == 0o600
    agent.stop()
    assert not agent.socket.exists() and not agent.control.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_is_given_up(scratch):
    agent = Agent(scratch, 'user = "nobody"', directory=scratch.path / "spool" / "deep" / "queue").start()
    agent.send()
    user = pwd.getpwnam("nobody")
    words = dict(line.split(":", 1) for line in open(f"/proc/{agent.process.pid}/status") if ":" in line)
    assert set(words["Uid"].split()) == {str(user.pw_uid)}
    assert set(words["Gid"].split()) == {str(user.pw_gid)}
    assert "0" not in words["Groups"].split()
    assert words["NoNewPrivs"].strip() == "1"
    assert agent.queue.stat().st_uid == user.pw_uid


def test_a_users_own_agent_needs_no_configuration(scratch):
    if os.geteuid() == 0:
        pytest.skip("root's defaults are the system's folders")
    env = {"HOME": str(scratch.path), "XDG_RUNTIME_DIR": str(scratch.path / "run"), "XDG_CONFIG_HOME": "",
           "XDG_STATE_HOME": ""}
    process = scratch.add(Process([BUILD / "sendoffd"], scratch.path / "log", env={**os.environ, **env}))
    until(lambda: "started" in process.text(), process.text)
    assert (scratch.path / ".local/state/sendoff/queue/queue.mdb").exists()
    assert (scratch.path / "run/sendoff/submit").is_socket()


def test_the_service_manager_is_told_and_its_sockets_are_used(scratch):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(scratch.path / "notify"))
    notify.settimeout(30)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    agent = Agent(scratch)
    # The number is the protocol's: the first socket is descriptor 3, LISTEN_PID the process itself.
    script = 'exec 3<&%d; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=loopback exec "$0" --config "$1"'
    agent.process = Process(["/bin/bash", "-c", script % listening.fileno(), BUILD / "sendoffd", agent.file],
                            agent.dir / "log.1", env={**os.environ, "NOTIFY_SOCKET": str(scratch.path / "notify")},
                            pass_fds=[listening.fileno()])
    agent.wait_ready()
    assert notify.recv(100) == b"READY=1"
    assert agent.port == listening.getsockname()[1]
    agent.send()
    agent.process.send_signal(signal.SIGHUP)
    assert [notify.recv(100), notify.recv(100)] == [b"RELOADING=1", b"READY=1"]
    agent.process.send_signal(signal.SIGTERM)
    assert notify.recv(100) == b"STOPPING=1"
    notify.close()
    listening.close()


# ---- reload


def hang_up(agent, word):
    seen = agent.process.text().count(word)
    agent.process.send_signal(signal.SIGHUP)
    until(lambda: agent.process.text().count(word) > seen, lambda: f"{word} in\n" + agent.process.text())


def test_reload_is_all_or_nothing(scratch):
    agent = Agent(scratch).start()
    good = agent.file.read_text()

    def greeting():
        with socket.create_connection(("127.0.0.1", agent.port)) as s:
            return s.recv(200).decode()

    assert "agent.example.org" in greeting()
    agent.file.write_text(good.replace("agent.example.org", "new.example.org") + "\nnonsense = 1\n")
    hang_up(agent, "reload-refused")
    assert "unknown key 'nonsense'" in agent.process.text()
    assert "agent.example.org" in greeting()
    agent.file.write_text(good.replace("agent.example.org", "new.example.org"))
    hang_up(agent, " reloaded ")
    assert "new.example.org" in greeting()
    agent.file.write_text(good.replace(str(agent.queue), str(agent.queue) + "2"))
    hang_up(agent, "reload-refused")
    assert "queue.directory has changed" in agent.process.text()
    agent.send()


def test_waiting_mail_follows_new_routes(scratch):
    agent = Agent(scratch).start()
    agent.send()
    until(lambda: agent.json("list"), "the message in the queue")
    agent.configure('smarthost "dead" { host = "127.0.0.1" port = %d tls = none }' % free_port())
    hang_up(agent, " rerouted ")
    assert "rerouted messages=1" in agent.process.text()


# ---- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_five_seconds_and_says_so_to_its_clients(scratch, number):
    agent = Agent(scratch).start()
    idle = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(20)]
    busy = smtplib.SMTP("127.0.0.1", agent.port)
    busy.ehlo()
    busy.mail("a@example.org")
    busy.rcpt("b@example.net")
    busy.docmd("DATA")
    busy.sock.sendall(b"Subject: never finished\r\n")
    begin = time.monotonic()
    agent.process.send_signal(number)
    assert agent.process.wait(5) == 0
    assert time.monotonic() - begin < 5
    busy.close()
    for client in idle:
        client.settimeout(5)
        text = b""
        while piece := client.recv(1000):
            text += piece
        assert text.startswith(b"220 ") and b"\r\n421 " in text, text
        client.close()
    assert "stopping" in agent.process.text() and "stopped" in agent.process.text()
    agent.process.out.close()
    agent.process = None
    agent.start()
    assert all(row.get("type") != "message" for row in agent.json("list"))


def test_a_second_signal_ends_it_at_once(scratch):
    agent = Agent(scratch).start()
    with socket.create_connection(("127.0.0.1", agent.port)):
        agent.process.send_signal(signal.SIGTERM)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(2) == 0


# ---- installation


def test_install_and_uninstall(tmp_path):
    def files():
        return sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_symlink() or p.is_file())

    def install(*argv):
        subprocess.run([ROOT / "tests" / "install-files", *map(str, argv)], check=True, capture_output=True)

    install(BUILD, tmp_path, "/usr/local", "/etc")
    found = files()
    for expected in ("usr/local/sbin/sendoffd", "usr/local/bin/sendoff", "usr/local/lib/sendoff/sendoff-helper",
                     "usr/local/lib/sendoff/sendmail", "usr/local/bin/mailq", "usr/local/sbin/sendmail",
                     "usr/local/share/man/man5/sendoff.conf.5", "usr/local/share/man/man8/sendoffd.8",
                     "usr/local/lib/systemd/system/sendoff.service", "etc/sendoff/sendoff.conf"):
        assert expected in found
    assert (tmp_path / "usr/local/bin/mailq").resolve() == tmp_path / "usr/local/lib/sendoff/sendmail"
    assert "ExecStart=/usr/local/sbin/sendoffd" in (tmp_path / "usr/local/lib/systemd/system/sendoff.service").read_text()
    (tmp_path / "etc/sendoff/sendoff.conf").write_text("# mine\n")
    (tmp_path / "usr/local/bin/newaliases").unlink()
    (tmp_path / "usr/local/bin/newaliases").write_text("another program's")
    install(BUILD, tmp_path, "/usr/local", "/etc")
    assert (tmp_path / "etc/sendoff/sendoff.conf").read_text() == "# mine\n"
    assert (tmp_path / "etc/sendoff/sendoff.conf.example").exists()
    install("--remove", tmp_path, "/usr/local", "/etc")
    assert files() == ["etc/sendoff/sendoff.conf", "usr/local/bin/newaliases"]
