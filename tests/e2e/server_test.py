"""lyre serve with the demo voice, over real sockets."""

import concurrent.futures
import http.client
import json
import shutil
import signal
import subprocess
import tempfile
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, Server, eventually, lyre, reset

HEADER_BYTES = 44


def said(text, *flags):
    """The samples of `lyre say`."""
    result = lyre("say", text, "--raw", "-o", "-", *flags)
    assert result.returncode == 0, result.stderr
    return result.stdout


class OneServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-queue", 200)
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def idle(self):
        """True when nothing runs and all memory is free."""
        load = self.server.get("/readyz")[1]
        return (load["running"] == 0 and load["queued"] == 0
                and load["free_kv_tokens"] == load["total_kv_tokens"])

    def test_http_equals_say_byte_for_byte(self):
        cases = [("Hello there.", "ada", 1), ("The weather is fine today, is it not?", "max", 2),
                 (LONG_TEXT, "ada", 3)]
        for text, voice, seed in cases:
            expected = said(text, "-v", voice, "--seed", seed)
            for fmt, header in (("wav", HEADER_BYTES), ("pcm", 0)):
                response = self.server.speak(input=text, voice=voice, seed=seed,
                                             response_format=fmt)
                body = response.read()
                self.assertEqual(response.status, 200)
                self.assertEqual(response.headers["x-lyre-seed"], str(seed))
                self.assertEqual(response.headers["x-lyre-voice"], voice)
                self.assertTrue(body[header:] == expected, "%s %s differs" % (fmt, text[:20]))

    def test_a_random_seed_can_be_said_again(self):
        response = self.server.speak(input="Say it again.", response_format="pcm")
        body = response.read()
        self.assertEqual(said("Say it again.", "--seed", response.headers["x-lyre-seed"]), body)

    def test_audio_arrives_before_the_synthesis_ends(self):
        before = self.server.get("/readyz")[1]["requests"]["finished"]
        response = self.server.speak(input=LONG_TEXT, seed=1, response_format="pcm")
        first = response.read1(65536)
        load = self.server.get("/readyz")[1]
        self.assertGreater(len(first), 0)
        self.assertEqual(load["running"], 1)
        self.assertEqual(load["requests"]["finished"], before)
        rest = response.read()
        self.assertGreater(len(rest), 15 * 48000)
        line = self.server.wait_for("speech", id=response.headers["x-request-id"])
        self.assertLess(line["first_audio_ms"], line["duration_ms"])
        print("first audio after %.1f ms, the last of %.1f s after %.1f ms" %
              (line["first_audio_ms"], line["audio_s"], line["duration_ms"]))

    def test_a_hundred_at_once_are_all_right(self):
        expected = {seed: said("One of a hundred.", "--seed", seed) for seed in range(4)}

        def ask(i):
            response = self.server.speak(input="One of a hundred.", seed=i % 4,
                                         response_format="pcm")
            return response.status, response.read() == expected[i % 4]

        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            results = list(pool.map(ask, range(100)))
        self.assertEqual(results, [(200, True)] * 100)

    def test_clients_that_leave_free_everything(self):
        self.assertTrue(eventually(self.idle))
        before = self.server.get("/readyz")[1]["requests"]["cancelled"]
        connections = []
        for i in range(12):
            connection = self.server.connect()
            response = self.server.speak(connection, input=LONG_TEXT, seed=i)
            self.assertGreater(len(response.read1(1024)), 0)
            connections.append(connection)
        self.assertFalse(self.idle())
        for i, connection in enumerate(connections):
            reset(connection) if i % 2 == 0 else connection.close()
        self.assertTrue(eventually(self.idle))
        cancelled = self.server.get("/readyz")[1]["requests"]["cancelled"] - before
        self.assertEqual(cancelled, 12)

    def test_one_connection_serves_many_requests(self):
        connection = self.server.connect()
        first = self.server.speak(connection, input="First.", seed=1).read()
        socket = connection.sock
        error = self.server.speak(connection, input=" ")
        self.assertEqual(error.status, 400)
        error.read()
        second = self.server.speak(connection, input="First.", seed=1).read()
        self.assertIs(connection.sock, socket)
        self.assertEqual(first, second)

    def test_a_slow_reader_holds_up_nobody(self):
        slow = self.server.speak(input=LONG_TEXT, seed=1, response_format="pcm")
        first = slow.read1(1000)
        for seed in range(3):
            self.assertEqual(self.server.speak(input="Quick.", seed=seed).status, 200)
        self.assertTrue(first + slow.read() == said(LONG_TEXT, "--seed", 1))

    def test_cut_speech_is_told(self):
        response = self.server.speak(input=LONG_TEXT, seed=1, max_tokens=70)
        body = response.read()
        self.assertEqual(len(body) - HEADER_BYTES, 10 * 2048 * 2)
        line = self.server.wait_for("speech", id=response.headers["x-request-id"])
        self.assertEqual(line["finish"], "length")

    def test_errors_are_told_before_the_first_byte(self):
        cases = [
            (b'{"input": "a", }', 400, "line 1, column 16"),
            (b"", 400, "JSON"),
            (b'{"input": "\xff"}', 400, "UTF-8"),
            (b'{"voice": "ada"}', 400, "required"),
            (b'{"input": ""}', 400, "empty"),
            (b'{"input": "\\u200b \\n"}', 400, ""),
            (b'{"input": "a", "voice": "nobody"}', 400, "ada, max"),
            (b'{"input": "a", "response_format": "midi"}', 400, "wav"),
            (b'{"input": "a", "speed": 5}', 400, "speed"),
            (b'{"input": "a", "top_p": 3}', 400, "top_p"),
            (b'{"input": "a", "temperature": -1}', 400, "temperature"),
            (b'{"input": "a", "max_tokens": 0}', 400, "max_tokens"),
            (b'{"input": "' + b"a" * 70000 + b'"}', 400, "65536"),
            (b'{"input": "' + b"a" * 2000000 + b'"}', 413, "1048576"),
        ]
        for body, status, part in cases:
            connection = self.server.connect()
            connection.request("POST", "/v1/audio/speech", body)
            response = connection.getresponse()
            text = response.read().decode()
            self.assertEqual(response.status, status, body[:60])
            error = json.loads(text)["error"]
            self.assertEqual(sorted(error), ["code", "message", "param", "type"])
            self.assertIn(part, error["message"], body[:60])
            self.assertTrue(response.headers["x-request-id"])
            connection.close()

    def test_lists(self):
        self.assertEqual(self.server.get("/v1/models")[1]["data"][0]["id"], "demo")
        voices = self.server.get("/api/voices")[1]
        self.assertEqual([v["name"] for v in voices["voices"]], ["ada", "max"])
        self.assertEqual(voices["default"], "ada")
        self.assertEqual(self.server.get("/healthz"), (200, {"status": "ok"}))


