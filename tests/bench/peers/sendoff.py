import os

import harness
import meter
import programs
from peers.peer import DEAD_DOMAIN, DEAD_PORT, Peer, command


class Sendoff(Peer):
    name = "sendoff"

    @classmethod
    def missing(cls):
        return None

    def start(self, relay, clients=200, reconnect=""):
        # The start's record has the port: it is of level notice, and nothing is said of single messages. Some connections
        # are kept free for the local socket.
        config = (f'limits {{ connections = {2 * clients + 100} connections_per_client = {2 * clients + 100} }}\n'
                  f'log_level = "notice"\n{reconnect}\n')
        if relay.split:
            config += harness.smarthost("dead", host="127.0.0.1", port=DEAD_PORT, tls="none")
        if relay.sink:
            keys = {"host": "127.0.0.1", "port": relay.sink.port, "tls": relay.sink.tls, "connections": 10,
                    "messages_per_connection": 1000}
            if relay.sink.ca:
                keys.update(tls_ca=str(relay.sink.ca), tls_name="localhost")
            config += harness.smarthost("sink", **keys)
        elif not relay.split:
            config += harness.smarthost("none", host="127.0.0.1", port=DEAD_PORT, tls="none")
        route = ""
        if relay.split:
            route += f'route "dead" {{ to = {{"*@{DEAD_DOMAIN}"}} via = {{"dead"}} }}\n'
        route += 'route "rest" { via = {"%s"} }' % ("sink" if relay.sink else "dead" if relay.split else "none")
        self.agent = harness.Agent(self.place, config, route=route, queue="max_size = 64G min_free_disk = 0",
                                   directory=self.place.disk / "queue")
        self.place.started.remove(self.agent)
        self.agent.start()
        self.port = self.agent.port
        if relay.keeps:
            self.agent.ctl("pause", "--yes")

    def restart(self):
        self.agent.start(wait=False)

    def is_listening(self):
        """The port is another one each time."""
        try:
            self.agent.wait_ready()
        except AssertionError as error:
            raise programs.Failed(str(error)) from error
        self.port = self.agent.port
        return True

    def pids(self):
        return meter.descendants(self.agent.process.pid)

    def sendmail(self):
        argv = [harness.BUILD / "sendmail", "-t", "-i", "-f", "load@example.org"]
        return argv, {"env": {**os.environ, "SENDOFF_SUBMIT": str(self.agent.socket)}}

    def listing(self):
        return self.agent.ctl("list", "--limit", "50").stdout

    def remove_all(self):
        command([harness.BUILD / "sendoff", "--config", self.agent.file, "remove", "--all", "--yes"])

    def stop(self):
        self.agent.stop()
