"""The warm-up of lyre serve with the demo voice: phases, failures, early requests, signals, and what is told of them."""

import concurrent.futures
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import time
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, VOICE, Server, eventually, lyre, reset

START = "🔥 Starting SNAC model warmup..."
DONE = "✅ SNAC model warmup completed in "
FAILED = "⚠️  SNAC warmup failed after "
COLD = "Model will still work but first inference will be slower"
READY = "🚀 Models are now ready for optimal performance!"


def post(server, path):
    connection = server.connect()
    connection.request("POST", path)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def metrics(server):
    """The samples of /metrics: name with labels -> value."""
    connection = server.connect()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}


def waiting(server, count):
    """Waits until so many early requests wait, or the server is ready."""
    return eventually(lambda: server.get("/readyz")[1].get("waiting", count) == count)


def messages(server):
    return [line["message"] for line in server.log]


def said(server, messages_beginning):
    return [m for m in messages(server) if m.startswith(messages_beginning)]


def audio(server, text="Hello there.", seed=1):
    response = server.speak(input=text, seed=seed, response_format="pcm")
    body = response.read()
    assert response.status == 200, (response.status, body)
    return body


class Warm(unittest.TestCase):
    """One server as everybody starts it, to compare with."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.__enter__()
        cls.audio = audio(cls.server)
        cls.report = cls.server.get("/v1/warmup")[1]
        cls.steps = [step["name"] for step in cls.report["steps"]]

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def failed(self, server):
        return {step["name"] for step in server.get("/v1/warmup")[1]["steps"]
                if step["outcome"] == "failed"}

    def test_ready_is_warm(self):
        ready = self.server.wait_for("ready")
        self.assertTrue(ready["warm"])
        self.assertEqual(ready["failed_steps"], "")
        for field in ("ready_ms", "warmup_ms", "first_request_ms", "load_ms"):
            self.assertGreater(ready[field], 0, field)
        for line in (START, DONE, READY):
            self.assertEqual(len(said(self.server, line)), 1, line)
        for line in (FAILED, COLD):
            self.assertEqual(said(self.server, line), [])
        status, body = self.server.get("/readyz")
        self.assertEqual((status, body["warm"]), (200, True))

    def test_the_report_names_every_step(self):
        self.assertEqual((self.report["status"], self.report["warm"], self.report["runs"]),
                         ("ready", True, 1))
        self.assertEqual(self.report["first_request_by"], "server")
        self.assertGreater(self.report["first_request_ms"], 0)
        self.assertGreater(self.report["ready_ms"], self.report["total_ms"])
        self.assertEqual(len(set(self.steps)), len(self.steps))
        for part in ("lm.", "codec.", "engine.", "server."):
            self.assertTrue([name for name in self.steps if name.startswith(part)], part)
        self.assertEqual(self.steps[-3:], ["server.synthesis.io0", "server.synthesis.io1",
                                           "server.encodings"])
        self.assertEqual({step["outcome"] for step in self.report["steps"]}, {"ok"})

    def test_metrics(self):
        found = metrics(self.server)
        self.assertEqual((found["lyre_ready"], found["lyre_warm"]), (1, 1))
        self.assertGreater(found["lyre_ready_seconds"], 0)
        for name in self.steps:
            self.assertIn('lyre_warmup_step_seconds{step="%s",outcome="ok"}' % name, found)
        for part in ("first_audio", "total"):
            self.assertGreater(found['lyre_first_request_seconds{part="%s"}' % part], 0)
        audio(self.server)
        name = 'lyre_steady_request_seconds{part="total"}'
        self.assertTrue(eventually(lambda: name in metrics(self.server)))

    def test_its_own_requests_are_not_counted_and_not_logged(self):
        with Server() as server:
            self.assertEqual(server.get("/readyz")[1]["requests"],
                             dict.fromkeys(("submitted", "finished", "failed", "cancelled", "cut"), 0))
            self.assertEqual(said(server, "speech"), [])
            self.assertNotIn("/v1/models", [line.get("path") for line in server.log])

    def test_audio_without_a_warm_up_is_the_same(self):
        with Server("--warmup=off") as server:
            status, body = server.get("/readyz")
            self.assertEqual((status, body["warm"], body["warming"]), (200, False, False))
            self.assertEqual(server.get("/v1/warmup")[1]["runs"], 0)
            self.assertEqual(audio(server), self.audio)
            self.assertEqual(said(server, START), [])
            # By hand, then.
            status, body = post(server, "/v1/warmup")
            self.assertEqual((status, body["warm"]), (200, True))
            # Two lanes run side by side: their order is not always the same.
            self.assertEqual(sorted(step["name"] for step in body["steps"]), sorted(self.steps))
            self.assertEqual(audio(server), self.audio)

    def test_each_step_may_fail_alone(self):
        def fail(numbered):
            number, name = numbered
            kind = ("error", "throw", "alloc")[number % 3]
            with Server("--threads", 1, "--warmup-faults", "%s=%s" % (name, kind)) as server:
                self.check_failure(server, {name}, name)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for _ in pool.map(fail, enumerate(self.steps)):
                pass

    def test_all_steps_may_fail_together(self):
        for kind in ("error", "throw", "alloc"):
            with Server("--warmup-faults", "*=" + kind) as server:
                self.check_failure(server, set(self.steps), kind)

    def check_failure(self, server, names, message):
        ready = server.wait_for("ready")
        self.assertFalse(ready["warm"], message)
        self.assertEqual(set(ready["failed_steps"].split(",")), names)
        self.assertEqual(self.failed(server), names)
        status, body = server.get("/readyz")
        self.assertEqual((status, body["warm"]), (200, False), message)
        self.assertEqual({step["name"] for step in body["failed_steps"]}, names)
        for step in body["failed_steps"]:
            self.assertTrue(step["error"], step)
        found = metrics(server)
        self.assertEqual((found["lyre_ready"], found["lyre_warm"]), (1, 0))
        for name in names:
            self.assertIn('lyre_warmup_step_seconds{step="%s",outcome="failed"}' % name, found)
        codec = any(name.startswith("codec.") for name in names)
        self.assertEqual(len(said(server, FAILED)), int(codec), message)
        self.assertEqual(len(said(server, COLD)), int(codec), message)
        self.assertEqual(len(said(server, DONE)), int(not codec), message)
        self.assertEqual(said(server, READY), [])
        self.assertEqual(audio(server), self.audio, message)

    def test_files_that_vanish_meanwhile_are_not_missed(self):
        with tempfile.TemporaryDirectory() as folder:
            voice = shutil.copytree(VOICE, os.path.join(folder, "voice"))
            with Server("--voice-dir", voice, "--warmup-faults", "codec.first_frame=stall:300", ready=False) as server:
                self.assertTrue(eventually(lambda: server.get("/readyz")[1]["status"] != "loading"))
                shutil.rmtree(voice)
                server.wait_for("ready")
                self.assertTrue(server.get("/readyz")[1]["warm"])
                self.assertEqual(audio(server), self.audio)

    def test_post_runs_it_beside_streams(self):
        with Server() as server:
            text = LONG_TEXT[:290]
            expected = audio(server, text, 3)
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                streams = [pool.submit(audio, server, text, 3) for _ in range(2)]
                runs = [pool.submit(post, server, "/v1/warmup") for _ in range(3)]
                for run in runs:
                    status, body = run.result()
                    self.assertEqual(status, 200)
                    self.assertEqual({step["outcome"] for step in body["steps"]} - {"skipped"},
                                     {"ok"}, body)
                for stream in streams:
                    self.assertEqual(stream.result(), expected)
            self.assertGreaterEqual(server.get("/v1/warmup")[1]["runs"], 2)
            self.assertEqual(server.get("/readyz")[1]["requests"]["finished"], 3)


class Switches(unittest.TestCase):
    def test_without_the_codec(self):
        for value in ("false", "0", "No", "OFF"):
            environment = dict(os.environ, ENABLE_SNAC_WARMUP=value)
            with Server(environment=environment) as server:
                self.assertEqual(said(server, "🔥"), [], value)
                report = server.get("/v1/warmup")[1]
                names = [step["name"] for step in report["steps"]]
                self.assertTrue([name for name in names if name.startswith("lm.")])
                self.assertFalse([name for name in names
                                  if name.startswith(("codec.", "engine.syn", "server."))], names)
                self.assertFalse(server.get("/readyz")[1]["warm"])
                if value == "false":
                    self.assertTrue(post(server, "/v1/warmup")[1]["warm"])
                    self.assertEqual(len(said(server, START)), 1)

    def test_with_it(self):
        for value in ("true", "1", "YES", "on"):
            with Server(environment=dict(os.environ, ENABLE_SNAC_WARMUP=value)) as server:
                self.assertTrue(server.wait_for("ready")["warm"], value)

    def test_a_bad_value_names_the_variable(self):
        for variable, value in (("ENABLE_SNAC_WARMUP", "maybe"), ("LYRE_WARMUP", "2"),
                                ("LYRE_READY_WHEN", "hot"), ("LYRE_KEEP_WARM", "often"),
                                ("LYRE_EARLY_REQUESTS", "drop")):
            result = lyre("serve", "--port", 0, env=dict(os.environ, **{variable: value}))
            self.assertEqual(result.returncode, 2, variable)
            self.assertIn(("lyre: %s: expected" % variable).encode(), result.stderr)
            self.assertIn(("'%s'" % value).encode(), result.stderr)

    def test_a_fault_that_is_not_understood_is_an_error(self):
        result = lyre("serve", "--port", 0, "--warmup-faults", "lm.*=explode")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"explode", result.stderr)


class Loading:
    """A server whose model does not load before it is told to: it reads its voices from a pipe."""

    VOICES = '{"voices": [{"name": "ada"}, {"name": "max"}]}'

    def __init__(self, *flags):
        self._folder = tempfile.TemporaryDirectory()
        self._pipe = self._folder.name + "/voices.json"
        os.mkfifo(self._pipe)
        self.server = Server(*flags, "--voices-file", self._pipe, ready=False)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *unused):
        self.server.__exit__()
        self._folder.cleanup()

    def load(self, voices=VOICES):
        with open(self._pipe, "w", encoding="utf-8") as pipe:
            pipe.write(voices)

    def ask_early(self, path="/v1/audio/speech"):
        """A request that waits for the server; its answer is yet to be read."""
        connection = self.server.connect()
        connection.request("POST", path,
                           '{"input": "Hello there.", "seed": 1, "response_format": "wav"}')
        return connection


class EarlyRequests(unittest.TestCase):
    def test_they_wait_and_are_served(self):
        with Loading() as loading:
            server = loading.server
            self.assertEqual(server.get("/readyz"), 
                             (503, {"status": "loading", "waiting": 0, "steps": []}))
            self.assertEqual(server.get("/healthz"), (200, {"status": "ok"}))
            self.assertEqual(post(server, "/v1/warmup")[0], 503)
            early = [loading.ask_early() for _ in range(3)]
            self.assertTrue(waiting(server, 3))
            loading.load()
            bodies = []
            for connection in early:
                response = connection.getresponse()
                self.assertEqual(response.status, 200)
                bodies.append(response.read()[44:])
            self.assertEqual(set(bodies), {audio(server)})
            # They came before it was ready: the first that counts is the one after them.
            self.assertTrue(eventually(
                lambda: 'lyre_first_request_seconds{part="total"}' in metrics(server)))
            self.assertNotIn('lyre_steady_request_seconds{part="total"}', metrics(server))

    def test_they_are_refused_if_so_set(self):
        with Loading("--early-requests", "refuse") as loading:
            response = loading.server.speak(input="Hello.")
            self.assertEqual((response.status, response.headers["Retry-After"]), (503, "1"))
            self.assertEqual(json.loads(response.read())["error"]["code"], "not_ready")
            loading.load()
            loading.server.wait_for("ready")
            self.assertEqual(loading.server.speak(input="Hello.").status, 200)

    def test_they_wait_for_a_limited_time(self):
        with Loading("--early-wait-seconds", 0) as loading:
            self.assertEqual(loading.server.speak(input="Hello.").status, 503)

    def test_only_so_many_wait(self):
        with Loading("--max-batch", 1, "--max-queue", 1) as loading:
            connections = [loading.ask_early() for _ in range(3)]
            readable, _, _ = select.select([c.sock for c in connections], [], [], PATIENCE_S)
            self.assertEqual(len(readable), 1)
            refused = [c for c in connections if c.sock is readable[0]][0]
            connections.remove(refused)
            self.assertEqual(refused.getresponse().status, 503)
            loading.load()
            self.assertEqual([c.getresponse().status for c in connections], [200, 200])

    def test_those_who_leave_are_dropped(self):
        with Loading() as loading:
            server = loading.server
            for i in range(3):
                connection = loading.ask_early()
                self.assertTrue(waiting(server, 1))
                reset(connection) if i == 0 else connection.close()
            self.assertTrue(eventually(
                lambda: len([l for l in server.log if l.get("status") == 499]) == 3))
            loading.load()
            server.wait_for("ready")
            self.assertEqual(server.get("/readyz")[1]["requests"]["submitted"], 0)

    def test_the_stop_tells_them(self):
        with Loading() as loading:
            early = [loading.ask_early() for _ in range(3)]
            self.assertTrue(waiting(loading.server, 3))
            loading.server.process.send_signal(signal.SIGTERM)
            self.assertEqual([c.getresponse().status for c in early], [503] * 3)
            self.assertEqual(loading.server.process.wait(timeout=PATIENCE_S), 0)

    def test_a_model_that_does_not_load_tells_them(self):
        with Loading() as loading:
            early = loading.ask_early()
            self.assertTrue(waiting(loading.server, 1))
            loading.load("no JSON")
            self.assertEqual(early.getresponse().status, 503)
            self.assertIn(loading.server.process.wait(timeout=PATIENCE_S), (2, 3))


STALL = ("--warmup-faults", "engine.synthesis=stall:700")


class WhileItWarms(unittest.TestCase):
    """Servers that stall before the first whole request. How long that takes is nothing to rely on: what they answer
    must be right whenever it is asked."""

    def warming(self, server):
        return server.get("/readyz")[1]["status"] == "warming"

    def test_phases_are_seen_in_order(self):
        with Server(*STALL, ready=False) as server:
            seen, steps = [], 0
            while not seen or seen[-1] != "ready":
                self.assertEqual(server.get("/healthz"), (200, {"status": "ok"}))
                status, body = server.get("/readyz")
                self.assertEqual(status, 200 if body["status"] == "ready" else 503)
                if not seen or seen[-1] != body["status"]:
                    seen.append(body["status"])
                if body["status"] == "warming":
                    self.assertGreaterEqual(len(body["steps"]), steps)
                    steps = len(body["steps"])
                time.sleep(0.005)
            self.assertEqual(seen[-2:], ["warming", "ready"])
            self.assertIn(seen[:-2], ([], ["loading"]))
            self.assertGreater(steps, 3)
            self.assertTrue(body["warm"])

    def test_requests_meanwhile_wait(self):
        with Server(*STALL, ready=False) as server, \
                concurrent.futures.ThreadPoolExecutor(4) as pool:
            self.assertTrue(eventually(lambda: self.warming(server)))
            early = [pool.submit(audio, server) for _ in range(3)]
            voices = pool.submit(server.get, "/api/voices")
            done = [request.done() for request in (*early, voices)]
            if self.warming(server):
                self.assertEqual(done, [False] * 4)
            bodies = {request.result() for request in early}
            self.assertEqual(voices.result()[0], 200)
            self.assertEqual(bodies, {audio(server)})

    def test_loaded_may_be_enough(self):
        with Server(*STALL, "--ready-when", "loaded", "--early-requests", "refuse") as server:
            status, body = server.get("/readyz")
            self.assertEqual((status, body["status"]), (200, "ready"))
            self.assertEqual(body["warm"], not body["warming"])
            early = audio(server)
            self.assertTrue(server.wait_for("warmed up")["warm"])
            self.assertTrue(server.get("/readyz")[1]["warm"])
            self.assertEqual(audio(server), early)

    def test_sigterm_is_prompt_and_clean(self):
        for name in ("engine.synthesis", "lm.*", "codec.*"):
            with Server("--warmup-faults", name + "=stall:300", ready=False) as server:
                self.assertTrue(eventually(lambda: self.warming(server)), name)
                early = server.connect()
                early.request("POST", "/v1/audio/speech", '{"input": "Hello."}')
                self.assertTrue(waiting(server, 1))
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0, name)
                server.wait_for("stopped")
                if not said(server, "ready"):
                    self.assertEqual(early.getresponse().status, 503)

    def test_a_long_stall_does_not_hold_the_stop_up(self):
        for name in ("engine.synthesis", "lm.frame", "text.*"):
            with Server("--warmup-faults", name + "=stall:3600000", ready=False) as server:
                self.assertTrue(eventually(lambda: self.warming(server)), name)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0, name)

    def test_a_stalled_step_lets_requests_through(self):
        with Server("--warmup-faults", "lm.frame=stall:3600000", "--ready-when", "loaded") as server:
            self.assertTrue(server.get("/readyz")[1]["warming"])
            body = audio(server)
            self.assertTrue(body)
            self.assertTrue(server.get("/readyz")[1]["warming"])

    def test_the_second_signal_ends_at_once(self):
        with Server("--warmup-faults", "engine.synthesis=stall:3600000", "--ready-when", "loaded",
                    "--stop-seconds", "3600") as server:
            stream = server.speak(input=LONG_TEXT, response_format="pcm")  # nobody reads it to its end
            self.assertEqual(stream.status, 200)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("stopping")
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(server.process.wait(timeout=PATIENCE_S), 130)


class Notify(unittest.TestCase):
    """systemd's end of the protocol."""

    def told(self, address, *flags):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.settimeout(PATIENCE_S)
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        lines = []

        def hear(last):
            while last not in lines:
                lines.extend(listener.recv(4096).decode().splitlines())

        with listener, Server(*flags, environment=dict(os.environ, NOTIFY_SOCKET=address)) as server:
            hear("READY=1")
            before = list(lines)
            self.assertEqual(server.get("/readyz")[0], 200)
            server.process.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0)
        return before

    def test_ready_when_warm(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = self.told(folder + "/notify")
        self.assertIn("EXTEND_TIMEOUT_USEC=15000000", lines)
        states = [line for line in lines if not line.startswith("EXTEND")]
        self.assertEqual(states, ["STATUS=Loading the model", "STATUS=Warming up", "READY=1",
                                  "STATUS=Ready"])

    def test_ready_when_loaded_through_an_abstract_socket(self):
        lines = self.told("@lyre-e2e-%d" % os.getpid(), "--ready-when", "loaded", *STALL)
        self.assertIn("READY=1", lines)


if __name__ == "__main__":
    unittest.main()
