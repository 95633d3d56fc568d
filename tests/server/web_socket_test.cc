// WebSockets over real sockets: what holds for every protocol.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "server/running_server.h"
#include "server/web_socket_client.h"

namespace lyre::server::test {
namespace {

constexpr const char* kOrpheus = "/v1/audio/speech/stream/ws";
constexpr const char* kBaseten = "/v1/baseten/websocket";

class WebSocketServer : public RunningServer {};

TEST_F(WebSocketServer, SegmentsAreSpokenInTheOrderInWhichTheyCome) {
  open();
  WebSocketClient client(port(), kOrpheus, "x-request-id: mine\r\n");
  ASSERT_EQ(client.response().status, 101);
  EXPECT_EQ(client.response().headers.at("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(client.response().headers.at("x-request-id"), "mine");
  client.send_text(R"({"input": "One.", "voice": "max", "segment_id": "a"})");
  client.send_text(R"({"input": "Two.", "segment_id": "b", "continue": false})");
  for (const char* id : {"a", "b"}) {
    FakeSpeech::Call* call = speech.next();
    ASSERT_NE(call, nullptr);
    EXPECT_EQ(call->request.text, id == std::string("a") ? "One." : "Two.");
    EXPECT_EQ(client.receive_text(),
              R"({"type":"start","segment_id":")" + std::string(id) + R"("})");
    ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10'000)));
    EXPECT_TRUE(client.receive_binary(20'000) == counting_pcm(0, 10'000));
    call->sink.finish(summary());
    EXPECT_EQ(client.receive_text(), R"({"type":"end","segment_id":")" + std::string(id) + R"("})");
  }
  EXPECT_EQ(client.receive().close_code(), 1000);
  client.send_close(1000);
  EXPECT_EQ(client.receive().opcode, -1);
  client.raw().close();
  EXPECT_EQ(record(0).voice, "max");
  EXPECT_EQ(record(0).finish, "stop");
  EXPECT_NEAR(record(0).audio_s, 10'000 / 24'000.0, 1e-9);
  EXPECT_EQ(record(0).request_id, "mine");
  EXPECT_EQ(record(2).status, 101);
  EXPECT_EQ(record(2).speech, false);
}

TEST_F(WebSocketServer, TextIsSpokenWhileItIsWritten) {
  open();
  WebSocketClient client(port(), kBaseten);
  ASSERT_EQ(client.response().status, 101);
  client.send_text(R"({"voice": "max", "max_tokens": 70, "buffer_size": 10})");
  client.send_text("un");
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_TRUE(call->request.more_text);
  EXPECT_EQ(call->request.text, "un");
  EXPECT_EQ(call->request.voice, "max");
  EXPECT_FALSE(call->request.max_tokens.has_value());
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 500)));
  EXPECT_EQ(client.receive_binary(1000), counting_pcm(0, 500));
  client.send_text("believ");
  client.send_text("able. ");
  client.send_text("__END__");
  ASSERT_TRUE(eventually([&] { return call->following->finished(); }));
  EXPECT_EQ(call->following->text(), "believable. .");
  ASSERT_TRUE(push_all(call->sink, counting_samples(500, 500)));
  call->sink.finish(summary());
  EXPECT_EQ(client.receive_binary(1000), counting_pcm(500, 500));
  EXPECT_EQ(client.receive().close_code(), 1000);
}

TEST_F(WebSocketServer, AClientThatLeavesCancelsItsSpeech) {
  open();
  for (const bool politely : {false, true}) {
    WebSocketClient client(port(), kBaseten);
    client.send_text("{}");
    client.send_text("Hello");
    FakeSpeech::Call* call = speech.next();
    ASSERT_NE(call, nullptr);
    ASSERT_TRUE(push_all(call->sink, counting_samples(0, 100)));
    EXPECT_EQ(client.receive_binary(200), counting_pcm(0, 100));
    if (politely) {
      client.send_close(1000);
      EXPECT_EQ(client.receive().close_code(), 1000);
    } else {
      client.raw().close_abruptly();
    }
    EXPECT_TRUE(eventually([&] { return call->sink.closed(); }));
  }
  EXPECT_EQ(record(0).finish, "disconnected");
}

TEST_F(WebSocketServer, ASlowReaderPausesItsSpeechAndLosesNothing) {
  open();
  constexpr int kSamples = 2'000'000;
  WebSocketClient client(port(), kOrpheus, "", 64 * 1024);
  client.send_text(R"({"input": "Long.", "continue": false})");
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  std::atomic<bool> full{false};
  std::thread engine([&] {
    const std::vector<float> samples = counting_samples(0, kSamples);
    for (size_t at = 0; at < samples.size();) {
      if (call->sink.writable() < 2000) {
        full = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } else {
        at += call->sink.push({&samples[at], 2000}) == PushStatus::kAccepted ? 2000 : kSamples;
      }
    }
    call->sink.finish(summary());
  });
  // What the server holds is bounded.
  EXPECT_TRUE(eventually([&] { return full.load(); }));
  EXPECT_EQ(client.receive_text(), R"({"type":"start","segment_id":"no_segment_id"})");
  EXPECT_TRUE(client.receive_binary(2 * kSamples) == counting_pcm(0, kSamples));
  engine.join();
  EXPECT_EQ(client.receive_text(), R"({"type":"end","segment_id":"no_segment_id"})");
}

TEST_F(WebSocketServer, AMessageMayComeInFrames) {
  open();
  WebSocketClient client(port(), kOrpheus);
  client.send_frame(1, R"({"input": "He)", false);
  client.send_frame(9, "are you there?");
  client.send_frame(0, R"(llo."})");
  EXPECT_EQ(speech.next()->request.text, "Hello.");
  const WireFrame pong = client.receive();
  EXPECT_EQ(pong.opcode, 10);
  EXPECT_EQ(pong.payload, "are you there?");
}

