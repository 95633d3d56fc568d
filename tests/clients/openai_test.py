"""The OpenAI SDK for Python."""

import asyncio
import base64
import json
import pathlib
import tempfile
import threading
import unittest

import openai

from served import (LONG_TEXT, PATIENCE_S, RATE_HZ, SENTENCE, AsyncServedTestCase, ServedTestCase, Server, decoded,
                    eventually, likeness, said)

HEADER_BYTES = 44
TYPES = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
         "pcm": "audio/pcm"}


def client(server, **options):
    options.setdefault("api_key", "none")
    return openai.OpenAI(base_url=server.url("/v1"), timeout=PATIENCE_S, **options)


class Speech(ServedTestCase):
    FLAGS = ("--max-queue", 200)

    def setUp(self):
        self.client = client(self.server, max_retries=0)
        self.addCleanup(self.client.close)

    def create(self, **fields):
        fields = {"model": "tts-1", "voice": "ada", "input": SENTENCE, "response_format": "pcm"} | fields
        return self.client.audio.speech.create(**fields)

    def test_create(self):
        self.assertEqual(self.create().content, said(SENTENCE))
        self.assertEqual(self.create(voice="max").content, said(SENTENCE, "max"))

    def test_a_seed_of_the_request(self):
        self.assertEqual(self.create(extra_body={"seed": 7}).content, said(SENTENCE, seed=7))

    def test_a_voice_as_an_object(self):
        self.assertEqual(self.create(voice={"id": "max"}).content, said(SENTENCE, "max"))

    def test_streaming_response_into_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "out.wav")
            with self.client.audio.speech.with_streaming_response.create(
                    model="tts-1", voice="ada", input=SENTENCE, response_format="wav") as response:
                self.assertTrue(response.request_id)
                self.assertEqual(response.headers["content-type"], "audio/wav")
                response.stream_to_file(file)
            self.assertEqual(file.read_bytes()[HEADER_BYTES:], said(SENTENCE))

    def test_audio_comes_before_the_synthesis_ends(self):
        before = self.load()["requests"]["finished"]
        with self.client.audio.speech.with_streaming_response.create(
                model="tts-1", voice="ada", input=LONG_TEXT, response_format="pcm") as response:
            body = response.iter_bytes(4096)
            first = next(body)
            load = self.load()
            self.assertEqual((load["running"], load["requests"]["finished"]), (1, before))
            self.assertEqual(first + b"".join(body), said(LONG_TEXT))

    def test_the_lossless_formats_are_the_samples(self):
        for name in ("wav", "pcm", "flac"):
            with self.subTest(name):
                response = self.create(response_format=name)
                self.assertEqual(response.response.headers["content-type"].split(";")[0], TYPES[name])
                samples = {"pcm": lambda: response.content, "wav": lambda: response.content[HEADER_BYTES:],
                           "flac": lambda: decoded(response.content)}[name]()
                self.assertEqual(samples, said(SENTENCE))

    def test_the_lossy_formats_sound_like_them(self):
        expected = said(SENTENCE)
        for name in ("mp3", "opus", "aac"):
            with self.subTest(name):
                response = self.create(response_format=name)
                self.assertEqual(response.response.headers["content-type"].split(";")[0], TYPES[name])
                samples = decoded(response.content)
                # Encoders put up to a few frames of silence at either end.
                self.assertLess(abs(len(samples) - len(expected)) / 2 / RATE_HZ, 0.15)
                self.assertGreater(likeness(samples, expected, most_shift=3000), 0.9)

    def test_mp3_is_the_default(self):
        response = self.client.audio.speech.create(model="gpt-4o-mini-tts", voice="ada", input=SENTENCE)
        self.assertEqual(response.response.headers["content-type"], "audio/mpeg")
        self.assertGreater(likeness(decoded(response.content), said(SENTENCE), most_shift=3000), 0.9)

    def test_the_names_of_openai_are_voices(self):
        for name in ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse",
                     "marin", "cedar"):
            response = self.create(voice=name, input="Hi.")
            self.assertIn(response.content, (said("Hi.", "ada"), said("Hi.", "max")), name)

    def test_sse_events(self):
        for name in ("pcm", "wav"):
            with self.client.audio.speech.with_streaming_response.create(
                    model="gpt-4o-mini-tts", voice="ada", input=SENTENCE, response_format=name,
                    stream_format="sse") as response:
                self.assertEqual(response.headers["content-type"].split(";")[0], "text/event-stream")
                events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
            self.assertEqual({event["type"] for event in events[:-1]}, {"speech.audio.delta"})
            audio = b"".join(base64.b64decode(event["audio"], validate=True) for event in events[:-1])
            self.assertEqual(audio[HEADER_BYTES if name == "wav" else 0:], said(SENTENCE))
            self.assertEqual(events[-1]["type"], "speech.audio.done")
            usage = events[-1]["usage"]
            self.assertGreater(usage["input_tokens"], 0)
            self.assertGreater(usage["output_tokens"], 0)
            self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])

    def test_speed(self):
        normal = len(said(SENTENCE))
        for speed in (0.5, 2.0):
            found = len(self.create(speed=speed).content)
            self.assertAlmostEqual(found * speed / normal, 1, delta=0.15)

    def test_models(self):
        self.assertIn("demo", [model.id for model in self.client.models.list()])

    def test_errors_have_the_class_and_the_field(self):
        cases = [({"voice": "nobody"}, "voice"), ({"speed": 9}, "speed"), ({"response_format": "midi"}, "response_format"),
                 ({"input": ""}, "input"), ({"extra_body": {"temperature": -1}}, "temperature"),
                 ({"stream_format": "tape"}, "stream_format")]
        for fields, param in cases:
            with self.subTest(fields):
                with self.assertRaises(openai.BadRequestError) as raised:
                    self.create(**fields)
                error = raised.exception
                self.assertEqual((error.param, error.type), (param, "invalid_request_error"))
                self.assertTrue(error.code)
                self.assertTrue(error.request_id)
                self.assertIn(param.split("_")[0], error.message)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nothing/of/the/kind")

    def test_a_request_id_of_the_client_is_kept(self):
        response = self.create(extra_headers={"x-request-id": "call-42"})
        self.assertEqual(response.response.headers["x-request-id"], "call-42")

    def test_leaving_in_the_middle_frees_everything(self):
        before = self.cancelled()
        with self.client.audio.speech.with_streaming_response.create(
                model="tts-1", voice="ada", input=LONG_TEXT, response_format="pcm") as response:
            body = response.iter_bytes(1024)
            next(body)
            self.assertFalse(self.idle())
        self.assert_idle_again()
        self.assertEqual(self.cancelled(), before + 1)

    def test_a_timeout_of_the_client_frees_everything(self):
        # The client gives up while its request waits behind another.
        with Server("--max-batch", 1) as server, client(server, max_retries=0) as impatient:
            running = server.speak(input=LONG_TEXT * 4, response_format="pcm")
            running.read1(1024)
            with self.assertRaises(openai.APITimeoutError):
                impatient.audio.speech.create(model="tts-1", voice="ada", input="Late.", response_format="pcm", timeout=0.5)
            running.close()

            def idle():
                load = server.get("/readyz")[1]
                return load["running"] == load["queued"] == 0 and load["free_kv_tokens"] == load["total_kv_tokens"]

            server.connect()
            self.assertTrue(eventually(lambda: server.get("/readyz")[1]["queued"] == 0))
            for connection in server._open:
                connection.close()
            self.assertTrue(eventually(idle))


