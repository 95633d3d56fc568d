// Audio over real sockets: streaming, errors before and after the first byte, clients that leave,
// clients that are slow, and the stop of the server.
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "lyre/audio/wav.h"
#include "server/running_server.h"

namespace lyre::server::test {
namespace {

const char* const kSpeech = "/v1/audio/speech";
const char* const kStream = "/v1/audio/speech/stream";

class ServerSpeech : public RunningServer {
 protected:
  /// A connected client whose request the service has.
  std::unique_ptr<TestClient> ask(const char* path, std::string_view body) {
    auto client = std::make_unique<TestClient>(port());
    EXPECT_TRUE(client->send(post(path, body)));
    call = speech.next();
    EXPECT_NE(call, nullptr);
    return client;
  }

  FakeSpeech::Call* call = nullptr;
};

TEST_F(ServerSpeech, EachPieceIsSentWhenItIsThere) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "voice": "max", "response_format": "pcm"})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 100)));
  WireResponse response = client->read_head();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-type"), "audio/pcm");
  EXPECT_EQ(response.headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(response.headers.at("trailer"), "x-lyre-finish-reason");
  EXPECT_EQ(response.headers.at("x-lyre-voice"), "max");
  EXPECT_EQ(response.headers.at("x-lyre-seed"), "42");
  // The second piece is not there before the first has arrived: nothing is held back.
  EXPECT_EQ(client->read_chunk(response), counting_pcm(0, 100));
  ASSERT_TRUE(push_all(call->sink, counting_samples(100, 1)));
  EXPECT_EQ(client->read_chunk(response), counting_pcm(100, 1));
  ASSERT_TRUE(push_all(call->sink, counting_samples(101, 50)));
  call->sink.finish(summary());
  EXPECT_EQ(client->read_chunk(response), counting_pcm(101, 50));
  EXPECT_EQ(client->read_chunk(response), "");
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.trailers.at("x-lyre-finish-reason"), "stop");
}

TEST_F(ServerSpeech, WavStartsWithOneStreamingHeader) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav", "seed": 7})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 3000)));
  call->sink.finish(summary());
  const WireResponse response = client->read_response();
  EXPECT_EQ(response.headers.at("content-type"), "audio/wav");
  EXPECT_EQ(response.headers.at("x-lyre-seed"), "7");
  const auto header = wav_header(24'000, std::nullopt);
  ASSERT_GE(response.body.size(), kWavHeaderBytes);
  EXPECT_EQ(response.body.substr(0, kWavHeaderBytes),
            std::string(reinterpret_cast<const char*>(header.data()), header.size()));
  EXPECT_EQ(response.body.substr(kWavHeaderBytes), counting_pcm(0, 3000));
}

// Peers send an empty body chunk first and take its time as the time to first audio (lessons B3).
TEST_F(ServerSpeech, PeerFaultB3NoEmptyChunk) {
  open();
  auto client = ask(kStream, R"({"input": "hi"})");
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(push_all(call->sink, counting_samples(i * 10, 10)));
    EXPECT_EQ(call->sink.push({}), PushStatus::kAccepted);
  }
  call->sink.finish(summary());
  const WireResponse response = client->read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, counting_pcm(0, 500));
  ASSERT_FALSE(response.chunks.empty());
  for (const std::string& chunk : response.chunks) EXPECT_FALSE(chunk.empty());
}

TEST_F(ServerSpeech, SpeechThatWasCutIsTold) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav", "max_tokens": 7})");
  EXPECT_EQ(call->request.max_tokens, 7);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  call->sink.finish(summary(FinishReason::kLength));
  const WireResponse response = client->read_response();
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.trailers.at("x-lyre-finish-reason"), "length");
  const AccessRecord logged = record();
  EXPECT_EQ(logged.finish, "length");
  EXPECT_EQ(logged.seed, 42u);
  EXPECT_EQ(logged.voice, "ada");
  EXPECT_TRUE(logged.speech);
  EXPECT_EQ(logged.body_bytes, 44 + 20);
  EXPECT_GT(logged.first_audio_ms, 0);
}

