"""WebSocket clients that break RFC 6455, frame by frame, and those that only stretch it."""

import base64
import hashlib
import json
import os
import socket
import struct
import time
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, eventually
from raw_client import HOST, MIB, Abuse, Raw, memory_bytes

PATH = b"/v1/audio/speech/stream/ws"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, UNSUPPORTED, BAD_TEXT, POLICY, TOO_LARGE = 1000, 1002, 1003, 1007, 1008, 1009


def handshake(*fields, path=PATH, key=base64.b64encode(bytes(16)), version=b"13"):
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: lyre", b"Upgrade: websocket", b"Connection: Upgrade", *fields]
    if key is not None:
        lines.append(b"Sec-WebSocket-Key: " + key)
    if version is not None:
        lines.append(b"Sec-WebSocket-Version: " + version)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def frame(opcode, payload=b"", final=True, reserved=0, masked=True, length=None, wide=None):
    """`length` lies about the payload; `wide` forces the form of 2 or 8 bytes."""
    length = len(payload) if length is None else length
    wide = wide or (0 if length < 126 else 2 if length < 65536 else 8)
    small = {0: length, 2: 126, 8: 127}[wide]
    head = bytes([final << 7 | reserved << 4 | opcode, masked << 7 | small])
    head += {0: b"", 2: struct.pack("!H", length & 0xFFFF), 8: struct.pack("!Q", length)}[wide]
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ repeated).to_bytes(len(payload), "big")


def segment(text="Hi.", name="a"):
    return json.dumps({"input": text, "voice": "ada", "segment_id": name}).encode()


