"""The speech services of Pipecat in a pipeline of nothing else: they speak, are interrupted, and meet errors."""

import asyncio
import unittest

from loguru import logger
from pipecat.frames.frames import (EndFrame, ErrorFrame, InterruptionFrame, TTSAudioRawFrame, TTSSpeakFrame,
                                   TTSStoppedFrame)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.together.tts import TogetherTTSService
from pipecat.workers.runner import WorkerRunner

from served import LONG_TEXT, PATIENCE_S, RATE_HZ, SENTENCE, AsyncServedTestCase, eventually_async, said

logger.remove()  # it tells everything that it does


class Ear(FrameProcessor):
    """The end of the pipeline: keeps what arrives."""

    def __init__(self):
        super().__init__()
        self.frames = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    def audio(self):
        return b"".join(frame.audio for frame in self.frames if isinstance(frame, TTSAudioRawFrame))

    def count(self, kind):
        return sum(isinstance(frame, kind) for frame in self.frames)


class Talk:
    """A pipeline that runs: say, interrupt, and look into `ear` and `errors`."""

    def __init__(self, service):
        self.ear, self.errors = Ear(), []
        self.worker = PipelineWorker(Pipeline([service, self.ear]), cancel_on_idle_timeout=False, enable_rtvi=False,
                                     params=PipelineParams(audio_out_sample_rate=RATE_HZ))
        self.started = asyncio.Event()

        @self.worker.event_handler("on_pipeline_started")
        async def on_pipeline_started(worker, frame):
            self.started.set()

        @self.worker.event_handler("on_pipeline_error")
        async def on_pipeline_error(worker, frame):
            self.errors.append(frame)

    async def __aenter__(self):
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self.running = asyncio.create_task(runner.run())
        await asyncio.wait_for(self.started.wait(), PATIENCE_S)
        return self

    async def __aexit__(self, *unused):
        await self.worker.queue_frame(EndFrame())
        await asyncio.wait_for(self.running, PATIENCE_S)

    async def say(self, text):
        await self.worker.queue_frame(TTSSpeakFrame(text))

    async def until(self, condition):
        assert await eventually_async(condition)


class Services:
    """What holds of each service; `service` makes it."""

    async def test_speaks(self):
        async with Talk(self.service()) as talk:
            await talk.say(SENTENCE)
            await talk.until(lambda: talk.ear.count(TTSStoppedFrame) == 1)
        self.assertEqual(talk.errors, [])
        self.assert_spoken(talk.ear.audio(), SENTENCE)

    async def test_two_turns(self):
        async with Talk(self.service()) as talk:
            for turn in (1, 2):
                await talk.say(SENTENCE)
                await talk.until(lambda turn=turn: talk.ear.count(TTSStoppedFrame) == turn)
        self.assertEqual(talk.errors, [])
        audio = talk.ear.audio()
        self.assert_spoken(audio[:len(audio) // 2], SENTENCE)
        self.assertEqual(audio[:len(audio) // 2], audio[len(audio) // 2:])

    async def test_interruption(self):
        async with Talk(self.service()) as talk:
            await talk.say(LONG_TEXT)
            await talk.until(lambda: talk.ear.count(TTSAudioRawFrame) > 0)
            await talk.worker.queue_frame(InterruptionFrame())
            await talk.until(lambda: talk.ear.count(InterruptionFrame) == 1)
            await self.assert_idle_again()
            position = next(i for i, frame in enumerate(talk.ear.frames) if isinstance(frame, InterruptionFrame))
            # The next turn, and nothing of the one before.
            await talk.say("Hi.")
            await talk.until(lambda: any(isinstance(frame, TTSStoppedFrame) for frame in talk.ear.frames[position:])
                             and any(isinstance(frame, TTSAudioRawFrame) for frame in talk.ear.frames[position:])
                             and self.idle())
        after = b"".join(frame.audio for frame in talk.ear.frames[position:] if isinstance(frame, TTSAudioRawFrame))
        self.assert_spoken(after, "Hi.")

    async def test_error(self):
        talk = Talk(self.service(voice=self.UNKNOWN))
        async with talk:
            await talk.say(SENTENCE)
            await talk.until(lambda: talk.errors)
        self.assertIsInstance(talk.errors[0], ErrorFrame)
        self.assertEqual(talk.ear.count(TTSAudioRawFrame), 0)
        await self.assert_idle_again()

    def assert_spoken(self, audio, text):
        self.assertEqual(audio, said(text))


class OpenAi(Services, AsyncServedTestCase):
    FLAGS = ("--voice-aliases", "alloy=ada,echo=max")
    UNKNOWN = "no such voice"

    def service(self, voice="alloy"):
        return OpenAITTSService(api_key="none", base_url=self.server.url("/v1"),
                                settings=OpenAITTSService.Settings(voice=voice))


class Together(Services, AsyncServedTestCase):
    UNKNOWN = "nobody"

    def service(self, voice="ada"):
        return TogetherTTSService(api_key="none", url=self.server.url("/v1/audio/speech/websocket").replace("http", "ws"),
                                  settings=TogetherTTSService.Settings(voice=voice))


class ElevenLabs(Services, AsyncServedTestCase):
    UNKNOWN = "nobody"

    def service(self, voice="ada"):
        return ElevenLabsTTSService(api_key="none", url=self.server.url("").replace("http", "ws"), sample_rate=RATE_HZ,
                                    settings=ElevenLabsTTSService.Settings(voice=voice))


if __name__ == "__main__":
    unittest.main()
