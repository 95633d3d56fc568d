"""lyre serve over TLS and over a Unix socket."""

import http.client
import json
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, Server, lyre

BODY = {"input": "Hello there.", "seed": 1, "response_format": "pcm"}


def make_certificate(folder, name):
    certificate, key = folder / (name + ".pem"), folder / (name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def said():
    return lyre("say", BODY["input"], "--seed", 1, "--raw", "-o", "-").stdout


class Listen(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.certificate, cls.key = make_certificate(cls.folder, "first")
        cls.tls = ("--tls-certificate", cls.certificate, "--tls-key", cls.key)

    def connect(self, server, certificate=None):
        """A connection that trusts this certificate only."""
        context = ssl.create_default_context(cafile=str(certificate or self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=PATIENCE_S, context=context)
        self.addCleanup(connection.close)
        return connection

    def speak(self, server, **fields):
        connection = self.connect(server)
        connection.request("POST", "/v1/audio/speech", json.dumps(dict(BODY, **fields)))
        return connection, connection.getresponse()

    def test_over_tls_comes_what_say_says(self):
        with Server(*self.tls) as server:
            ready = server.wait_for("ready")
            self.assertTrue(ready["url"].startswith("https://"))
            self.assertTrue(ready["warm"], ready)  # its own requests need no certificate
            self.assertEqual(self.speak(server)[1].read(), said())
            long_plain = lyre("say", LONG_TEXT, "--seed", 1, "--raw", "-o", "-").stdout
            self.assertEqual(self.speak(server, input=LONG_TEXT)[1].read(), long_plain)

    def test_strangers_harm_nobody(self):
        with Server(*self.tls) as server:
            silent = socket.create_connection(("127.0.0.1", server.port))
            self.addCleanup(silent.close)
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\nHost: lyre\r\n\r\n")
                answer = plain.recv(1024)
                self.assertNotIn(b"HTTP", answer)
            self.assertEqual(self.speak(server)[1].read(), said())
            server.process.send_signal(signal.SIGTERM)  # the silent one holds nothing up
            self.assertEqual(server.process.wait(PATIENCE_S), 0)
            self.assertNotIn("streams were cut off by the stop", str(server.log))

    def test_a_client_that_leaves_frees_the_engine(self):
        with Server(*self.tls) as server:
            connection, response = self.speak(server, input=LONG_TEXT)
            response.read(1000)
            response.close()
            connection.close()
            self.assertEqual(server.wait_for("speech", status=200)["finish"], "disconnected")

    def test_a_web_socket_over_tls(self):
        with Server(*self.tls) as server:
            context = ssl.create_default_context(cafile=str(self.certificate))
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as plain, \
                    context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
                client.sendall(b"GET /v1/audio/speech/websocket HTTP/1.1\r\nHost: lyre\r\nUpgrade: websocket\r\n"
                               b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
                self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 101 "))

    def test_the_certificate_is_read_again(self):
        first, key = make_certificate(self.folder, "old")
        second, second_key = make_certificate(self.folder, "new")
        old = self.folder / "old-copy.pem"
        old.write_bytes(first.read_bytes())
        with Server("--tls-certificate", first, "--tls-key", key) as server:
            key.write_bytes(second_key.read_bytes())
            server.process.send_signal(signal.SIGHUP)  # the key of another
            server.wait_for("not reloaded", what="TLS certificate")
            self.connect(server, old).connect()
            first.write_bytes(second.read_bytes())
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reloaded", what="TLS certificate")
            self.connect(server, second).connect()
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.connect(server, old).connect()

    def test_bad_files_end_the_start(self):
        for flags, word in ((("--tls-certificate", self.certificate), b"tls_key"),
                            (("--tls-certificate", self.key, "--tls-key", self.key), bytes(self.key)),
                            (("--unix-socket", self.certificate), b"no socket")):
            result = lyre("serve", "--port", 0, *flags)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(word, result.stderr)

    def test_a_unix_socket(self):
        path = self.folder / "lyre.sock"
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        with Server("--unix-socket", path, *self.tls) as server:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
            curl = subprocess.run(["curl", "-sS", "--fail", "--unix-socket", path, "http://lyre/v1/audio/speech",
                                   "-d", json.dumps(BODY)], capture_output=True, check=True)
            self.assertEqual(curl.stdout, said())
            second = lyre("serve", "--port", 0, "--unix-socket", path)
            self.assertEqual(second.returncode, 1, second.stderr)
            self.assertIn(b"another process listens there", second.stderr)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(PATIENCE_S), 0)
            self.assertFalse(path.exists())


if __name__ == "__main__":
    unittest.main()
