"""Speech in every format, as FFmpeg's programs hear it: whole, at its level, without a complaint, and while it is spoken.

Environment: see lyre_program.py.
"""

import array
import json
import math
import subprocess
import tempfile
import unittest

from lyre_program import LONG_TEXT, PATIENCE_S, Server, reset

TEXT = "Speech in every format is the same speech."
RATE_HZ = 24000
# What ffprobe calls them, and the samples that a decoder gives before the first one.
COMPRESSED = {
    "mp3": ("mp3", "mp3", 1105),
    "opus": ("ogg", "opus", 0),
    "aac": ("aac", "aac", 1024),
    "flac": ("flac", "flac", 0),
}


def samples_of(pcm):
    samples = array.array("h")
    samples.frombytes(pcm)
    return [sample / 32768 for sample in samples]


def without_complaint(*command):
    """What one of FFmpeg's programs writes. It says nothing, or the test fails."""
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE_S)
    # A stream of frames cannot say how long it will be: what FFmpeg remarks on every such file.
    complaints = [line for line in ran.stderr.decode().splitlines()
                  if line and "Estimating duration from bitrate" not in line]
    assert ran.returncode == 0 and not complaints, complaints
    return ran.stdout


def decoded(path, *input_options):
    """Samples at RATE_HZ."""
    return samples_of(without_complaint(
        "ffmpeg", "-v", "warning", "-nostdin", *input_options, "-i", path, "-f", "s16le",
        "-ac", "1", "-ar", str(RATE_HZ), "-"))


def probed(path):
    report = json.loads(without_complaint(
        "ffprobe", "-v", "warning", "-of", "json", "-show_format", "-show_streams", path))
    return report["format"]["format_name"], report["streams"]


def energy(samples):
    return sum(sample * sample for sample in samples)


def likeness(said, heard):
    """The correlation of two sounds at the same places, 1 for equal ones of any level."""
    product = sum(a * b for a, b in zip(said, heard))
    return product / math.sqrt(energy(said) * energy(heard))


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().__enter__()
        cls.addClassCleanup(cls.server.__exit__)
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.pcm = cls.spoken(response_format="pcm")
        cls.said = samples_of(cls.pcm)

    @classmethod
    def spoken(cls, **fields):
        response = cls.server.speak(input=TEXT, voice="ada", seed=1, **fields)
        body = response.read()
        assert response.status == 200, body
        return body

    def file_of(self, name, content):
        path = "%s/%s" % (self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_compressed_speech_is_the_speech(self):
        for name, (container, codec, delay) in COMPRESSED.items():
            with self.subTest(name):
                path = self.file_of("speech." + name, self.spoken(response_format=name))
                format_name, streams = probed(path)
                self.assertEqual(format_name, container)
                self.assertEqual([stream["codec_name"] for stream in streams], [codec])
                self.assertEqual(streams[0]["channels"], 1)
                heard = decoded(path)
                # A frame that is not full is padded, where the file cannot say so.
                padding = 2 * 1024 if delay else 0
                self.assertGreaterEqual(len(heard), delay + len(self.said))
                self.assertLessEqual(len(heard), delay + len(self.said) + padding)
                heard = heard[delay:delay + len(self.said)]
                self.assertGreater(likeness(self.said, heard), 0.95)
                self.assertAlmostEqual(energy(heard) / energy(self.said), 1, delta=0.15)

    def test_wav_and_flac_are_the_samples(self):
        wav = self.spoken(response_format="wav")
        self.assertEqual(wav[44:], self.pcm)
        flac = self.file_of("exact.flac", self.spoken(response_format="flac"))
        self.assertEqual(decoded(flac), self.said)

    def test_the_same_seed_gives_the_same_bytes(self):
        for name in COMPRESSED:
            with self.subTest(name):
                self.assertEqual(self.spoken(response_format=name),
                                 self.spoken(response_format=name))

    def test_mp3_is_the_default(self):
        response = self.server.speak(input=TEXT, voice="ada", seed=1, response_format=None)
        self.assertEqual(response.getheader("Content-Type"), "audio/mpeg")
        self.assertEqual(response.read(), self.spoken(response_format="mp3"))

    def test_audio_comes_while_it_is_spoken(self):
        for name in COMPRESSED:
            with self.subTest(name):
                # Minutes of speech, of which the reader takes a little more than a header.
                connection = self.server.connect()
                response = self.server.speak(connection, input=" ".join(7 * [LONG_TEXT]),
                                             voice="ada", seed=1, response_format=name)
                self.assertEqual(response.status, 200)
                self.assertEqual(len(response.read(1000)), 1000)
                reset(connection)
                line = self.server.wait_for("speech", id=response.getheader("x-request-id"))
                self.assertNotEqual(line["finish"], "stop")

    def test_speed_changes_the_duration(self):
        for speed in (0.5, 2.0):
            with self.subTest(speed):
                pcm = self.spoken(response_format="pcm", speed=speed)
                self.assertAlmostEqual(len(pcm) / 2, len(self.said) / speed, delta=2)
        self.assertEqual(self.spoken(response_format="pcm", speed=1), self.pcm)

    def test_telephone(self):
        mulaw = self.spoken(response_format="raw", response_encoding="pcm_mulaw")
        self.assertEqual(len(mulaw), -(-len(self.said) // 3))
        heard = decoded(self.file_of("speech.ul", mulaw), "-f", "mulaw", "-ar", "8000",
                             "-guess_layout_max", "0")
        self.assertGreater(likeness(self.said, heard), 0.8)


if __name__ == "__main__":
    unittest.main()
