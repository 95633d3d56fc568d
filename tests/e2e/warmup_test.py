"""The warm-up of lyre serve with the demo voice: phases, failures, early requests, signals, and what is told of them."""

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, Server, eventually, lyre

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
        self.assertEqual(self.steps[-2:], ["server.synthesis.io0", "server.synthesis.io1"])
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
            self.assertEqual([step["name"] for step in body["steps"]], self.steps)
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

    def test_post_runs_it_beside_streams(self):
        with Server() as server:
            expected = audio(server, LONG_TEXT, 3)
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                streams = [pool.submit(audio, server, LONG_TEXT, 3) for _ in range(2)]
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


STALL = ("--warmup-faults", "engine.synthesis=stall:1500")


class WhileItWarms(unittest.TestCase):
    """Servers whose last but one step stalls."""

    def warming(self, server):
        """Waits for the stall: what comes before it is done."""
        def there():
            body = server.get("/readyz")[1]
            return body["status"] == "warming" and body["steps"]
        self.assertTrue(eventually(there))

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
            self.assertLessEqual(set(seen), {"loading", "warming", "ready"})
            self.assertGreater(steps, 3)
            self.assertTrue(body["warm"])

    def test_early_requests_wait(self):
        with Server(*STALL, ready=False) as server, \
                concurrent.futures.ThreadPoolExecutor(4) as pool:
            early = [pool.submit(audio, server) for _ in range(3)]
            self.warming(server)
            voices = pool.submit(server.get, "/api/voices")
            self.assertEqual([r.done() for r in early] + [voices.done()], [False] * 4)
            bodies = [request.result() for request in early]
            self.assertEqual(voices.result()[0], 200)
            self.assertEqual(len(set(bodies)), 1)
            self.assertEqual(bodies[0], audio(server))

    def test_early_requests_are_refused_if_so_set(self):
        with Server(*STALL, "--early-requests", "refuse", ready=False) as server:
            self.warming(server)
            response = server.speak(input="Hello.")
            self.assertEqual((response.status, response.headers["Retry-After"]), (503, "1"))
            self.assertEqual(json.loads(response.read())["error"]["code"], "not_ready")
            server.wait_for("ready")
            self.assertEqual(server.speak(input="Hello.").status, 200)

    def test_early_requests_wait_for_a_limited_time(self):
        with Server(*STALL, "--early-wait-seconds", 0, ready=False) as server:
            self.warming(server)
            self.assertEqual(server.speak(input="Hello.").status, 503)

    def test_early_clients_that_leave_are_dropped(self):
        with Server(*STALL, ready=False) as server:
            self.warming(server)
            for _ in range(3):
                connection = server.connect()
                connection.request("POST", "/v1/audio/speech", '{"input": "Hello."}')
                connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()
            server.wait_for("request", status=499)
            server.wait_for("ready")
            self.assertTrue(eventually(
                lambda: len([l for l in server.log if l.get("status") == 499]) == 3))
            self.assertEqual(server.get("/readyz")[1]["requests"]["submitted"], 0)

    def test_loaded_may_be_enough(self):
        with Server(*STALL, "--ready-when", "loaded", "--early-requests", "refuse") as server:
            status, body = server.get("/readyz")
            self.assertEqual((status, body["status"], body["warm"], body["warming"]),
                             (200, "ready", False, True))
            early = audio(server)
            self.assertTrue(server.wait_for("warmed up")["warm"])
            self.assertTrue(server.get("/readyz")[1]["warm"])
            self.assertEqual(audio(server), early)

    def test_sigterm_is_prompt_and_clean(self):
        for name in ("engine.synthesis", "lm.*", "codec.*"):
            with Server("--warmup-faults", name + "=stall:200", ready=False) as server, \
                    concurrent.futures.ThreadPoolExecutor(1) as pool:
                self.assertTrue(eventually(
                    lambda: server.get("/readyz")[1]["status"] == "warming"), name)
                waiting = pool.submit(lambda: server.speak(input="Hello.").status)
                # Its connection is counted before the signal comes, or refused after.
                time.sleep(0.05)
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(timeout=PATIENCE_S), 0, name)
                self.assertEqual(waiting.result(), 503)
                server.wait_for("stopped")
                self.assertEqual([m for m in messages(server) if m == "ready"], [])

    def test_the_second_signal_ends_at_once(self):
        with Server("--warmup-faults", "engine.synthesis=stall:60000", ready=False) as server:
            self.warming(server)
            server.process.send_signal(signal.SIGTERM)
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


class ExitWhileLoading(unittest.TestCase):
    def test_a_model_that_does_not_load_is_told_to_those_who_wait(self):
        with tempfile.TemporaryDirectory() as folder:
            result = lyre("serve", "--port", 0, "--model", folder, "--codec", folder)
            self.assertEqual(result.returncode, 3)


if __name__ == "__main__":
    unittest.main()