class AsyncSpeech(AsyncServedTestCase):
    async def asyncSetUp(self):
        self.client = openai.AsyncOpenAI(base_url=self.server.url("/v1"), api_key="none", max_retries=0,
                                         timeout=PATIENCE_S)
        self.addAsyncCleanup(self.client.close)

    async def test_many_at_once(self):
        texts = ["One of several.", "Two of several.", SENTENCE]
        expected = [said(text) for text in texts]
        responses = await asyncio.gather(*(
            self.client.audio.speech.create(model="tts-1", voice="ada", input=text, response_format="pcm")
            for text in texts * 4))
        for i, response in enumerate(responses):
            self.assertEqual(response.content, expected[i % len(texts)])

    async def test_a_cancelled_task_frees_everything(self):
        before = self.cancelled()
        begun = asyncio.Event()

        async def listen():
            async with self.client.audio.speech.with_streaming_response.create(
                    model="tts-1", voice="ada", input=LONG_TEXT, response_format="pcm") as response:
                async for _ in response.iter_bytes(1024):
                    begun.set()
                    await asyncio.sleep(0)

        task = asyncio.create_task(listen())
        await begun.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await self.assert_idle_again()
        self.assertEqual(self.cancelled(), before + 1)


class Refusals(unittest.TestCase):
    def test_a_full_queue_is_a_rate_limit_error_and_retries_get_through(self):
        with Server("--max-batch", 1, "--max-queue", 1, "--seed", 1) as server:
            running = server.speak(input=LONG_TEXT * 4, response_format="pcm")
            running.read1(1024)
            waiting = server.connect()
            waiting.request("POST", "/v1/audio/speech", '{"input": "Waits."}')
            self.assertTrue(eventually(lambda: server.get("/readyz")[1]["queued"] == 1))
            with client(server, max_retries=0) as once, self.assertRaises(openai.RateLimitError) as raised:
                once.audio.speech.create(model="tts-1", voice="ada", input="Full.", response_format="pcm")
            self.assertGreaterEqual(int(raised.exception.response.headers["retry-after"]), 1)
            self.assertTrue(raised.exception.request_id)

            got = []
            with client(server, max_retries=50) as patient:
                thread = threading.Thread(target=lambda: got.append(patient.audio.speech.create(
                    model="tts-1", voice="ada", input="At last.", response_format="pcm").content))
                thread.start()
                # Refused at least once; then there is room.
                self.assertTrue(eventually(lambda: sum(line.get("status") == 429 for line in server.log) >= 2))
                running.close()
                for connection in server._open[:2]:
                    connection.close()
                thread.join(PATIENCE_S)
            self.assertEqual(got, [said("At last.")])

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
            keys.write("correct-key\n")
            keys.flush()
            with Server("--api-keys-file", keys.name, "--seed", 1) as server:
                with client(server, api_key="wrong-key", max_retries=0) as stranger:
                    with self.assertRaises(openai.AuthenticationError) as raised:
                        stranger.audio.speech.create(model="tts-1", voice="ada", input="Hi.", response_format="pcm")
                self.assertNotIn("correct-key", str(raised.exception))
                with client(server, api_key="correct-key", max_retries=0) as friend:
                    speech = friend.audio.speech.create(model="tts-1", voice="ada", input="Hi.", response_format="pcm")
                self.assertEqual(speech.content, said("Hi."))


if __name__ == "__main__":
    unittest.main()
