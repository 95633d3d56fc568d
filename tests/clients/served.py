"""What the tests with other people's clients share: a server that always draws from the same seed, and what it must say.

Many clients have no way to send a seed, so the server has one: whatever the path, the samples of a text are those of
`lyre say --seed 1`, and tests compare them, not only their length.
"""

import asyncio
import math
import pathlib
import subprocess
import sys
import time
import unittest

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from lyre_program import LONG_TEXT, PATIENCE_S, Server, eventually, lyre  # noqa: E402

RATE_HZ = 24000
SEED = 1
SENTENCE = "The weather is fine today, is it not?"


def said(text, voice="ada", seed=SEED):
    """The bytes of the samples of `lyre say`."""
    result = lyre("say", text, "--raw", "-o", "-", "--seed", seed, "--voice", voice)
    assert result.returncode == 0, result.stderr
    return result.stdout


def decoded(data):
    """Samples of any file that ffmpeg knows, as bytes at 24 kHz."""
    result = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "-ac", "1", "-ar", str(RATE_HZ), "pipe:1"],
        input=data, capture_output=True, timeout=PATIENCE_S)
    assert result.returncode == 0 and result.stderr == b"", result.stderr
    return result.stdout


def likeness(found, expected, most_shift=0):
    """Correlation of two sounds, the best over shifts by up to so many samples to either side."""
    a = numpy.frombuffer(found[:len(found) // 2 * 2], dtype="<i2").astype(float)
    b = numpy.frombuffer(expected, dtype="<i2").astype(float)
    size = len(a) + len(b)
    products = numpy.fft.irfft(numpy.fft.rfft(a, size) * numpy.conj(numpy.fft.rfft(b, size)), size)
    near = numpy.concatenate([products[:most_shift + 1], products[size - most_shift:]])
    return float(near.max() / math.sqrt((a @ a) * (b @ b)))


async def eventually_async(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


class Served:
    """For test cases: one server for the whole class, in `server`."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--seed", SEED, *cls.FLAGS)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def load(self):
        return self.server.get("/readyz")[1]

    def idle(self):
        """True when nothing runs and all memory is free."""
        load = self.load()
        return (load["running"] == 0 and load["queued"] == 0
                and load["free_kv_tokens"] == load["total_kv_tokens"])

    def cancelled(self):
        return self.load()["requests"]["cancelled"]


class ServedTestCase(Served, unittest.TestCase):
    def assert_idle_again(self):
        self.assertTrue(eventually(self.idle))


class AsyncServedTestCase(Served, unittest.IsolatedAsyncioTestCase):
    async def assert_idle_again(self):
        self.assertTrue(await eventually_async(self.idle))


__all__ = ["LONG_TEXT", "PATIENCE_S", "RATE_HZ", "SEED", "SENTENCE", "AsyncServedTestCase", "Server", "ServedTestCase",
           "decoded", "eventually", "eventually_async", "likeness", "lyre", "said"]
