"""Plain sockets for hostile requests, and what tests ask about the server that gets them."""

import os
import resource
import socket
import unittest

from lyre_program import PATIENCE_S, Server, eventually

HOST = b"Host: lyre\r\n"
SPEECH = b"/v1/audio/speech"
BODY = b'{"input": "Hi.", "seed": 1, "response_format": "pcm"}'
MIB = 1024 * 1024


def memory_bytes(process):
    """What a process holds of the machine's memory."""
    with open("/proc/%d/statm" % process.pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(process):
    return len(os.listdir("/proc/%d/fd" % process.pid))


def allow_descriptors(count):
    """Lets this process, and the server that it starts, open that many files; the number that it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


class Raw:
    """A connection that sends what it is told to, right or wrong."""

    def __init__(self, server, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        self.unread = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def send(self, data):
        """False if the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def send_until_refused(self, piece, most_bytes):
        """How many bytes the server let itself be sent."""
        sent = 0
        while sent < most_bytes and self.send(piece):
            sent += len(piece)
        return sent

    def receive(self):
        """More bytes; none at the end."""
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def until(self, mark):
        while mark not in self.unread:
            more = self.receive()
            if not more:
                raise EOFError(self.unread)
            self.unread += more
        head, _, self.unread = self.unread.partition(mark)
        return head

    def exactly(self, count):
        while len(self.unread) < count:
            more = self.receive()
            if not more:
                raise EOFError(self.unread)
            self.unread += more
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    def response(self):
        """Status, header fields and body; status None if the server closed without an answer."""
        try:
            head = self.until(b"\r\n\r\n")
        except EOFError as end:
            if end.args[0]:
                raise
            return None, {}, b""
        lines = head.split(b"\r\n")
        status = int(lines[0].split()[1])
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        if status < 200 or status == 204 or status == 304:
            return status, fields, b""
        if fields.get(b"transfer-encoding") != b"chunked":
            return status, fields, self.exactly(int(fields[b"content-length"]))
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            if size == 0:
                while self.until(b"\r\n"):  # trailers
                    pass
                return status, fields, body
            body += self.exactly(size)
            self.exactly(2)

    def ended(self):
        """True once the server has closed; whatever it still sent is dropped."""
        while self.receive():
            pass
        return True


def post(body=BODY, *fields, path=SPEECH, length=True):
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: lyre", *fields]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(path=b"/healthz", *fields):
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: lyre", *fields]) + b"\r\n\r\n"


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-queue", 200)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.expected = cls.speech()

    @classmethod
    def speech(cls):
        with Raw(cls.server) as connection:
            connection.send(post())
            status, _, body = connection.response()
            assert status == 200, (status, body)
            return body

    def tearDown(self):
        """Whatever was done to it: it is idle again, and speaks."""
        self.assertIsNone(self.server.process.poll())
        self.assertTrue(eventually(self.idle))
        self.assertEqual(self.speech(), self.expected)

    def idle(self):
        load = self.server.get("/readyz")[1]
        return (load["running"] == 0 and load["queued"] == 0
                and load["free_kv_tokens"] == load["total_kv_tokens"])

    def answer(self, data):
        """The answer to bytes, and whether the server closed the connection after it."""
        with Raw(self.server) as connection:
            connection.send(data)
            status, fields, body = connection.response()
            closes = status is None or fields.get(b"connection") == b"close"
            if closes:
                connection.ended()
            return status, closes, body