class WebSocket(Raw):
    def __init__(self, server, *after_handshake, **options):
        super().__init__(server, **options)
        self.send(handshake() + b"".join(after_handshake))
        head = self.until(b"\r\n\r\n")
        accept = base64.b64encode(hashlib.sha1(base64.b64encode(bytes(16)) +
                                               b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert accept in head, head

    def frame(self):
        """Opcode and payload of the next frame; None at the end of the connection."""
        try:
            first, second = self.exactly(2)
            assert first & 0x70 == 0 and second & 0x80 == 0, "reserved bits, or masked by the server"
            length = second & 0x7F
            if length == 126:
                length = struct.unpack("!H", self.exactly(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self.exactly(8))[0]
            return first & 0x0F, bool(first & 0x80), self.exactly(length)
        except EOFError:
            return None

    def message(self):
        """Opcode and payload of the next message or control frame; None at the end."""
        opcode, payload = None, b""
        while True:
            found = self.frame()
            if found is None:
                return None
            kind, final, piece = found
            if kind >= CLOSE:
                return kind, piece
            if kind != CONTINUATION:
                assert opcode is None
                opcode = kind
            payload += piece
            if final:
                return opcode, payload

    def spoken(self, name="a"):
        """Samples of a segment, from its start to its end; control frames between go to `controls`."""
        self.controls = []
        audio, begun = b"", False
        while True:
            found = self.message()
            assert found is not None, "closed within a segment"
            opcode, payload = found
            if opcode == BINARY:
                assert begun
                audio += payload
            elif opcode == TEXT:
                event = json.loads(payload)
                assert event["segment_id"] == name, event
                if event["type"] == "end":
                    return audio
                assert event["type"] == "start", event
                begun = True
            else:
                self.controls.append((opcode, payload))

    def close_code(self):
        """With which code the server closes; None if it just goes."""
        code = None
        while True:
            found = self.message()
            if found is None:
                return code
            if found[0] == CLOSE:
                code = struct.unpack("!H", found[1][:2])[0] if found[1] else 1005


class WebSocketAbuse(Abuse):
    def setUp(self):
        with WebSocket(self.server) as connection:
            connection.send(frame(TEXT, segment()))
            self.spoken = connection.spoken()
        self.assertGreater(len(self.spoken), 1000)

    def assert_fails(self, data, *codes):
        """The server closes the connection, with one of these codes if it gives one."""
        with WebSocket(self.server) as connection:
            connection.send(data)
            # The close frame may be lost to a reset, if we had sent more than was read.
            self.assertIn(connection.close_code(), (*codes, None), data[:50])

    def assert_closes_with(self, data, *codes):
        with WebSocket(self.server) as connection:
            connection.send(data)
            self.assertIn(connection.close_code(), codes, data[:50])

    def assert_speaks(self, *pieces, text="Hi."):
        with WebSocket(self.server) as connection:
            for piece in pieces:
                connection.send(piece)
            audio = connection.spoken()
            self.assertEqual(len(audio) % 2, 0)
            self.assertGreater(len(audio), 1000)
            return connection.controls


class Frames(WebSocketAbuse):
    def test_fragments_with_control_frames_between(self):
        message = segment()
        for size in (1, 7, len(message) - 1):
            parts = [message[i:i + size] for i in range(0, len(message), size)]
            pieces = []
            for i, part in enumerate(parts):
                pieces.append(frame(TEXT if i == 0 else CONTINUATION, part, final=i == len(parts) - 1))
                pieces += [frame(PING, b"p%d" % i), frame(PONG, b"not asked for")]
            controls = self.assert_speaks(*pieces)
            # A ping that is answered late may be answered by the last pong only.
            self.assertTrue(set(controls) <= {(PONG, b"p%d" % i) for i in range(len(parts))}, controls)
        self.assert_speaks(frame(TEXT, b"", final=False), frame(CONTINUATION, message, final=False), frame(CONTINUATION))

    def test_byte_by_byte(self):
        self.assert_speaks(*(bytes([byte]) for byte in frame(TEXT, segment())))

    def test_with_the_handshake_in_one_packet(self):
        with WebSocket(self.server, frame(TEXT, segment("Hi.", "a")), frame(TEXT, segment("Hi.", "b"))) as connection:
            connection.spoken("a")
            connection.spoken("b")

    def test_pings(self):
        with WebSocket(self.server) as connection:
            for payload in (b"", b"x", bytes(range(125))):
                connection.send(frame(PING, payload))
                self.assertEqual(connection.message(), (PONG, payload))

    def test_control_frames_that_are_none(self):
        for opcode in (PING, PONG, CLOSE):
            self.assert_closes_with(frame(opcode, bytes(126)), PROTOCOL_ERROR)
            self.assert_closes_with(frame(opcode, b"ab", final=False) + frame(CONTINUATION, b"c"), PROTOCOL_ERROR)

    def test_reserved(self):
        for reserved in range(1, 8):
            self.assert_closes_with(frame(TEXT, segment(), reserved=reserved), PROTOCOL_ERROR)
            self.assert_closes_with(frame(PING, b"", reserved=reserved), PROTOCOL_ERROR)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.assert_closes_with(frame(opcode, b"x"), PROTOCOL_ERROR)

    def test_unmasked(self):
        for opcode in (TEXT, PING, CLOSE):
            self.assert_closes_with(frame(opcode, b"", masked=False), PROTOCOL_ERROR)

    def test_order(self):
        self.assert_closes_with(frame(CONTINUATION, b"x"), PROTOCOL_ERROR)
        self.assert_closes_with(frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), PROTOCOL_ERROR)
        self.assert_closes_with(frame(TEXT, b"{", final=False) + frame(BINARY, b"}"), PROTOCOL_ERROR)

    def test_lengths(self):
        self.assert_closes_with(frame(TEXT, b"x", wide=2), PROTOCOL_ERROR)  # not the shortest form
        self.assert_closes_with(frame(TEXT, b"x", wide=8), PROTOCOL_ERROR)
        self.assert_closes_with(frame(TEXT, b"", length=2**63), PROTOCOL_ERROR, TOO_LARGE)
        self.assert_closes_with(frame(TEXT, b"", length=2**63 - 1), TOO_LARGE)
        self.assert_closes_with(frame(TEXT, b"", length=2**30), TOO_LARGE)

    def test_text_that_is_no_utf8(self):
        for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"):
            message = b'{"input": "' + bad + b'"}'
            self.assert_closes_with(frame(TEXT, message), BAD_TEXT)
            for cut in range(11, 11 + len(bad) + 1):
                self.assert_closes_with(
                    frame(TEXT, message[:cut], final=False) + frame(CONTINUATION, message[cut:]), BAD_TEXT)

    def test_characters_that_are_split_over_fragments(self):
        message = json.dumps({"input": "Caf\u00e9 \u20ac.", "voice": "ada", "segment_id": "a"}, ensure_ascii=False).encode()
        self.assert_speaks(*(frame(CONTINUATION if i else TEXT, message[i:i + 1], final=i + 1 == len(message))
                             for i in range(len(message))))

    def test_closing(self):
        for payload, code in ((b"", (NORMAL, 1005)), (struct.pack("!H", NORMAL), (NORMAL,)), (struct.pack("!H", 1001) + b"bye", (1001,)),
                              (struct.pack("!H", 3000), (3000,)), (struct.pack("!H", 4999) + "\u20ac".encode(), (4999,))):
            self.assert_closes_with(frame(CLOSE, payload), *code, NORMAL)
        # From 5000 on RFC 6455 says nothing, and Beast lets them through.
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2999):
            self.assert_closes_with(frame(CLOSE, struct.pack("!H", code)), PROTOCOL_ERROR)
        self.assert_closes_with(frame(CLOSE, b"\x03"), PROTOCOL_ERROR)
        self.assert_closes_with(frame(CLOSE, struct.pack("!H", NORMAL) + b"\xff"), BAD_TEXT, PROTOCOL_ERROR)

    def test_nothing_is_said_after_the_close(self):
        with WebSocket(self.server) as connection:
            connection.send(frame(CLOSE, struct.pack("!H", NORMAL)) + frame(TEXT, segment()))
            opcode, _ = connection.message()
            self.assertEqual(opcode, CLOSE)
            self.assertIsNone(connection.message())


class Messages(WebSocketAbuse):
    def test_what_is_no_request(self):
        for message in (b"", b"{", b"[]", b"null", b'{"voice": 1}', b'{"input": 5}', segment().replace(b"ada", b"nobody"),
                        b"[" * 10000, b'{"input": "\\ud800"}'):
            with WebSocket(self.server) as connection:
                connection.send(frame(TEXT, message))
                found = connection.message()
                if found is not None and found[0] == TEXT:
                    self.assertIn("error", json.loads(found[1]), message[:50])
                else:
                    self.assertEqual(found and found[0], CLOSE, message[:50])

    def test_binary_message(self):
        with WebSocket(self.server) as connection:
            connection.send(frame(BINARY, segment()))
            opcode, payload = connection.message()
            self.assertIn(opcode, (TEXT, CLOSE))
            if opcode == TEXT:
                self.assertIn("error", json.loads(payload))

    def test_oversized_in_one_frame_and_in_many(self):
        before = memory_bytes(self.server.process)
        self.assert_fails(frame(TEXT, b"x" * 8 * MIB), TOO_LARGE)
        with WebSocket(self.server) as connection:
            connection.send(frame(TEXT, b"x", final=False))
            sent = connection.send_until_refused(frame(CONTINUATION, b"x" * 1000, final=False) * 50, 64 * MIB)
            self.assertLess(sent, 64 * MIB)
        with WebSocket(self.server) as connection:
            connection.send(frame(TEXT, b"", final=False))
            sent = connection.send_until_refused(frame(CONTINUATION, b"y", final=False) * 5000, 64 * MIB)
            self.assertLess(sent, 64 * MIB)
        self.assertLess(memory_bytes(self.server.process) - before, 32 * MIB)

    def flood(self, piece, head=b""):
        """Sends without reading until nothing more fits between us, or the server closes, or it is much."""
        before = memory_bytes(self.server.process)
        with WebSocket(self.server, receive_bytes=4096) as connection:
            connection.send(head)
            connection.socket.setblocking(False)
            sent, full = 0, 0
            while full < 50 and sent < 32 * MIB:
                try:
                    sent += connection.socket.send(piece)
                    full = 0
                except BlockingIOError:
                    full += 1
                    time.sleep(0.01)  # nothing to wait on: it may be full for good
                except OSError:
                    break
            self.assertLess(memory_bytes(self.server.process) - before, 32 * MIB)

    def test_floods_of_which_no_answer_is_read(self):
        self.flood(frame(PING, b"x" * 125) * 500)
        self.flood(frame(PING, b"x" * 125) * 500, head=frame(TEXT, b"{", final=False))
        self.flood(frame(PONG) * 5000)
        self.flood(frame(TEXT, segment(" ")) * 500)
        self.flood(frame(TEXT, segment("Hi.")) * 500)

    def test_segments_that_come_while_one_is_spoken_wait(self):
        with WebSocket(self.server) as connection:
            for i in range(20):
                connection.send(frame(TEXT, segment("Hi.", str(i))))
            for i in range(20):
                connection.spoken(str(i))

    def test_leaving_within_a_segment_frees_everything(self):
        before = self.server.get("/readyz")[1]["requests"]["cancelled"]
        for i in range(10):
            with WebSocket(self.server, receive_bytes=4096) as connection:
                connection.send(frame(TEXT, segment(LONG_TEXT)))
                connection.message()
                self.assertTrue(eventually(lambda: not self.idle()))
                if i % 2:
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assertTrue(eventually(self.idle))
        self.assertEqual(self.server.get("/readyz")[1]["requests"]["cancelled"], before + 10)


class Handshakes(WebSocketAbuse):
    def test_refused(self):
        plain = b"GET " + PATH + b" HTTP/1.1\r\n" + HOST
        for data in (plain + b"\r\n", plain + b"Upgrade: websocket\r\n\r\n", plain + b"Connection: Upgrade\r\n\r\n",
                     handshake(key=None), handshake(key=b""), handshake(key=b"short"), handshake(key=b"x" * 24),
                     handshake(version=None), handshake(version=b"12"), handshake(version=b"x"),
                     handshake().replace(b"GET", b"POST"), handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
                     handshake().replace(b"Upgrade: websocket", b"Upgrade: h2c")):
            with Raw(self.server) as connection:
                connection.send(data)
                status, _, _ = connection.response()
                self.assertIn(status, (400, 404, 405, 426), data)
        status, _, _ = self.answer(handshake(path=b"/nothing"))
        self.assertEqual(status, 404)

    def test_a_refusal_names_the_right_version(self):
        with Raw(self.server) as connection:
            connection.send(handshake(version=b"8"))
            status, fields, _ = connection.response()
            self.assertIn(status, (400, 426))
            self.assertEqual(fields.get(b"sec-websocket-version"), b"13")

    def test_halves_are_cut(self):
        with Raw(self.server) as half, Raw(self.server) as nothing_after_head:
            half.send(handshake()[:-2])
            nothing_after_head.send(b"GET " + PATH + b" HTTP/1.1\r\nUpgrade: websocket\r\n")
            self.assertTrue(half.ended())
            self.assertTrue(nothing_after_head.ended())

    def test_a_frame_that_never_ends_holds_up_nobody(self):
        with WebSocket(self.server) as connection:
            connection.send(frame(TEXT, b"x", length=1000)[:-1])
            self.assertEqual(self.speech(), self.expected)


if __name__ == "__main__":
    unittest.main()
