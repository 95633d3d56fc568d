"""The shipped examples of nginx and HAProxy before two servers: nothing is held back, and a rolling restart loses nothing."""

import contextlib
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, VOICE, Server, eventually, lyre
from raw_client import BODY, Raw, get, post
from websocket_abuse_test import TEXT, WebSocket, frame, segment

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
        return True
    except OSError:
        return False


def at_our_ports(text, ports):
    """The example's two servers are ours."""
    return text.replace("10.0.0.11:9090", "127.0.0.1:%d" % ports[0]).replace("10.0.0.12:9090", "127.0.0.1:%d" % ports[1])


def nginx_command(folder, port, ports):
    text = at_our_ports((DEPLOY / "nginx.conf").read_text(), ports)
    text = text.replace("listen 443 ssl;", "listen 127.0.0.1:%d;" % port)  # no certificate here
    text = re.sub(r"^\s*ssl_.*\n", "", text, flags=re.MULTILINE)
    paths = "".join("%s_temp_path %s/%s;\n" % (name, folder, name)
                    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        "daemon off;\nerror_log stderr;\npid %s/pid;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n" % (folder, paths, text))
    return ["nginx", "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]


def haproxy_command(folder, port, ports):
    text = at_our_ports((DEPLOY / "haproxy.cfg").read_text(), ports)
    text = re.sub(r"bind :443 .*", "bind 127.0.0.1:%d" % port, text)
    text = text.replace("maxconn 20000", "maxconn 200")  # as many descriptors as every machine allows
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


class At:
    """A port that requests go to."""

    def __init__(self, port):
        self.port = port


class Replica(Server):
    """At a port that stays its own when it is started again."""

    def __init__(self, port):
        super().__init__("--seed", 1, port=port)

    def restart(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=PATIENCE_S) == 0
        self.__exit__()
        self.__init__(self.port)
        self.__enter__()


class Proxied:
    @classmethod
    def setUpClass(cls):
        if not shutil.which(cls.NAME):
            raise unittest.SkipTest("%s is not installed" % cls.NAME)
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.replicas = [stack.enter_context(Replica(free_port())) for _ in range(2)]
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # the workers may run as another user
        cls.front = At(free_port())
        proxy = subprocess.Popen(list(map(str, cls.command(folder, cls.front.port, [r.port for r in cls.replicas]))),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(proxy.wait)
        stack.callback(proxy.terminate)
        assert eventually(lambda: listens(cls.front.port) or proxy.poll() is not None) and proxy.poll() is None
        result = lyre("say", "Hi.", "--raw", "-o", "-", "--seed", 1, "--voice-dir", VOICE)
        assert result.returncode == 0, result.stderr
        cls.expected = result.stdout

    def ready(self):
        with Raw(self.front) as connection:
            connection.send(get(b"/readyz", b"Connection: close"))
            return connection.response()[0] == 200

    def setUp(self):
        self.assertTrue(eventually(self.ready))

    def loads(self):
        return [replica.get("/readyz")[1] for replica in self.replicas]

    def test_audio_is_passed_on_before_the_synthesis_ends(self):
        finished = sum(load["requests"]["finished"] for load in self.loads())
        with Raw(self.front, receive_bytes=4096) as connection:
            connection.send(post(b'{"input": "%s", "seed": 1, "response_format": "pcm"}' % LONG_TEXT.encode()))
            head = connection.until(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
            self.assertGreater(len(connection.exactly(1000)), 0)
            loads = self.loads()
            self.assertEqual(sum(load["running"] for load in loads), 1)
            self.assertEqual(sum(load["requests"]["finished"] for load in loads), finished)

    def test_a_client_that_leaves_is_noticed(self):
        before = sum(load["requests"]["cancelled"] for load in self.loads())
        with Raw(self.front, receive_bytes=4096) as connection:
            connection.send(post(b'{"input": "%s", "response_format": "pcm"}' % (LONG_TEXT * 4).encode()))
            connection.until(b"\r\n\r\n")
            connection.exactly(1000)
        self.assertTrue(eventually(lambda: sum(load["requests"]["cancelled"] for load in self.loads()) == before + 1))
        self.assertTrue(eventually(lambda: all(load["running"] == 0 for load in self.loads())))

    def test_web_socket(self):
        with WebSocket(self.front) as connection:
            connection.send(frame(TEXT, segment("Hi.", "a")) + frame(TEXT, segment("Hi.", "b")))
            self.assertEqual(connection.spoken("a"), self.expected)
            self.assertEqual(connection.spoken("b"), self.expected)

    def test_metrics_are_not_for_everybody(self):
        with Raw(self.front) as connection:
            connection.send(get(b"/metrics"))
            self.assertEqual(connection.response()[0], 403)

    def test_a_rolling_restart_loses_nothing(self):
        stop = threading.Event()
        wrong, right = [], []

        def ask():
            while not stop.is_set():
                try:
                    with Raw(self.front) as connection:
                        connection.send(post(BODY))
                        status, _, body = connection.response()
                    (right if (status, body) == (200, self.expected) else wrong).append((status, body[:200]))
                except (OSError, EOFError) as failure:
                    wrong.append(repr(failure))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for replica in self.replicas:
                replica.restart()

                # The next one's turn is when the proxy has taken this one up again.
                def is_used(replica=replica, before=replica.get("/readyz")[1]["requests"]["finished"]):
                    return replica.get("/readyz")[1]["requests"]["finished"] >= before + 5

                self.assertTrue(eventually(lambda: wrong or is_used()))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong[:5], [])
        self.assertGreater(len(right), 0)


class Nginx(Proxied, unittest.TestCase):
    NAME = "nginx"
    command = staticmethod(nginx_command)


class HaProxy(Proxied, unittest.TestCase):
    NAME = "haproxy"
    command = staticmethod(haproxy_command)


if __name__ == "__main__":
    unittest.main()
