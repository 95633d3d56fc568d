"""Hostile clients, as plain sockets: malformed, endless, slow and many. Each gets its answer, and the server goes on speaking."""

import contextlib
import json
import resource
import socket
import struct
import threading
import time
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, Server, eventually
from raw_client import BODY, HOST, MIB, SPEECH, Abuse, Raw, allow_descriptors, descriptors, get, memory_bytes, post

class Malformed(Abuse):
    def assert_refused(self, data, *statuses):
        status, closes, body = self.answer(data)
        self.assertIn(status, statuses, (data[:200], body))
        self.assertTrue(closes, data[:200])  # where the next request starts is not known
        if body:
            self.assertEqual(sorted(json.loads(body)["error"]), ["code", "message", "param", "type"])

    def test_no_http(self):
        for data in (b"\0" * 100, b"\r\n" * 5 + b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
                     b"HELO lyre\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTP/1.1\r\n\r\n", b"\xff\xfe GET / HTTP/1.1\r\n\r\n",
                     b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
                     b"GET / HTTP/1.1 x\r\n" + HOST + b"\r\n"):
            self.assert_refused(data, 400, 505)

    def test_lines_that_end_with_lf_only(self):
        self.assert_refused(b"GET /healthz HTTP/1.1\nHost: lyre\n\n" + b"\n" * 10, 400)
        self.assert_refused(b"GET /healthz HTTP/1.1\r\nHost: lyre\nX: y\r\n\r\n", 400)
        self.assert_refused(b"GET /healthz HTTP/1.1\r\nHost: lyre\rX: y\r\n\r\n", 400)

    def test_names_and_values_of_fields(self):
        for line in (b"Content-Length : 5", b": value", b"na me: value", b"na\0me: value", b"name: va\0lue",
                     b"name\x7f: value", b"no colon", b"n(a)me: value", b"name: \x01"):
            self.assert_refused(b"GET /healthz HTTP/1.1\r\n" + HOST + line + b"\r\n\r\n", 400)

    def test_hosts(self):
        self.assert_refused(b"GET /healthz HTTP/1.1\r\n\r\n", 400)
        self.assert_refused(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n", 400)

    def test_length_and_chunks_together(self):
        chunked = b"5\r\nhello\r\n0\r\n\r\n"
        for fields in ((b"Content-Length: 5", b"Transfer-Encoding: chunked"),
                       (b"Transfer-Encoding: chunked", b"Content-Length: 5")):
            self.assert_refused(post(chunked, *fields, length=False), 400)

    def test_lengths(self):
        for fields in ((b"Content-Length: 5", b"Content-Length: 6"), (b"Content-Length: 5, 6",), (b"Content-Length: -1",),
                       (b"Content-Length: +5",), (b"Content-Length: 0x5",), (b"Content-Length: 5 5",),
                       (b"Content-Length: ",), (b"Content-Length: 18446744073709551616",)):
            self.assert_refused(post(b"hello", *fields, length=False), 400, 413)

    def test_codings_that_hide_where_the_body_ends(self):
        for coding in (b"xchunked", b"chunked, identity", b"gzip", b"chunked, chunked", b"\x0bchunked", b"chunked;q=1",
                       b"identity", b'"chunked"', b""):
            self.assert_refused(post(b"5\r\nhello\r\n0\r\n\r\n", b"Transfer-Encoding: " + coding, length=False), 400, 501)

    def test_a_request_within_a_body_is_no_request(self):
        """Whatever a proxy in front may believe: one request, one answer, and then the end or the next true request."""
        hidden = get(b"/v1/models")
        for length, *fields in ((False, b"Transfer-Encoding: gzip"), (False, b"Transfer-Encoding: xchunked"),
                                (False, b"Transfer-Encoding: chunked, identity"), (True, b"Transfer-Encoding: gzip"),
                                (True, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
                                (True, b"Transfer-Encoding:\r\n chunked"), (True, b"X: y\r\n Content-Length: 3")):
            with Raw(self.server) as connection:
                connection.send(post(hidden, *fields, length=length))
                status, _, _ = connection.response()
                self.assertEqual(status, 400, fields)
                connection.socket.shutdown(socket.SHUT_WR)
                status, _, body = connection.response()
                self.assertIsNone(status, (fields, body))

    def test_old_http_with_chunks(self):
        status, closes, _ = self.answer(b"POST " + SPEECH + b" HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
                                        b"2\r\n{}\r\n0\r\n\r\n")
        self.assertEqual(status, 400)
        self.assertTrue(closes)

    def test_chunks(self):
        for body in (b"zz\r\n", b"-1\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5 \r\nhello\n0\r\n\r\n",
                     b"fffffffffffffffff\r\n", b"\r\n", b"5\nhello\r\n0\r\n\r\n"):
            self.assert_refused(post(body, b"Transfer-Encoding: chunked", length=False), 400, 413)

    def test_good_chunks_are_read(self):
        body = b"".join(b"1;name=value\r\n%c\r\n" % byte for byte in BODY) + b"0\r\nTrailer: x\r\n\r\n"
        status, _, audio = self.answer(post(body, b"Transfer-Encoding: chunked", length=False))
        self.assertEqual((status, audio), (200, self.expected))

    def test_paths(self):
        for path in (b"//healthz", b"/../healthz", b"/./healthz", b"/%2e%2e/healthz", b"/healthz/", b"/healthz%00", b"/healthz;a",
                     b"/v1/../healthz", b"/%2fhealthz", b"/HEALTHZ", b"/" + b"a/" * 5000, b"http:/healthz", b"/%",
                     b"/v1/text-to-speech/%ff%fe/stream", b"/v1/text-to-speech/..%2f..%2fetc/stream"):
            status, _, body = self.answer(get(path))
            self.assertIn(status, (400, 404, 405), (path[:50], body))
        for path in (b"/healthz", b"/healthz?a=b", b"http://elsewhere/healthz", b"HTTP://u:p@[::1]:1/healthz?x"):
            self.assertEqual(self.answer(get(path))[0], 200, path)
        for path in (b"/heal thz", b"/heal\0thz", b"/heal\x7fthz"):
            self.assert_refused(get(path), 400)

    def test_methods(self):
        for method, statuses in ((b"BREW", (400, 405, 501)), (b"get", (400, 405, 501)), (b"CONNECT", (400, 404, 405, 501)),
                                 (b"TRACE", (405, 501)), (b"G\0T", (400,)), (b"A" * 5000, (400, 405, 431, 501))):
            status, _, _ = self.answer(method + b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertIn(status, statuses, method[:10])

    def test_expectations(self):
        status, closes, _ = self.answer(post(b"", b"Expect: the-unexpected", b"Content-Length: 5", length=False))
        self.assertEqual((status, closes), (417, True))

    def test_bodies_that_are_no_request(self):
        for body in (b"\0", b'{"input": "a\0b"}', b'{"input": "\xed\xa0\x80"}', b'{"input": "\\ud800"}', b"[" * 100000,
                     b'{"a":' * 5000, b'{"input": 1e999}', b'{"seed": 1e400, "input": "a"}', b"null", b'"input"',
                     b'{"input": "Hi."}{"input": "Hi."}', b'{"input": {}, "input": 1}'):
            status, closes, error = self.answer(post(body))
            self.assertEqual(status, 400, body[:50])
            self.assertFalse(closes)  # the body was read: the connection is sound
            self.assertIn("message", json.loads(error)["error"])

    def test_nul_in_the_text_is_told_or_spoken_but_never_the_end(self):
        status, _, body = self.answer(post(b'{"input": "a\\u0000b", "response_format": "pcm", "seed": 1}'))
        self.assertIn(status, (200, 400))
        self.assertGreater(len(body), 50)


class Endless(Abuse):
    """Everything without an end meets a limit, and the memory stays what it was."""

    def setUp(self):
        self.before = memory_bytes(self.server.process)

    def tearDown(self):
        self.assertLess(memory_bytes(self.server.process) - self.before, 64 * MIB)
        super().tearDown()

    def assert_stopped(self, head, piece, *statuses):
        with Raw(self.server) as connection:
            connection.send(head)
            sent = connection.send_until_refused(piece, 64 * MIB)
            self.assertLess(sent, 64 * MIB)
            # The answer may have been lost to the reset that our own sending caused.
            status, _, _ = connection.response()
            self.assertIn(status, (None, *statuses))

    def assert_told(self, data, *statuses):
        """Just over the limit, so that the answer arrives."""
        status, closes, body = self.answer(data)
        self.assertIn(status, statuses)
        self.assertTrue(closes)
        return json.loads(body)["error"]["message"]

    def test_header(self):
        head = b"GET /healthz HTTP/1.1\r\n" + HOST
        self.assertIn("16384", self.assert_told(head + b"X: " + b"y" * 17000, 431))
        self.assertIn("16384", self.assert_told(head + b"".join(b"X-%d: y\r\n" % i for i in range(5000)), 431))
        self.assert_told(b"GET /" + b"a" * 17000, 400, 414, 431)
        self.assert_stopped(head, b"X: " + b"y" * 10000 + b"\r\n", 431)
        self.assert_stopped(head, b"X" * 65536, 400, 431)
        self.assert_stopped(b"", b"\r\n" * 30000, 400, 431)
        self.assert_stopped(b"G", b"E" * 65536, 400, 431)

    def test_body_with_a_length(self):
        self.assertIn("1048576", self.assert_told(post(b"", b"Content-Length: 1048577", length=False), 413))
        self.assert_told(post(b"", b"Content-Length: 18446744073709551615", length=False), 400, 413)
        self.assert_stopped(post(b"", b"Content-Length: 10000000000", length=False), b" " * 65536, 413)

    def test_body_in_chunks(self):
        head = post(b"", b"Transfer-Encoding: chunked", length=False)
        self.assert_told(head + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 17, 413)
        self.assert_stopped(head, b"10000\r\n" + b" " * 65536 + b"\r\n", 413)
        self.assert_stopped(head, b"1\r\n \r\n" * 10000, 413)
        self.assert_stopped(head, b"1;" + b"x" * 60000 + b"\r\n \r\n", 400, 413, 431)
        self.assert_stopped(head + b"1;", b"x" * 65536, 400, 413, 431)
        self.assert_stopped(head + b"0\r\n", b"Trailer: " + b"y" * 60000 + b"\r\n", 400, 413, 431)
        self.assert_stopped(head, b"0" * 65536, 400, 413, 431)

    def test_requests_of_which_no_answer_is_read(self):
        with Raw(self.server, receive_bytes=4096) as connection:
            connection.socket.setblocking(False)
            sent = 0
            # The server stops to read: soon nothing more fits between us.
            deadline = time.monotonic() + PATIENCE_S
            full = 0
            while full < 50:
                self.assertLess(time.monotonic(), deadline)
                try:
                    sent += connection.socket.send(get() * 500)
                    full = 0
                except BlockingIOError:
                    full += 1
                    time.sleep(0.01)
                self.assertLess(sent, 64 * MIB)

    def test_pipelined_requests_are_answered_in_order(self):
        with Raw(self.server) as connection:
            sender = threading.Thread(target=connection.send, args=(
                b"".join(get(b"/healthz", b"x-request-id: %d" % i) for i in range(2000)),))
            sender.start()
            for i in range(2000):
                status, fields, _ = connection.response()
                self.assertEqual((status, fields[b"x-request-id"]), (200, b"%d" % i))
            sender.join()


class Many(Abuse):
    def test_resets(self):
        for i in range(300):
            connection = Raw(self.server)
            connection.send(post()[:i] if i % 2 else post(json.dumps({"input": LONG_TEXT}).encode()))
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.socket.close()
        self.assertTrue(eventually(lambda: descriptors(self.server.process) < 60))

    def test_half_closed(self):
        for data in (b"", b"GET", get(), post()[:-5], post(), get() + post(), b"GET / HTTP/1.1\r\n"):
            with Raw(self.server) as connection:
                connection.send(data)
                connection.socket.shutdown(socket.SHUT_WR)
                self.assertTrue(connection.ended())

    def test_slow_senders_are_cut_and_hold_up_nobody(self):
        drips = [(b"", get(b"/healthz", b"X: " + b"y" * 5000)), (b"POST ", b"/" * 5000),
                 (post(b"", b"Content-Length: 5000", length=False), b" " * 5000),
                 (post(b"", b"Transfer-Encoding: chunked", length=False), b"1\r\n \r\n" * 1000)]
        silent = [b"G", get()[:-2], post()[:-1], post(b"", b"Transfer-Encoding: chunked", length=False) + b"5\r\nhe"]
        with contextlib.ExitStack() as stack:
            slow = []
            for head, rest in drips * 25:
                connection = stack.enter_context(Raw(self.server))
                connection.send(head)
                slow.append((connection, rest))
            for head in silent * 25:
                connection = stack.enter_context(Raw(self.server))
                connection.send(head)
                slow.append((connection, b""))
            deadline = time.monotonic() + PATIENCE_S
            position = 0
            while slow:
                self.assertLess(time.monotonic(), deadline, "%d are still held" % len(slow))
                self.assertEqual(self.speech(), self.expected)
                kept = []
                for connection, rest in slow:
                    connection.socket.setblocking(False)
                    try:
                        if rest:
                            connection.socket.send(rest[position:position + 1])
                        ended = connection.socket.recv(65536) == b""
                    except BlockingIOError:
                        ended = False
                    except OSError:
                        ended = True
                    if not ended:
                        kept.append((connection, rest))
                slow = kept
                position += 1
                time.sleep(0.1)  # the pace of the drip


class Crowd(unittest.TestCase):
    def speak(self, server):
        with Raw(server) as connection:
            connection.send(post())
            self.assertEqual(connection.response()[0], 200)

    def test_ten_thousand_idle_connections(self):
        spare = 500
        count = min(10_000, allow_descriptors(10_000 + spare) - spare)
        self.assertGreaterEqual(count, 1000)
        with Server("--max-connections", count + spare) as server, contextlib.ExitStack() as stack:
            self.speak(server)
            before = memory_bytes(server.process)
            crowd = [stack.enter_context(Raw(server)) for _ in range(count)]
            self.assertTrue(eventually(lambda: descriptors(server.process) >= count))
            self.speak(server)
            grown = memory_bytes(server.process) - before
            print("%d idle connections: %.1f MiB, %.1f KiB each" % (count, grown / MIB, grown / 1024 / count))
            self.assertLess(grown / count, 32 * 1024)
            for connection in crowd[::1000]:
                connection.send(get())
                self.assertEqual(connection.response()[0], 200)
            stack.close()
            self.assertTrue(eventually(lambda: descriptors(server.process) < 100))
            self.speak(server)

    def test_more_connections_than_allowed_wait_for_their_turn(self):
        with Server("--max-connections", 8) as server, contextlib.ExitStack() as stack:
            first = [stack.enter_context(Raw(server)) for _ in range(8)]
            for connection in first:
                connection.send(get())
                self.assertEqual(connection.response()[0], 200)
            late = stack.enter_context(Raw(server))
            late.send(get())
            first[0].socket.close()
            self.assertEqual(late.response()[0], 200)

    def test_no_descriptor_left(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            with Server() as server:
                resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (descriptors(server.process) + 8, hard))
                crowd = [stack.enter_context(Raw(server)) for _ in range(100)]
                self.assertIsNone(server.process.poll())
                for connection in crowd:
                    connection.socket.close()
                self.assertTrue(eventually(lambda: descriptors(server.process) < 40))
                self.speak(server)


if __name__ == "__main__":
    unittest.main()
