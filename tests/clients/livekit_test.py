"""The speech classes of LiveKit Agents, without a room: what their streams give is what an agent would play."""

import asyncio
import unittest

import aiohttp
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins import baseten, elevenlabs, openai

from served import (LONG_TEXT, RATE_HZ, SENTENCE, AsyncServedTestCase, eventually_async, likeness, said)

ONCE = APIConnectOptions(max_retry=0)


def spoken(*arguments, **options):
    return said(*arguments, **options).rstrip(b"\0")


# As a language model writes: pieces of words.
TOKENS = ["The wea", "ther is ", "fine", " to", "day, is", " it n", "ot?"]


async def heard(stream):
    """All samples of a stream, as bytes, without the silence that LiveKit puts behind them."""
    audio = b""
    async for event in stream:
        assert event.frame.sample_rate == RATE_HZ and event.frame.num_channels == 1
        audio += bytes(event.frame.data)
    return audio.rstrip(b"\0")


class LiveKit(AsyncServedTestCase):
    async def asyncSetUp(self):
        self.session = aiohttp.ClientSession()
        self.addAsyncCleanup(self.session.close)

    def openai(self, **options):
        options = {"model": "tts-1", "voice": "ada", "response_format": "pcm"} | options
        tts = openai.TTS(base_url=self.server.url("/v1"), api_key="none", **options)
        self.addAsyncCleanup(tts.aclose)
        return tts

    def baseten(self, scheme="http", voice="ada", path=None):
        path = path or ("/v1/baseten/predict" if scheme == "http" else "/v1/baseten/websocket")
        tts = baseten.TTS(model_endpoint=self.server.url(path).replace("http", scheme), api_key="none", voice=voice,
                          http_session=self.session)
        self.addAsyncCleanup(tts.aclose)
        return tts

    def elevenlabs(self, voice="ada", **options):
        tts = elevenlabs.TTS(base_url=self.server.url("/v1"), api_key="none", voice_id=voice, encoding="pcm_24000",
                             http_session=self.session, **options)
        self.addAsyncCleanup(tts.aclose)
        return tts

    async def assert_cancels(self, stream):
        """Begins to listen and turns away, as at an interruption."""
        before = self.cancelled()
        async for _ in stream:
            break
        await stream.aclose()
        self.assertTrue(await eventually_async(lambda: self.cancelled() > before or self.idle()))
        await self.assert_idle_again()

    async def follow(self, stream, pieces):
        for piece in pieces:
            stream.push_text(piece)
            await asyncio.sleep(0)
        stream.end_input()
        audio = await heard(stream)
        await stream.aclose()
        return audio


class OpenAi(LiveKit):
    async def test_pcm_is_what_say_says(self):
        for model in ("tts-1", "gpt-4o-mini-tts"):  # as audio, and as events
            async with self.openai(model=model).synthesize(SENTENCE, conn_options=ONCE) as stream:
                self.assertEqual(await heard(stream), spoken(SENTENCE), model)

    async def test_as_it_comes(self):
        tts = openai.TTS(base_url=self.server.url("/v1"), api_key="none")  # mp3 in events, voice "ash"
        self.addAsyncCleanup(tts.aclose)
        async with tts.synthesize(SENTENCE, conn_options=ONCE) as stream:
            audio = await heard(stream)
        self.assertGreater(max(likeness(audio, said(SENTENCE, voice), most_shift=3000) for voice in ("ada", "max")), 0.9)

    async def test_the_other_formats(self):
        for name in ("wav", "flac", "opus", "aac"):
            async with self.openai(response_format=name, model="gpt-4o-mini-tts").synthesize(
                    SENTENCE, conn_options=ONCE) as stream:
                audio = await heard(stream)
            # LiveKit's decoder drops the first frames of some formats.
            self.assertGreater(likeness(audio, said(SENTENCE), most_shift=3000), 0.9, name)

    async def test_interruption(self):
        await self.assert_cancels(self.openai().synthesize(LONG_TEXT, conn_options=ONCE))

    async def test_error(self):
        with self.assertRaises(APIStatusError) as raised:
            async with self.openai(voice="nobody").synthesize(SENTENCE, conn_options=ONCE) as stream:
                await heard(stream)
        self.assertEqual(raised.exception.status_code, 400)
        self.assertIn("nobody", raised.exception.message)

    async def test_prewarm_is_harmless(self):
        tts = self.openai()
        tts.prewarm()
        async with tts.synthesize("Hi.", conn_options=ONCE) as stream:
            self.assertEqual(await heard(stream), spoken("Hi."))


