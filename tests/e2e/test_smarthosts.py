"""Real smart hosts: Debian's Postfix with STARTTLS and SASL, and aiosmtpd."""

import textwrap

from harness import Agent, Process, free_port, key_of, message, smarthost, until
from postfix import Postfix


def secret(scratch, text="secret"):
    path = scratch.path / "secret"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def postfix_host(scratch, postfix, **more):
    return smarthost("postfix", host="localhost", port=postfix.port, tls="starttls", user="me",
                     **{"tls_ca": str(postfix.ca), "secret_file": str(secret(scratch)), **more})


def test_postfix_with_starttls_and_sasl_takes_the_mail(scratch):
    postfix = Postfix(scratch, free_port())
    agent = Agent(scratch, postfix_host(scratch, postfix, connections=3)).start()
    sent = [agent.send(message(subject=f"number {n}")) for n in range(30)]
    agent.drain()
    until(lambda: len(postfix.messages()) >= 30, lambda: postfix.log())
    assert sorted(map(key_of, postfix.messages())) == sorted(map(key_of, sent))
    history = [h for h in agent.json("history") if h.get("type") == "history"]
    assert len(history) == 30
    assert all("TLSv1.3" in h["tls"] and "2.0.0" in h["reply"] for h in history), history[0]
    assert postfix.whole_log().count("sasl_username=me@") >= 1


def test_secret_command_gives_the_password(scratch):
    postfix = Postfix(scratch, free_port())
    path = secret(scratch)
    agent = Agent(scratch, postfix_host(scratch, postfix, secret_file=None, secret_command=f"cat {path}")).start()
    sent = agent.send()
    agent.drain()
    until(lambda: postfix.messages(), lambda: postfix.log())
    assert key_of(postfix.messages()[0]) == key_of(sent)
    assert "secret\n" not in agent.log() and "=secret" not in agent.log()


def test_a_large_message_reaches_postfix_whole(scratch):
    postfix = Postfix(scratch, free_port())
    agent = Agent(scratch, postfix_host(scratch, postfix)).start()
    line = b"0123456789" * 7 + b"\r\n"
    mail = agent.send(message(body=line * 300_000))
    agent.drain("90s")
    got = until(lambda: postfix.messages(), lambda: postfix.log())[0]
    assert got.endswith(mail.split(b"\r\n\r\n", 1)[1].replace(b"\r\n", b"\n"))


AIOSMTPD = textwrap.dedent("""
    import asyncio, sys
    from aiosmtpd.smtp import SMTP

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            with open(sys.argv[1], "ab") as f:
                f.write(envelope.original_content + b"\\0")
            return "250 2.0.0 taken"

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Handler(), hostname="aio.example.org"), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())
""")


def test_aiosmtpd_takes_the_mail(scratch):
    taken = scratch.path / "taken"
    taken.touch()
    server = scratch.add(Process(["/usr/bin/python3", "-c", AIOSMTPD, taken], scratch.path / "aio.log"))
    port = int(until(lambda: server.text().strip(), "aiosmtpd's port").splitlines()[0])
    agent = Agent(scratch, smarthost("aio", host="127.0.0.1", port=port, tls="none")).start()
    sent = [agent.send(message(body=f"number {n}\r\n.dots\r\n")) for n in range(10)]
    agent.drain()
    got = taken.read_bytes().split(b"\0")[:-1]
    assert sorted(map(key_of, got)) == sorted(map(key_of, sent))
    assert all(b"\r\n.dots\r\n" in m for m in got)