@unittest.skipUnless(shutil.which("curl"), "curl is not installed")
class Curl(unittest.TestCase):
    def curl(self, server, *arguments):
        return subprocess.run(["curl", "-sS", *arguments, server.url("/v1/audio/speech")],
                              capture_output=True, timeout=PATIENCE_S)

    def test_as_the_documentation_says(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            file = folder + "/hello.wav"
            expected = said("Hello there.", "--seed", "1")
            body = '{"input": "Hello there.", "seed": 1, "response_format": "wav"}'
            for version in ("--http1.1", "--http1.0"):
                got = self.curl(server, version, "-d", body, "-o", file)
                self.assertEqual((got.returncode, got.stderr), (0, b""), version)
                with open(file, "rb") as stream:
                    self.assertEqual(stream.read()[HEADER_BYTES:], expected, version)
            trailers = self.curl(server, "-D", "-", "-o", file, "-d", body)
            self.assertIn(b"x-lyre-finish-reason: stop", trailers.stdout)
            if shutil.which("ffprobe"):
                probe = subprocess.run(
                    ["ffprobe", "-v", "error", "-show_entries",
                     "stream=codec_name,sample_rate,channels", "-of", "csv=p=0", file],
                    capture_output=True, text=True)
                self.assertEqual(probe.stdout.strip(), "pcm_s16le,24000,1")
                self.assertEqual(probe.stderr, "")


class ServerLife(unittest.TestCase):
    def test_a_full_queue_is_429_with_retry_after(self):
        with Server("--max-batch", 1, "--max-queue", 1) as server:
            running = server.speak(input=LONG_TEXT)
            running.read1(1024)

            def ask(_):
                connection = server.connect()
                response = server.speak(connection, input="Next.")
                if response.status == 429:
                    response.read()
                return response.status, response.headers["Retry-After"]

            waiting = server.connect()
            waiting.request("POST", "/v1/audio/speech", '{"input": "Waits."}')
            self.assertTrue(eventually(lambda: server.get("/readyz")[1]["queued"] == 1))
            self.assertEqual([ask(i) for i in range(3)], [(429, "1")] * 3)
            running.close()
            self.assertEqual(waiting.getresponse().status, 200)

    def test_sigterm_lets_streams_finish(self):
        with Server("--stop-seconds", PATIENCE_S) as server:
            response = server.speak(input=LONG_TEXT, seed=1, response_format="pcm")
            first = response.read1(1024)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("stopping")

            def refused():
                try:
                    server.connect().connect()
                except OSError:
                    return True
                return False

            self.assertTrue(eventually(refused))
            self.assertTrue(first + response.read() == said(LONG_TEXT, "--seed", 1))
            self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0)

    def test_streams_that_take_too_long_are_cut(self):
        with Server("--stop-seconds", 0) as server:
            response = server.speak(input=LONG_TEXT)
            response.read1(1024)
            server.process.send_signal(signal.SIGINT)
            with self.assertRaises(http.client.HTTPException):
                response.read()
            self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0)

    def test_the_second_signal_ends_at_once(self):
        with Server() as server:
            server.speak(input=LONG_TEXT).read1(1024)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("stopping")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=PATIENCE_S), 130)

    def test_a_taken_port_is_an_error(self):
        with Server() as server:
            second = lyre("serve", "--port", server.port)
            self.assertEqual(second.returncode, 1)
            self.assertIn(str(server.port).encode(), second.stderr)

    def test_other_names_for_voices(self):
        with Server("--voice-aliases", "butler=max") as server:
            self.assertEqual(server.get("/v1/audio/voices")[1]["aliases"]["butler"], "max")
            for name, voice in (("butler", "max"), ("alloy", "ada"), ("ash", "max")):
                response = server.speak(input="Sir?", voice=name, max_tokens=70)
                self.assertEqual((response.status, response.headers["x-lyre-voice"]), (200, voice))
                response.read()

    def test_a_name_for_no_voice_ends_the_start(self):
        server = lyre("serve", "--port", 0, "--voice-aliases", "butler=nobody")
        self.assertEqual(server.returncode, 2)
        self.assertIn(b"voice_aliases: expected for 'butler' one of ada, max, found 'nobody'", server.stderr)

    def test_two_servers_say_the_same(self):
        bodies = []
        for flags in (["--threads", 1, "--max-batch", 1], ["--threads", 2]):
            with Server(*flags) as server:
                bodies.append(server.speak(input="Twice the same.", seed=9).read())
        self.assertEqual(*bodies)


if __name__ == "__main__":
    unittest.main()