class BasetenHttp(LiveKit):
    async def test_speaks(self):
        # It sends a temperature of 0.6, so the samples are not those of the default.
        async with self.baseten().synthesize(SENTENCE, conn_options=ONCE) as stream:
            audio = await heard(stream)
        response = self.server.speak(input=SENTENCE, voice="ada", temperature=0.6, response_format="pcm")
        self.assertEqual(audio, response.read().rstrip(b"\0"))

    async def test_interruption(self):
        await self.assert_cancels(self.baseten().synthesize(LONG_TEXT, conn_options=ONCE))

    async def test_error(self):
        with self.assertRaises(APIStatusError) as raised:
            async with self.baseten(voice="nobody").synthesize(SENTENCE, conn_options=ONCE) as stream:
                await heard(stream)
        self.assertEqual(raised.exception.status_code, 400)


class BasetenWebSocket(LiveKit):
    async def test_pieces_of_words_are_one_text(self):
        audio = await self.follow(self.baseten("ws").stream(conn_options=ONCE), TOKENS)
        self.assertEqual(audio, spoken("".join(TOKENS)))

    async def test_a_long_text_in_pieces(self):
        pieces = [LONG_TEXT[i:i + 5] for i in range(0, len(LONG_TEXT), 5)]
        audio = await self.follow(self.baseten("ws").stream(conn_options=ONCE), pieces)
        # Cut into other segments than the text at once, so of about the length only.
        self.assertAlmostEqual(len(audio) / len(said(LONG_TEXT)), 1, delta=0.3)

    async def test_interruption(self):
        stream = self.baseten("ws").stream(conn_options=ONCE)
        stream.push_text(LONG_TEXT)
        stream.flush()
        await self.assert_cancels(stream)

    async def test_error(self):
        with self.assertRaises(APIError):
            await self.follow(self.baseten("ws", path="/nothing").stream(conn_options=ONCE), TOKENS)


class ElevenLabs(LiveKit):
    async def test_http(self):
        async with self.elevenlabs().synthesize(SENTENCE, conn_options=ONCE) as stream:
            self.assertEqual(await heard(stream), spoken(SENTENCE))

    async def test_text_that_is_written_while_it_is_spoken(self):
        audio = await self.follow(self.elevenlabs().stream(conn_options=ONCE), TOKENS)
        self.assertAlmostEqual(len(audio) / len(said(SENTENCE)), 1, delta=0.3)

    async def test_two_turns_over_one_connection(self):
        tts = self.elevenlabs()
        first = await self.follow(tts.stream(conn_options=ONCE), TOKENS)
        second = await self.follow(tts.stream(conn_options=ONCE), TOKENS)
        self.assertEqual(first, second)

    async def test_interruption_and_then_the_next_turn(self):
        tts = self.elevenlabs()
        stream = tts.stream(conn_options=ONCE)
        stream.push_text(LONG_TEXT)
        stream.flush()
        await self.assert_cancels(stream)
        audio = await self.follow(tts.stream(conn_options=ONCE), TOKENS)
        self.assertAlmostEqual(len(audio) / len(said(SENTENCE)), 1, delta=0.3)

    async def test_error(self):
        with self.assertRaises(APIError):
            async with self.elevenlabs(voice="nobody").synthesize(SENTENCE, conn_options=ONCE) as stream:
                await heard(stream)
        with self.assertRaises(APIError):
            await self.follow(self.elevenlabs(voice="nobody").stream(conn_options=ONCE), TOKENS)


if __name__ == "__main__":
    unittest.main()
