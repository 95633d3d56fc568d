"""Profiling by the real program: `lyre profile`, ENABLE_PROFILING, the start timeline and their files."""

import json
import os
import pathlib
import re
import tempfile
import unittest

from lyre_program import VOICE, Server, eventually, lyre

TEXT = "A short sentence."


def environment(**more):
    return {**os.environ, **more}


def check_trace(test, trace):
    """The keys that every event must have, and that complete events of a thread nest."""
    named = set()
    by_thread = {}
    pairs = {}
    for event in trace["traceEvents"]:
        test.assertIn(event["ph"], ("M", "X", "b", "e"))
        test.assertIsInstance(event["name"], str)
        test.assertIsInstance(event["pid"], int)
        test.assertIsInstance(event["tid"], int)
        if event["ph"] == "M":
            test.assertIsInstance(event["args"]["name"], str)
            if event["name"] == "thread_name":
                named.add(event["tid"])
            continue
        test.assertGreaterEqual(event["ts"], 0)
        test.assertEqual(event["cat"], event["name"].split(".")[0])
        if event["ph"] == "X":
            test.assertGreaterEqual(event["dur"], 0)
            # In whole nanoseconds, which doubles hold exactly.
            begin = round(event["ts"] * 1000)
            by_thread.setdefault(event["tid"], []).append((begin, begin + round(event["dur"] * 1000)))
        else:
            pairs.setdefault(event["id"], []).append(event)
    for tid, spans in by_thread.items():
        test.assertIn(tid, named)
        outer = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while outer and outer[-1] <= begin:
                outer.pop()
            if outer:
                test.assertLessEqual(end, outer[-1], "spans of thread %d cross" % tid)
            outer.append(end)
    for pair in pairs.values():
        test.assertEqual([event["ph"] for event in pair], ["b", "e"])
        test.assertLessEqual(pair[0]["ts"], pair[1]["ts"])
    return sum(len(spans) for spans in by_thread.values())


class ProfileCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, "trace.json")
            done = lyre("profile", TEXT, "--runs", 3, "--streams", 2, "--voice-dir", VOICE,
                        "--json", "-", "--trace", trace)
            if done.returncode != 0:
                raise AssertionError(done.stderr.decode())
            cls.report = json.loads(done.stdout)
            cls.trace = json.loads(trace.read_text())
        cls.operations = {row["name"]: row for row in cls.report["profile"]["operations"]}

    def test_counts_agree(self):
        requests, operations = self.report["requests"], self.operations
        self.assertEqual(requests["count"], 6)
        arguments = lambda name, key: operations[name]["arguments"][key]
        self.assertEqual(arguments("lm.prefill", "tokens") + arguments("lm.decode", "tokens"),
                         requests["tokens"])
        self.assertEqual(arguments("codec.push", "frames"), requests["frames"])
        self.assertEqual(arguments("engine.deliver", "samples"), self.report["chunks"]["samples"])
        self.assertEqual(arguments("reader.read", "samples"), self.report["chunks"]["samples"])
        self.assertEqual(operations["reader.read"]["count"], self.report["chunks"]["count"])
        self.assertEqual(operations["text.prepare"]["count"], requests["count"])
        self.assertAlmostEqual(requests["tokens_per_frame"], requests["tokens"] / requests["frames"])
        self.assertAlmostEqual(requests["frames_per_token"], requests["frames"] / requests["tokens"])

    def test_times_agree(self):
        wall_ms = self.report["profile"]["wall_ms"]
        self.assertGreater(wall_ms, 0)
        for name, row in self.operations.items():
            self.assertGreater(row["count"], 0, name)
            self.assertLessEqual(row["min_ms"], row["max_ms"], name)
            self.assertAlmostEqual(row["mean_ms"] * row["count"], row["total_ms"], 6, name)
            self.assertAlmostEqual(row["share"], row["total_ms"] / wall_ms, 9, name)
            self.assertAlmostEqual(row["self_share"], row["self_ms"] / wall_ms, 9, name)
            self.assertLessEqual(row["self_ms"], row["total_ms"], name)
        totals = [row["total_ms"] for row in self.report["profile"]["operations"]]
        self.assertEqual(totals, sorted(totals, reverse=True))
        # What the engine thread does one after the other fits into the time that passed.
        own = sum(self.operations[name]["total_ms"] for name in
                  ("lm.prefill", "lm.decode", "codec.push", "engine.plan", "engine.deliver"))
        self.assertLessEqual(own, wall_ms)
        worst = self.report["profile"]["bottlenecks"]
        self.assertTrue(worst)
        self.assertFalse([row for row in worst if row["name"].startswith("wait.")])

    def test_spreads(self):
        for key in ("first_audio_ms", "real_time_factor"):
            spread = self.report["requests"][key]
            self.assertGreater(spread["min"], 0)
            self.assertLessEqual(spread["min"], spread["median"])
            self.assertLessEqual(spread["median"], spread["max"])
        chunks = self.report["chunks"]
        self.assertLessEqual(chunks["min_samples"], chunks["mean_samples"])
        self.assertLessEqual(chunks["mean_samples"], chunks["max_samples"])
        self.assertAlmostEqual(chunks["mean_ms"], chunks["mean_samples"] / 24)

    def test_trace_file(self):
        self.assertGreater(check_trace(self, self.trace), 100)
        names = {event["args"]["name"] for event in self.trace["traceEvents"]
                 if event["name"] == "thread_name"}
        self.assertLessEqual({"engine", "reader 0", "reader 1"}, names)
        # Nothing was dropped, so the file has as many events as the table counts.
        self.assertEqual(self.trace["otherData"]["dropped_events"], "0")
        steps = sum(event["name"] == "lm.decode" for event in self.trace["traceEvents"])
        self.assertEqual(steps, self.operations["lm.decode"]["count"])

    def test_table(self):
        run = lyre("profile", "--text", TEXT, "--runs", 1, "--voice-dir", VOICE, "--trace", "/nowhere/trace")
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"/nowhere/trace", run.stderr)
        table = run.stdout.decode()  # is not lost with the file
        for words in ("time to first audio", "real-time factor", "tokens a frame", "audio chunks",
                      "lm.decode", "bottlenecks: "):
            self.assertIn(words, table)

    def test_wrong_use(self):
        self.assertEqual(lyre("profile", "--runs", 0).returncode, 2)
        both = lyre("profile", TEXT, "--json", "-", "--trace", "-", "--voice-dir", VOICE)
        self.assertEqual(both.returncode, 2)
        self.assertIn(b"standard output", both.stderr)
        self.assertEqual(lyre("profile", "  ", "--voice-dir", VOICE).returncode, 2)
        self.assertEqual(lyre("profile", TEXT, "--model", "/nowhere", "--codec", "/nowhere").returncode,
                         3)