TEST_F(WebSocketServer, WhatBreaksTheRulesClosesTheSocket) {
  config.max_body_bytes = 1000;
  open();
  const std::string long_text(1001, 'x');
  struct Case {
    int opcode;
    std::string payload;
    bool masked;
    int code;
  };
  for (const Case& c :
       {Case{1, long_text, true, 1009}, Case{1, "\xff\xfe", true, 1007}, Case{1, "{}", false, 1002},
        Case{3, "", true, 1002}, Case{2, "{}", true, 1003}, Case{1, "no JSON", true, 1008}}) {
    WebSocketClient client(port(), kBaseten);
    client.send_frame(c.opcode, c.payload, true, c.masked);
    EXPECT_EQ(client.receive().close_code(), c.code) << c.payload;
  }
}

TEST_F(WebSocketServer, AnInterruptedItemIsSilentAtOnce) {
  open();
  WebSocketClient client(port(), "/v1/audio/speech/websocket?voice=max&model=any");
  EXPECT_TRUE(client.receive_text().starts_with(R"({"type":"session.created")"));
  client.send_text(R"({"type": "input_text_buffer.append", "text": "One."})");
  FakeSpeech::Call* first = speech.next();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->request.voice, "max");
  EXPECT_NE(client.receive_text().find("input_text.received"), std::string::npos);
  ASSERT_TRUE(push_all(first->sink, counting_samples(0, 3)));
  EXPECT_NE(client.receive_text().find(R"("delta":"AAABAAIA")"), std::string::npos);
  client.send_text(R"({"type": "input_text_buffer.clear"})");
  EXPECT_TRUE(eventually([&] { return first->sink.closed(); }));
  client.send_text(R"({"type": "input_text_buffer.append", "text": "Two."})");
  client.send_text(R"({"type": "input_text_buffer.commit"})");
  FakeSpeech::Call* second = speech.next();
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(eventually([&] { return second->following->finished(); }));
  second->sink.finish(summary());
  EXPECT_NE(client.receive_text().find("input_text.received"), std::string::npos);
  const std::string done = client.receive_text();
  EXPECT_NE(done.find("audio_output.done"), done.npos);
  EXPECT_NE(done.find("_2\""), done.npos);
}

TEST_F(WebSocketServer, ContextsAreSpokenBesideEachOther) {
  open();
  WebSocketClient client(port(),
                         "/v1/text-to-speech/max/multi-stream-input?output_format=pcm_24000");
  client.send_text(R"({"text": "One. ", "context_id": "a", "flush": true})");
  client.send_text(R"({"text": "Two. ", "context_id": "b"})");
  FakeSpeech::Call *a = speech.next(), *b = speech.next();
  ASSERT_TRUE(a != nullptr && b != nullptr);
  ASSERT_TRUE(push_all(b->sink, counting_samples(0, 3)));
  EXPECT_NE(client.receive_text().find(R"("contextId":"b")"), std::string::npos);
  client.send_text(R"({"context_id": "b", "close_context": true})");
  EXPECT_EQ(client.receive_text(), R"({"isFinal":true,"contextId":"b"})");
  EXPECT_TRUE(eventually([&] { return b->sink.closed(); }));
  client.send_text(R"({"close_socket": true})");
  EXPECT_TRUE(eventually([&] { return a->following->finished(); }));
  a->sink.finish(summary());
  EXPECT_EQ(client.receive_text(), R"({"isFinal":true,"contextId":"a"})");
  EXPECT_EQ(client.receive_text(), "close 1000");
}