TEST_F(ServerSpeech, EventsComeOneByOne) {
  open();
  auto client =
      ask(kSpeech, R"({"input": "hi", "response_format": "pcm", "stream_format": "sse"})");
  ASSERT_TRUE(push_all(call->sink, std::vector<float>{0, 0.5f}));
  WireResponse response = client->read_head();
  EXPECT_EQ(response.headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(response.headers.at("cache-control"), "no-cache");
  EXPECT_EQ(client->read_chunk(response),
            "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAAQA==\"}\n\n");
  SpeechSummary counted = summary();
  counted.prompt_tokens = 3;
  counted.generated_tokens = 14;
  call->sink.finish(counted);
  EXPECT_EQ(client->read_chunk(response),
            "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":3,"
            "\"output_tokens\":14,\"total_tokens\":17}}\n\n");
  EXPECT_EQ(client->read_chunk(response), "");
  EXPECT_TRUE(response.complete);
}

TEST_F(ServerSpeech, AFailureAmongEventsIsAnEvent) {
  open();
  auto client =
      ask(kSpeech, R"({"input": "hi", "response_format": "pcm", "stream_format": "sse"})");
  ASSERT_TRUE(push_all(call->sink, std::vector<float>{0, 0.5f}));
  WireResponse response = client->read_head();
  EXPECT_NE(client->read_chunk(response), "");
  call->sink.finish(Error{ErrorCode::kInternal, "no luck"});
  EXPECT_EQ(
      client->read_chunk(response),
      "data: {\"type\":\"error\",\"error\":{\"message\":\"no luck\",\"type\":\"server_error\","
      "\"param\":null,\"code\":\"internal\"}}\n\n");
  EXPECT_EQ(client->read_chunk(response), "");
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.trailers.at("x-lyre-finish-reason"), "failed");
  EXPECT_EQ(record().finish, "failed");
}

// The peer answers 200 with an empty body to an unknown voice and to an engine that fails
// (lessons B17).
TEST_F(ServerSpeech, PeerFaultB17AnErrorBeforeAudioIsAStatus) {
  open();
  {
    TestClient client(port());
    const WireResponse response =
        client.exchange(post(kStream, R"({"input": "hi", "voice": "nobody"})"));
    EXPECT_EQ(response.status, 400);
    EXPECT_NE(response.body.find("ada, max"), std::string::npos) << response.body;
  }
  {
    auto client = ask(kStream, R"({"input": "hi"})");
    call->sink.finish(Error{ErrorCode::kInternal, "the model broke"});
    const WireResponse response = client->read_response();
    EXPECT_EQ(response.status, 500);
    EXPECT_NE(response.body.find("the model broke"), std::string::npos);
    EXPECT_EQ(response.headers.at("x-should-retry"), "false");
    EXPECT_EQ(client->exchange(get("/healthz")).status, 200);  // the connection lives on
  }
  {
    auto client = ask(kStream, R"({"input": "hi"})");
    call->sink.finish(summary());
    const WireResponse response = client->read_response();
    EXPECT_EQ(response.status, 500);
    EXPECT_NE(response.body.find("no_speech"), std::string::npos);
  }
}

TEST_F(ServerSpeech, AFullQueueIs429) {
  speech.refusal = Error{ErrorCode::kResourceExhausted, "64 requests wait already"};
  open();
  const WireResponse response =
      TestClient(port()).exchange(post(kSpeech, R"({"input": "hi", "response_format": "wav"})"));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_NE(response.body.find("rate_limit"), std::string::npos);
}

