"""The orpheus-streaming and Baseten protocols with the websockets library, as scripts of their users speak them."""

import asyncio
import json
import unittest

import websockets

from served import LONG_TEXT, SENTENCE, AsyncServedTestCase, eventually_async, said

ORPHEUS = "/v1/audio/speech/stream/ws"


class Orpheus(AsyncServedTestCase):
    def connect(self, path=ORPHEUS):
        return websockets.connect(self.server.url(path).replace("http", "ws"), max_size=None)

    async def segment(self, socket, name):
        """The samples between a segment's start and its end."""
        self.assertEqual(json.loads(await socket.recv()), {"type": "start", "segment_id": name})
        audio = b""
        while isinstance(message := await socket.recv(), bytes):
            self.assertGreater(len(message), 0)
            audio += message
        self.assertEqual(json.loads(message), {"type": "end", "segment_id": name})
        return audio

    async def test_segments_are_spoken_in_order(self):
        async with self.connect() as socket:
            for i, voice in enumerate(("ada", "max", "ada")):
                await socket.send(json.dumps({"input": SENTENCE, "voice": voice, "segment_id": "s%d" % i}))
            for i, voice in enumerate(("ada", "max", "ada")):
                self.assertEqual(await self.segment(socket, "s%d" % i), said(SENTENCE, voice))

    async def test_the_samples_are_those_of_the_http_stream(self):
        async with self.connect() as socket:
            await socket.send(json.dumps({"input": LONG_TEXT, "voice": "ada"}))
            audio = await self.segment(socket, "no_segment_id")
        response = self.server.speak(path="/v1/audio/speech/stream", input=LONG_TEXT, voice="ada")
        self.assertEqual(audio, response.read())

    async def test_the_last_segment_is_spoken_and_then_the_close(self):
        async with self.connect() as socket:
            await socket.send(json.dumps({"input": "Good bye.", "voice": "ada", "continue": False}))
            self.assertEqual(await self.segment(socket, "no_segment_id"), said("Good bye."))
            await socket.wait_closed()
            self.assertEqual(socket.close_code, 1000)

    async def test_an_error_is_told_and_then_the_close(self):
        async with self.connect() as socket:
            await socket.send(json.dumps({"input": "Hi.", "voice": "nobody"}))
            error = json.loads(await socket.recv())
            self.assertTrue(error["done"])
            self.assertIn("nobody", error["error"])
            await socket.wait_closed()
            self.assertEqual(socket.close_code, 1008)

    async def test_leaving_within_a_segment_frees_everything(self):
        before = self.cancelled()
        async with self.connect() as socket:
            await socket.send(json.dumps({"input": LONG_TEXT * 4, "voice": "ada"}))
            await socket.recv()
            await socket.recv()
        self.assertTrue(await eventually_async(lambda: self.cancelled() == before + 1))
        await self.assert_idle_again()

    async def test_many_at_once(self):
        expected = said(SENTENCE)

        async def one():
            async with self.connect() as socket:
                await socket.send(json.dumps({"input": SENTENCE, "voice": "ada", "segment_id": "x"}))
                return await self.segment(socket, "x")

        for audio in await asyncio.gather(*(one() for _ in range(30))):
            self.assertEqual(audio, expected)

    async def test_baseten_pieces(self):
        async with self.connect("/v1/baseten/websocket") as socket:
            await socket.send(json.dumps({"voice": "ada", "max_tokens": 2000, "buffer_size": 10}))
            for piece in ("The wea", "ther is ", "fine to", "day, is it not?", "__END__"):
                await socket.send(piece)
            self.assertEqual(b"".join([message async for message in socket]), said(SENTENCE))


if __name__ == "__main__":
    unittest.main()