TEST_F(WebSocketServer, WhatTheAddressAsksForIsChecked) {
  open();
  for (const char* query :
       {"?output_format=noise", "?inactivity_timeout=181", "?inactivity_timeout=x", "?seed=-1"}) {
    WebSocketClient client(port(), std::string("/v1/text-to-speech/max/stream-input") + query);
    EXPECT_EQ(client.response().status, 400) << query;
  }
}

TEST_F(WebSocketServer, WhatComesWithTheHandshakeBelongsToTheSocket) {
  open();
  TestClient early(port());
  std::string bytes =
      "GET /v1/audio/speech/stream/ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::string message = R"({"input": "Early."})";
  bytes += static_cast<char>(0x81);
  bytes += static_cast<char>(0x80 | message.size());
  bytes += std::string(4, '\0') + message;  // a mask of zeros
  ASSERT_TRUE(early.send(bytes));
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->request.text, "Early.");
}

TEST_F(WebSocketServer, AFailureIsToldAndCloses) {
  open();
  WebSocketClient client(port(), kOrpheus);
  client.send_text(R"({"input": "One.", "voice": "nobody"})");
  const std::string error = client.receive_text();
  EXPECT_NE(error.find(R"("error":)"), error.npos);
  EXPECT_NE(error.find("nobody"), error.npos);
  EXPECT_NE(error.find(R"("done":true)"), error.npos);
  EXPECT_EQ(client.receive().close_code(), 1008);
}

TEST_F(WebSocketServer, AServerThatStopsLetsASpeechEnd) {
  open();
  WebSocketClient idle(port(), kOrpheus), speaking(port(), kBaseten);
  ASSERT_EQ(idle.response().status, 101);
  speaking.send_text("{}");
  speaking.send_text("Hello");
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  bool clean = false;
  std::thread stop([&] { clean = server->stop(kPatience); });
  EXPECT_EQ(idle.receive().close_code(), 1001);
  idle.send_close(1001);
  idle.raw().close();
  // Nothing follows what has come so far.
  EXPECT_TRUE(eventually([&] { return call->following->finished(); }));
  EXPECT_TRUE(push_all(call->sink, counting_samples(0, 100)));
  call->sink.finish(summary());
  EXPECT_EQ(speaking.receive_binary(200), counting_pcm(0, 100));
  const int code = speaking.receive().close_code();
  EXPECT_TRUE(code == 1000 || code == 1001) << code;
  speaking.send_close(code);
  speaking.raw().close();
  stop.join();
  EXPECT_TRUE(clean);
}

TEST_F(WebSocketServer, AServerThatDoesNotWaitCancels) {
  open();
  WebSocketClient client(port(), kBaseten);
  client.send_text("{}");
  client.send_text("Hello");
  FakeSpeech::Call* call = speech.next();
  ASSERT_NE(call, nullptr);
  EXPECT_FALSE(server->stop(std::chrono::milliseconds(0)));
  EXPECT_TRUE(call->sink.closed());
}

TEST_F(WebSocketServer, AClientThatIsSilentForTooLongIsClosed) {
  config.idle_timeout = std::chrono::milliseconds(100);
  open();
  WebSocketClient client(port(), kOrpheus);
  for (WireFrame frame = client.receive(); frame.opcode != -1; frame = client.receive()) {
    if (frame.opcode == 8) {
      EXPECT_EQ(frame.close_code(), 1000);
      return;
    }
    client.send_frame(10, frame.payload);  // it answers pings, so it is there
  }
  FAIL() << "no close";
}

TEST_F(WebSocketServer, WhoAsksForNoWebSocketIsTold) {
  open();
  TestClient client(port());
  const WireResponse response = client.exchange(get(kOrpheus));
  EXPECT_EQ(response.status, 426);
  EXPECT_EQ(response.headers.at("upgrade"), "websocket");
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
}

}  // namespace
}  // namespace lyre::server::test