TEST_F(ServerSpeech, AnErrorAfterTheFirstByteBreaksTheStream) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "pcm"})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  WireResponse response = client->read_head();
  EXPECT_EQ(client->read_chunk(response), counting_pcm(0, 10));
  call->sink.finish(Error{ErrorCode::kDeviceLost, "gone"});
  EXPECT_EQ(client->read_chunk(response), "");
  EXPECT_FALSE(response.complete);  // no last chunk: HTTP clients report it
  const AccessRecord logged = record();
  EXPECT_EQ(logged.finish, "failed");
  EXPECT_EQ(logged.error, "gone");
}

TEST_F(ServerSpeech, Http10GetsPlainBytesThatEndWithTheConnection) {
  open();
  TestClient client(port());
  const std::string body = R"({"input": "hi", "response_format": "pcm"})";
  ASSERT_TRUE(client.send("POST /v1/audio/speech HTTP/1.0\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body));
  call = speech.next();
  ASSERT_NE(call, nullptr);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 5000)));
  call->sink.finish(summary());
  const WireResponse response = client.read_response();
  EXPECT_EQ(response.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(response.headers.count("trailer"), 0u);
  EXPECT_EQ(response.body, counting_pcm(0, 5000));
  EXPECT_TRUE(response.complete);
}

TEST_F(ServerSpeech, Http10SeesAnErrorAsAReset) {
  open();
  TestClient client(port());
  const std::string body = R"({"input": "hi"})";
  ASSERT_TRUE(client.send("POST /v1/audio/speech HTTP/1.0\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body));
  call = speech.next();
  ASSERT_NE(call, nullptr);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  client.read_head();
  call->sink.finish(Error{ErrorCode::kInternal, "gone"});
  client.receive_all();
  EXPECT_TRUE(client.was_reset());
}

// A disconnect must stop generation (lessons, ask 24).
TEST_F(ServerSpeech, AClientThatLeavesBeforeTheFirstAudioCancels) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
  EXPECT_FALSE(call->sink.closed());
  client->close();
  EXPECT_TRUE(eventually([&] { return call->sink.closed(); }));
  EXPECT_EQ(record().status, 499);
  EXPECT_EQ(record().finish, "disconnected");
}

TEST_F(ServerSpeech, AClientThatLeavesBetweenPiecesCancels) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  client->read_head();
  client->close_abruptly();
  // Nothing is written meanwhile: the server notices by itself.
  EXPECT_TRUE(eventually([&] { return call->sink.closed(); }));
  EXPECT_EQ(record().finish, "disconnected");
}

TEST_F(ServerSpeech, AClientThatLeavesUnreadAudioBehindCancels) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
  std::atomic<bool> accepted{true};
  std::thread writer([&] { accepted = push_all(call->sink, counting_samples(0, 5'000'000)); });
  client->read_head();
  client->close();
  writer.join();
  EXPECT_FALSE(accepted);
}

TEST_F(ServerSpeech, AClientThatPipelinesAndLeavesCancels) {
  open();
  auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
  ASSERT_TRUE(client->send(get("/healthz")));
  client->close();
  EXPECT_TRUE(eventually([&] { return call->sink.closed(); }));
}

TEST_F(ServerSpeech, AClientMayLeaveAfterAnyByte) {
  open();
  const std::vector<float> samples = counting_samples(0, 5'000'000);
  for (size_t bytes = 0; bytes < 600; bytes = bytes * 2 + 1) {
    for (const bool abruptly : {false, true}) {
      auto client = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
      std::thread writer([&] { EXPECT_FALSE(push_all(call->sink, samples)); });
      for (size_t read = 0; read < bytes;) read += client->receive(bytes - read).size();
      abruptly ? client->close_abruptly() : client->close();
      writer.join();
    }
  }
  EXPECT_EQ(TestClient(port()).exchange(get("/healthz")).status, 200);
}