class ProfilingSetting(unittest.TestCase):
    def say(self, *flags, **variables):
        with tempfile.TemporaryDirectory() as folder:
            return lyre("say", TEXT, "--seed", 1, "-o", pathlib.Path(folder, "x.wav"), "--voice-dir",
                        VOICE, *flags, env=environment(**variables))

    def test_say_prints_the_profile(self):
        for run in (self.say("--profiling"), self.say(ENABLE_PROFILING="Yes")):
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn(b"profile of ", run.stderr)
            self.assertIn(b"lm.decode", run.stderr)
            self.assertIn(b"open.language_model", run.stderr)
        for run in (self.say(), self.say(ENABLE_PROFILING="off")):
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertNotIn(b"profile of ", run.stderr)

    def test_a_bad_value_names_the_variable(self):
        run = self.say(ENABLE_PROFILING="perhaps")
        self.assertEqual(run.returncode, 2)
        self.assertIn(b"ENABLE_PROFILING", run.stderr)
        self.assertIn(b"perhaps", run.stderr)

    def test_server(self):
        with Server("--voice-dir", VOICE, "--profiling", "--warmup=false") as server:
            self.assertGreater(len(server.speak(input=TEXT, seed=1).read()), 1000)
            found = []

            def recorded():
                status, body = server.get("/v1/profile")
                self.assertEqual(status, 200)
                found[:] = [{row["name"]: row for row in body["operations"]}]
                return found[0].get("server.write", {"count": 0})["count"] > 0

            self.assertTrue(eventually(recorded))
            for name in ("server.read", "server.route", "server.first_byte", "lm.decode", "codec.push"):
                self.assertIn(name, found[0])
            status, trace = server.get("/v1/profile/trace")
            self.assertEqual(status, 200)
            self.assertGreater(check_trace(self, trace), 100)
            names = {event["args"]["name"] for event in trace["traceEvents"]
                     if event["name"] == "thread_name"}
            self.assertLessEqual({"main", "engine", "io 0"}, names)
            server.process.terminate()
            server.process.wait()
            self.assertTrue(eventually(
                lambda: any(line["message"].startswith("bottlenecks: ") for line in server.log)))

    def test_server_without_it(self):
        with Server("--voice-dir", VOICE, "--warmup=false") as server:
            for path in ("/v1/profile", "/v1/profile/trace"):
                status, body = server.get(path)
                self.assertEqual(status, 404)
                self.assertIn("--profiling", body["error"]["message"])
                self.assertIn("ENABLE_PROFILING", body["error"]["message"])


class StartTimeline(unittest.TestCase):
    def test_text(self):
        with Server("--voice-dir", VOICE, "--start-timeline", "text") as server:
            self.assertTrue(eventually(
                lambda: any(line["message"].startswith("from the start") for line in server.log)))
            status, _ = server.get("/v1/profile")
            self.assertEqual(status, 404)  # it recorded until ready only
        lines = [line["message"] for line in server.log]
        head = next(line for line in lines if line.startswith("from the start of the program to ready: "))
        self.assertRegex(head, r"ready: [0-9.]+ ms")
        rows = [line for line in lines if re.search(r"\|[ #]{50}\| +[0-9.]+ ms$", line)]
        self.assertTrue(rows)
        self.assertLessEqual(len(rows), 40)
        self.assertLessEqual(max(map(len, rows)), 100)

    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "start.json")
            with Server("--voice-dir", VOICE, "--start-timeline", file):
                self.assertTrue(eventually(file.exists))
                trace = {}

                def whole():
                    try:
                        trace.update(json.loads(file.read_text()))
                    except ValueError:
                        return False
                    return True

                self.assertTrue(eventually(whole))
        check_trace(self, trace)
        names = {event["name"] for event in trace["traceEvents"]}
        self.assertLessEqual({"start.settings", "open.language_model", "open.codec", "open.tokenizer"},
                             names)

    def test_a_file_that_cannot_be_written_changes_nothing_else(self):
        with Server("--voice-dir", VOICE, "--warmup=false",
                    "--start-timeline", "/nowhere/start.json") as server:
            server.wait_for("the start timeline is lost")
            self.assertGreater(len(server.speak(input=TEXT, seed=1).read()), 1000)


if __name__ == "__main__":
    unittest.main()
