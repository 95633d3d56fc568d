"""The other commands: say, bench, inspect, codec; pipes, files, exit codes, Ctrl-C."""

import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
import wave

from lyre_program import LONG_TEXT, PATIENCE_S, PROGRAM, VOICE, eventually, lyre

OK, FAILED, USAGE, MODEL, CUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def lyre(self, *arguments, **options):
        return lyre(*arguments, cwd=self.folder.name, **options)

    def samples(self, name):
        with wave.open(self.path(name)) as file:
            self.assertEqual((file.getframerate(), file.getnchannels(), file.getsampwidth()),
                             (24000, 1, 2))
            return file.readframes(file.getnframes())


class Say(InFolder):
    def test_files_pipes_and_raw_samples_are_the_same_speech(self):
        text = "The same in every form."
        with open(self.path("text"), "w") as file:
            file.write(text)
        self.assertEqual(self.lyre("say", text, "--seed", 1, "-o", "a.wav").returncode, OK)
        expected = self.samples("a.wav")
        self.assertGreater(len(expected), 20000)
        forms = [
            (["say", "-f", "text"], {}),
            (["say", *text.split()], {}),
            (["say", "-"], {"input": text.encode()}),
            (["say"], {"input": text.encode()}),
            (["say", "-f", "-"], {"input": text.encode()}),
        ]
        for arguments, options in forms:
            result = self.lyre(*arguments, "--seed", 1, "--raw", "-o", "-", **options)
            self.assertEqual((result.returncode, result.stderr), (OK, b""), arguments)
            self.assertTrue(result.stdout == expected, arguments)
        piped = self.lyre("say", text, "--seed", 1, "-o", "-")
        self.assertEqual(piped.stdout[44:], expected)
        self.assertEqual(piped.stdout[:4], b"RIFF")

    def test_the_seed_that_is_printed_repeats_the_speech(self):
        first = self.lyre("say", "Again.")
        self.assertIn(b"speech.wav: ", first.stderr)
        seed = first.stderr.split(b"seed ")[1].split()[0].decode()
        self.assertEqual(self.lyre("say", "Again.", "--seed", seed).returncode, OK)
        self.assertEqual(self.samples("speech.wav"), self.samples("speech-2.wav"))

    def test_an_explicit_output_is_overwritten_but_not_by_a_failure(self):
        for text in ("Long enough to be longer.", "Short."):
            self.assertEqual(self.lyre("say", text, "-o", "x.wav").returncode, OK)
        size = os.path.getsize(self.path("x.wav"))
        self.assertEqual(self.lyre("say", "x", "-o", "x.wav", "-v", "nobody").returncode, USAGE)
        self.assertEqual(os.path.getsize(self.path("x.wav")), size)

    def test_exit_codes(self):
        cases = [
            (["say", ""], USAGE, "empty"),
            (["say", "\u200b"], USAGE, ""),
            (["say", "a", "-v", "nobody"], USAGE, "ada, max"),
            (["say", "a", "--top-p", 3], USAGE, "top_p"),
            (["say", "a", "--max-text-bytes", 3, "bcdef"], USAGE, "3"),
            (["say", "a", "--threads", "x"], USAGE, "--threads"),
            (["say", "a", "-o", "/nowhere/a.wav"], FAILED, "/nowhere/a.wav"),
            (["say", "a", "--voice-dir", "/nowhere"], MODEL, "codec/"),
            (["say", "a", "--model", VOICE + "/lm", "--codec", VOICE + "/lm"], MODEL, ""),
            (["say", "a", "--model", VOICE + "/codec", "--codec", VOICE + "/codec"], MODEL, ""),
            (["say", LONG_TEXT, "--max-tokens", 70], CUT, "--max-tokens"),
            (["say", "a", "--backend", "cuda"], MODEL, ""),
        ]
        for arguments, code, part in cases:
            result = self.lyre(*arguments)
            self.assertEqual(result.returncode, code, (arguments, result.stderr))
            self.assertIn(part, result.stderr.decode(), arguments)
            self.assertTrue(result.stderr.startswith(b"lyre: ") or code == CUT, result.stderr)
            self.assertEqual(result.stdout, b"", arguments)

    def test_cut_speech_is_written_all_the_same(self):
        result = self.lyre("say", LONG_TEXT, "--max-tokens", 70, "-o", "cut.wav")
        self.assertEqual(result.returncode, CUT)
        self.assertEqual(len(self.samples("cut.wav")), 10 * 2048 * 2)

    def test_ctrl_c_leaves_a_valid_file(self):
        process = subprocess.Popen([PROGRAM, "say", " ".join([LONG_TEXT] * 20), "-o", "long.wav"],
                                   cwd=self.folder.name, stderr=subprocess.PIPE)
        file = self.path("long.wav")
        self.assertTrue(eventually(lambda: os.path.exists(file) and os.path.getsize(file) > 44))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, INTERRUPTED, errors)
        self.assertIn(b"long.wav", errors)
        self.assertEqual(len(self.samples("long.wav")) + 44, os.path.getsize(file))

    def test_a_reader_that_closes_the_pipe_ends_it(self):
        process = subprocess.Popen([PROGRAM, "say", " ".join([LONG_TEXT] * 20), "-o", "-"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(process.stdout.read(4), b"RIFF")
        process.stdout.close()
        process.stderr.read()
        self.assertNotEqual(process.wait(timeout=PATIENCE_S), OK)
        process.stderr.close()

    def test_timings(self):
        result = self.lyre("say", "Hello there.", "--timings")
        for word in (b"load", b"first audio", b"real-time factor", b"tokens", b"finish"):
            self.assertIn(word, result.stderr)


class Settings(InFolder):
    def test_flags_over_environment_over_file(self):
        with open(self.path("lyre.toml"), "w") as file:
            file.write('[sampling]\nseed = 1\n[log]\nlevel = "error"\n')
        said = {seed: self.lyre("say", "Who wins?", "--seed", seed, "--raw", "-o", "-").stdout
                for seed in (1, 2, 3)}
        self.assertEqual(len(set(said.values())), 3)
        environment = dict(os.environ, LYRE_CONFIG=self.path("lyre.toml"))
        command = ["say", "Who wins?", "--raw", "-o", "-"]
        self.assertEqual(self.lyre(*command, env=environment).stdout, said[1])
        environment["LYRE_SEED"] = "2"
        self.assertEqual(self.lyre(*command, env=environment).stdout, said[2])
        self.assertEqual(self.lyre(*command, "--seed", 3, env=environment).stdout, said[3])

    def test_an_installation_finds_its_voice_from_any_folder(self):
        os.makedirs(self.path("usr/bin"))
        os.makedirs(self.path("usr/share/lyre/voices"))
        shutil.copy(PROGRAM, self.path("usr/bin/lyre"))
        os.symlink(VOICE, self.path("usr/share/lyre/voices/demo"))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LYRE_")}
        result = subprocess.run([self.path("usr/bin/lyre"), "say", "Hello.", "--raw", "-o", "-"],
                                cwd="/", env=environment, capture_output=True)
        self.assertEqual(result.returncode, OK, result.stderr)
        self.assertGreater(len(result.stdout), 4096)


class OtherCommands(InFolder):
    def test_inspect(self):
        for folder, parts in ((VOICE, {"language_model", "codec"}), (VOICE + "/lm", {"language_model"}),
                              (VOICE + "/codec", {"codec"})):
            report = json.loads(self.lyre("inspect", folder, "--json").stdout)
            self.assertEqual(set(report), parts)
            text = self.lyre("inspect", folder)
            self.assertEqual(text.returncode, OK)
            self.assertIn(b"parameters", text.stdout)
        report = json.loads(self.lyre("inspect", VOICE, "--json").stdout)
        self.assertEqual(report["language_model"]["family"], "orpheus")
        self.assertEqual(report["codec"]["samples_per_frame"], 2048)

    def test_codec_there_and_back(self):
        self.assertEqual(self.lyre("say", "Round trip.", "--seed", 1, "-o", "a.wav").returncode, OK)
        frames = len(self.samples("a.wav")) // 2 // 2048
        self.assertEqual(self.lyre("codec", "encode", "a.wav", "-o", "a.codes").returncode, OK)
        with open(self.path("a.codes")) as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), frames)
        self.assertTrue(all(len(line.split()) == 7 for line in lines))
        for flags in ([], ["--no-noise"], ["--seed", "5"]):
            decoded = self.lyre("codec", "decode", "a.codes", "-o", "b.wav", *flags)
            self.assertEqual(decoded.returncode, OK, decoded.stderr)
            self.assertEqual(len(self.samples("b.wav")), frames * 2048 * 2)
        piped = self.lyre("codec", "decode", "-", "-o", "-", "--no-noise",
                          input=("\n".join(lines)).encode())
        self.assertEqual(self.lyre("codec", "decode", "a.codes", "-o", "c.wav",
                                   "--no-noise").returncode, OK)
        with wave.open(io.BytesIO(piped.stdout[:40] + b"\xff\xff\xff\x7f" + piped.stdout[44:])) as file:
            self.assertEqual(file.readframes(10**9), self.samples("c.wav"))

    def test_bench(self):
        result = self.lyre("bench", "-n", 2, "--batches", "1,2", "--json")
        self.assertEqual(result.returncode, OK, result.stderr)
        report = json.loads(result.stdout)
        self.assertTrue(report["commit"])
        self.assertIn("bench", report["command"])
        self.assertEqual(report["requests"]["count"], 2)
        for value in (report["requests"]["first_audio_ms"]["p50"], report["peak_bytes"],
                      report["requests"]["real_time_factor"]["p99"],
                      report["machine"]["memory_gb_per_s"]):
            self.assertGreater(value, 0)
        self.assertEqual([row["batch"] for row in report["language_model"]], [1, 2])
        self.assertEqual([row["streams"] for row in report["codec"]], [1, 2])


if __name__ == "__main__":
    unittest.main()