TEST_F(ServerSpeech, RequestsSentDuringTheSpeechAreAnsweredAfterIt) {
  open();
  auto client = ask(kSpeech, R"({"input": "one", "response_format": "pcm"})");
  const std::string more = get("/healthz") + post(kStream, R"({"input": "two"})");
  for (size_t i = 0; i < more.size(); i += 10) {
    ASSERT_TRUE(client->send(std::string_view(more).substr(i, 10)));
    ASSERT_TRUE(push_all(call->sink, counting_samples(static_cast<int>(i), 10)));
  }
  call->sink.finish(summary());
  const WireResponse first = client->read_response();
  EXPECT_EQ(first.body.size(), (more.size() + 9) / 10 * 20);
  EXPECT_TRUE(first.complete);
  EXPECT_EQ(client->read_response().body, "{\"status\":\"ok\"}\n");
  call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->request.text, "two");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  call->sink.finish(summary());
  EXPECT_EQ(client->read_response().body, counting_pcm(0, 10));
}

TEST_F(ServerSpeech, MoreThanTheReadAheadWaitsInTheSocket) {
  open();
  auto client = ask(kSpeech, R"({"input": "one", "response_format": "wav"})");
  const std::string headers = "x: " + std::string(8000, 'y') + "\r\n";
  constexpr int kRequests = 20;  // 160 KB, more than is read ahead
  std::thread sender([&] {
    for (int i = 0; i < kRequests; ++i) EXPECT_TRUE(client->send(get("/healthz", headers)));
  });
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 100'000)));
  call->sink.finish(summary());
  EXPECT_TRUE(client->read_response().complete);
  for (int i = 0; i < kRequests; ++i) EXPECT_EQ(client->read_response().status, 200);
  sender.join();
}

TEST_F(ServerSpeech, ASlowReaderIsWaitedForAndPausesTheEngine) {
  speech.channel_samples = 4096;
  config.write_timeout = std::chrono::seconds(2);
  open();
  TestClient client(port(), 16 * 1024);
  ASSERT_TRUE(client.send(post(kStream, R"({"input": "hi"})")));
  call = speech.next();
  ASSERT_NE(call, nullptr);
  constexpr int kSamples = 1'000'000;
  std::atomic<bool> all{false};
  std::thread writer([&] {
    all = push_all(call->sink, counting_samples(0, kSamples));
    call->sink.finish(summary());
  });
  WireResponse response = client.read_head();
  // Nobody reads: the kernel takes a little, then the channel stays full.
  int64_t full = 0;
  EXPECT_TRUE(eventually([&] {
    full = call->sink.writable() < 2048 ? full + 1 : 0;
    return full > 50;
  }));
  EXPECT_FALSE(all);
  // Slower than the write timeout in all, but never still for so long.
  for (int i = 0; i < 6; ++i) {
    while (response.body.size() < static_cast<size_t>(i) * kSamples / 3) {
      ASSERT_FALSE(client.read_chunk(response).empty());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  while (!client.read_chunk(response).empty()) {
  }
  writer.join();
  EXPECT_TRUE(all);
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(response.body, counting_pcm(0, kSamples));
}

TEST_F(ServerSpeech, AReaderThatStandsStillIsCutOff) {
  config.write_timeout = std::chrono::milliseconds(100);
  open();
  TestClient client(port(), 16 * 1024);
  ASSERT_TRUE(client.send(post(kStream, R"({"input": "hi"})")));
  call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_FALSE(push_all(call->sink, counting_samples(0, 20'000'000)));
  EXPECT_EQ(record().finish, "disconnected");
}

TEST_F(ServerSpeech, AHundredAtOnce) {
  config.max_running = 100;
  open();
  constexpr size_t kClients = 100;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<TestClient>(port()));
    ASSERT_TRUE(clients.back()->send(
        post(kStream, R"({"input": "hi", "seed": )" + std::to_string(i) + "}")));
  }
  std::vector<FakeSpeech::Call*> calls(kClients);
  for (size_t i = 0; i < kClients; ++i) {
    FakeSpeech::Call* next = speech.next();
    ASSERT_NE(next, nullptr);
    calls[next->request.sampling.seed.value()] = next;
  }
  constexpr int kPieces = 20, kPiece = 500;
  for (int piece = 0; piece < kPieces; ++piece) {
    for (size_t i = 0; i < kClients; ++i) {
      ASSERT_TRUE(
          push_all(calls[i]->sink, counting_samples(static_cast<int>(i) + piece * kPiece, kPiece)));
    }
  }
  for (size_t i = 0; i < kClients; ++i) calls[i]->sink.finish(summary());
  for (size_t i = 0; i < kClients; ++i) {
    const WireResponse response = clients[i]->read_response();
    EXPECT_EQ(response.body, counting_pcm(static_cast<int>(i), kPieces * kPiece)) << i;
    EXPECT_TRUE(response.complete) << i;
    EXPECT_EQ(response.headers.at("x-lyre-seed"), std::to_string(i));
  }
}

