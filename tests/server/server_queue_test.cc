// Requests for speech wait for their place.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "lyre/server/server.h"
#include "server/running_server.h"

namespace lyre::server::test {
namespace {

const std::string kSpeak = post("/v1/audio/speech", R"({"input":"Hi.","response_format":"pcm"})");

class ServerQueue : public RunningServer {
 protected:
  /// A server with one place, which a request holds.
  void open_with_taken_place() {
    config.max_running = 1;
    open();
    first = std::make_unique<TestClient>(port());
    ASSERT_TRUE(first->send(kSpeak));
    running = speech.next();
    ASSERT_NE(running, nullptr);
  }
  double metric(const std::string& name) {
    const std::string body = TestClient(port()).exchange(get("/metrics")).body;
    const size_t at = body.find("\n" + name + " ");
    return at == body.npos ? -1 : std::stod(body.substr(at + name.size() + 2));
  }
  static void end(FakeSpeech::Call* call) {
    ASSERT_NE(call, nullptr);
    push_all(call->sink, counting_samples(0, 100));
    call->sink.finish(summary());
  }

  std::unique_ptr<TestClient> first;
  FakeSpeech::Call* running = nullptr;
};

TEST_F(ServerQueue, TheNextIsSpokenWhenThePlaceIsFree) {
  open_with_taken_place();
  TestClient second(port());
  ASSERT_TRUE(second.send(kSpeak));
  ASSERT_TRUE(eventually([&] { return metric("lyre_queue_waiting") == 1; }));
  EXPECT_EQ(metric("lyre_queue_running"), 1);
  end(running);
  EXPECT_EQ(first->read_response().status, 200);
  end(speech.next());
  EXPECT_EQ(second.read_response().status, 200);
  EXPECT_EQ(record(0).queue_ms, 0);
}

TEST_F(ServerQueue, WhoReadsSlowlyWhatIsMadeKeepsNobodyWaiting) {
  speech.channel_samples = 8'000'000;
  speech.speak_first = [](PcmSink& sink) {  // more than the kernel takes
    ASSERT_TRUE(push_all(sink, counting_samples(0, 7'000'000)));
    sink.finish(summary());
  };
  config.max_running = 1;
  // Else its end would free the place.
  config.write_timeout = 2 * std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
  open();
  TestClient slow(port(), 4096);
  ASSERT_TRUE(slow.send(kSpeak));
  ASSERT_EQ(slow.read_head().status, 200);
  TestClient second(port());
  ASSERT_TRUE(second.send(kSpeak));
  end(speech.next());
  EXPECT_EQ(second.read_response().status, 200);
}

TEST_F(ServerQueue, AFullQueueIsTold) {
  config.max_queue = 0;
  open_with_taken_place();
  TestClient second(port());
  const WireResponse refused = second.exchange(kSpeak);
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.body.find(R"("code":"queue_full")"), std::string::npos) << refused.body;
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
  // The connection stays, and what is no speech asks for no place.
  EXPECT_EQ(second.exchange(get("/v1/models")).status, 200);
  end(running);
}

TEST_F(ServerQueue, WaitingEnds) {
  config.queue_wait = std::chrono::milliseconds(1);
  open_with_taken_place();
  TestClient second(port());
  const WireResponse refused = second.exchange(kSpeak);
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.body.find(R"("code":"queue_timeout")"), std::string::npos) << refused.body;
  EXPECT_EQ(metric("lyre_queue_waiting"), 0);
  end(running);
  EXPECT_EQ(first->read_response().status, 200);
}

TEST_F(ServerQueue, AClientThatLeavesGivesUpItsPlace) {
  open_with_taken_place();
  {
    TestClient second(port());
    ASSERT_TRUE(second.send(kSpeak));
    ASSERT_TRUE(eventually([&] { return metric("lyre_queue_waiting") == 1; }));
  }
  ASSERT_TRUE(eventually([&] { return metric("lyre_queue_waiting") == 0; }));
  // The same of one that is spoken: the engine and the next get what it had.
  first->close();
  ASSERT_TRUE(eventually([&] { return metric("lyre_queue_running") == 0; }));
}

TEST_F(ServerQueue, TheStopTellsThoseWhoWait) {
  open_with_taken_place();
  TestClient second(port());
  ASSERT_TRUE(second.send(kSpeak));
  ASSERT_TRUE(eventually([&] { return metric("lyre_queue_waiting") == 1; }));
  std::thread stop(
      [&] { server->stop(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience)); });
  EXPECT_EQ(second.read_response().status, 503);
  end(running);
  EXPECT_EQ(first->read_response().status, 200);
  stop.join();
}

}  // namespace
}  // namespace lyre::server::test
