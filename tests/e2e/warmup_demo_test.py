"""lyre warmup-demo: the same request in fresh processes, cold and warm."""

import json
import os
import tempfile
import unittest

from lyre_program import VOICE, lyre

OK, FAILED, USAGE, MODEL = 0, 1, 2, 3
SHORT = ["warmup-demo", "--runs", 2, "--requests", 2, "--max-tokens", 70, "--max-batch", 2]


class WarmupDemo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.json_file = os.path.join(folder.name, "demo.json")

    def test_table_and_json(self):
        # A switch of the environment does not change what is compared.
        result = lyre(*SHORT, "--json", self.json_file, env=dict(os.environ, ENABLE_SNAC_WARMUP="false"))
        self.assertEqual(result.returncode, OK, result.stderr)
        text = result.stdout.decode()
        for part in ("2 cold and 2 warm", "Time to first audio", "Time to last audio", "cold, first request",
                     "warm, first request", "steady, later requests", "improvement", "speed-up", "Codec first decode",
                     "equal, bit by bit", "Too few processes"):
            self.assertIn(part, text)
        with open(self.json_file) as file:
            report = json.load(file)
        self.assertEqual([run["warm"] for run in report["runs"]], [False, True, False, True])
        for run in report["runs"]:
            self.assertEqual(run["failed_steps"], [])
            self.assertEqual(len(run["requests"]), 3)
            self.assertEqual(run["audio_hash"], report["audio_hash"])
            self.assertEqual(run["warmup_ms"] > 0, run["warm"])
            for request in run["requests"]:
                self.assertGreater(request["first_audio_ms"], 0)
                self.assertGreaterEqual(request["total_ms"], request["first_audio_ms"])
        self.assertEqual(report["audio_s"], 10 * 2048 / 24000)
        for kind in ("first_audio", "total"):
            gain = report[kind]
            self.assertAlmostEqual(gain["improvement_ms"],
                                   gain["cold_first_ms"]["median"] - gain["warm_first_ms"]["median"], places=6)
            self.assertAlmostEqual(gain["speed_up"],
                                   gain["cold_first_ms"]["median"] / gain["warm_first_ms"]["median"], places=6)
        for kind in ("cold_ms", "warm_ms"):
            self.assertGreater(report["codec_first_decode"][kind]["median"], 0)

    def test_settings_reach_the_processes(self):
        hashes = set()
        for flags in (["--seed", 2], ["--seed", 3], ["--seed", 3, "--voice-dir", VOICE]):
            result = lyre("warmup-demo", "-n", 1, "--requests", 0, "--max-tokens", 35, "--max-batch", 1, "--json", "-", *flags)
            self.assertEqual(result.returncode, OK, result.stderr)
            hashes.add(json.loads(result.stdout)["audio_hash"])  # nothing but JSON is printed
        self.assertEqual(len(hashes), 2)

    def test_exit_codes(self):
        cases = [
            (["--runs", 0], USAGE, "--runs"),
            (["--child", "lukewarm"], USAGE, "lukewarm"),
            (["--threads", "x"], USAGE, "--threads"),
            (["--text", "", "-n", 1], USAGE, "empty"),
            (["--top-p", 3, "-n", 1], USAGE, "top_p"),
            (["--voice-dir", "/nowhere"], MODEL, "codec/"),
            (["--model", VOICE + "/codec", "--codec", VOICE + "/codec"], MODEL, ""),
            (["-n", 1, "--requests", 0, "--max-tokens", 21, "--json", "/nowhere/x"], FAILED, "/nowhere/x"),
        ]
        for flags, code, part in cases:
            result = lyre("warmup-demo", *flags)
            self.assertEqual(result.returncode, code, (flags, result.stderr))
            self.assertIn(part, result.stderr.decode(), flags)
            self.assertEqual(result.stderr.count(b"lyre: "), 1, (flags, result.stderr))


if __name__ == "__main__":
    unittest.main()