// The peer's synchronous generation holds up every other request (lessons B18).
TEST_F(ServerSpeech, PeerFaultB18ASpeechHoldsUpNobody) {
  config.io_threads = 1;
  open();
  auto waiting = ask(kSpeech, R"({"input": "hi", "response_format": "wav"})");
  EXPECT_EQ(TestClient(port()).exchange(get("/healthz")).status, 200);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  waiting->read_head();
  EXPECT_EQ(TestClient(port()).exchange(get("/healthz")).status, 200);
}

TEST_F(ServerSpeech, StopWaitsForRunningSpeech) {
  open();
  auto client = ask(kStream, R"({"input": "hi"})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  WireResponse response = client->read_head();
  EXPECT_EQ(client->read_chunk(response), counting_pcm(0, 10));
  auto stopped = std::async(std::launch::async, [&] { return server->stop(kPatience); });
  EXPECT_TRUE(eventually([&] { return !TestClient(port()).connected(); }));
  ASSERT_TRUE(push_all(call->sink, counting_samples(10, 10)));
  call->sink.finish(summary());
  EXPECT_EQ(client->read_chunk(response), counting_pcm(10, 10));
  EXPECT_EQ(client->read_chunk(response), "");
  EXPECT_TRUE(response.complete);
  EXPECT_TRUE(stopped.get());
  EXPECT_EQ(client->receive(), "");
}

TEST_F(ServerSpeech, DuringTheStopNewSpeechIs503) {
  open();
  auto client = ask(kStream, R"({"input": "hi"})");
  auto stopped = std::async(std::launch::async, [&] { return server->stop(kPatience); });
  EXPECT_TRUE(eventually([&] { return !TestClient(port()).connected(); }));
  // The speech under way was accepted before: it is spoken, and then the connection ends.
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  call->sink.finish(summary());
  const WireResponse response = client->read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_TRUE(stopped.get());
}

TEST_F(ServerSpeech, StopCutsWhatTakesTooLong) {
  open();
  auto waiting = ask(kStream, R"({"input": "one"})");
  FakeSpeech::Call* first = call;
  auto streaming = ask(kStream, R"({"input": "two"})");
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  WireResponse response = streaming->read_head();
  streaming->read_chunk(response);
  EXPECT_FALSE(server->stop(std::chrono::milliseconds(20)));
  EXPECT_TRUE(first->sink.closed());
  EXPECT_TRUE(call->sink.closed());
  EXPECT_EQ(streaming->read_chunk(response), "");
  EXPECT_FALSE(response.complete);
  EXPECT_EQ(waiting->receive(), "");
}

TEST_F(ServerSpeech, TheDestructorLeavesNothingBehind) {
  open();
  auto waiting = ask(kStream, R"({"input": "one"})");
  TestClient idle(port());
  server.reset();
  EXPECT_TRUE(call->sink.closed());
}

}  // namespace
}  // namespace lyre::server::test
