// What the server says while it loads and warms up, and what becomes of requests that come early.
#include <gtest/gtest.h>
#include <poll.h>

#include <string>

#include "server/warm_server.h"

namespace lyre::server::test {
namespace {

using Strings = std::vector<std::string>;
const std::string kAsk = post("/v1/audio/speech", R"({"input": "hi", "response_format": "wav"})");

class ServerReadiness : public WarmServer {
 protected:
  /// A client whose request waits for the server to be ready.
  std::unique_ptr<TestClient> wait_early(std::string_view request) {
    auto client = std::make_unique<TestClient>(port());
    EXPECT_TRUE(client->send(request));
    return client;
  }
  bool are_waiting(size_t count) {
    return eventually([&] { return ask_json(get("/readyz")).at("waiting") == count; });
  }
  static bool answered(const TestClient& client) {
    pollfd readable{client.descriptor(), POLLIN, 0};
    return ::poll(&readable, 1, 0) > 0;
  }
};

TEST_F(ServerReadiness, TellsItsPhasesAndTheStepsDoneSoFar) {
  open(false);
  WireResponse ready = ask(get("/readyz"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "{\"status\":\"loading\",\"waiting\":0,\"steps\":[]}\n");
  EXPECT_EQ(ready.headers.at("retry-after"), "1");
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("status"), "loading");
  EXPECT_TRUE(ask_json(get("/v1/warmup")).at("total_ms").is_null());

  warmup.hold();
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  ready = ask(get("/readyz"));
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.headers.at("retry-after"), "1");
  boost::json::object body = ask_json(get("/readyz"));
  EXPECT_EQ(body.at("status"), "warming");
  EXPECT_EQ(outcomes(body.at("steps")), Strings{"codec.frame=ok"});
  EXPECT_EQ(body.at("steps").at(0).at("ms").as_double(), 1.5);
  EXPECT_EQ(ask(get("/healthz")).status, 200);
  EXPECT_EQ(ask(get("/")).status, 200);
  body = ask_json(get("/v1/warmup"));
  EXPECT_EQ(body.at("status"), "warming");
  EXPECT_EQ(body.at("warm"), false);
  EXPECT_EQ(outcomes(body.at("steps")), Strings{"codec.frame=ok"});

  warmup.let_go();
  wait_for_start();
  EXPECT_TRUE(report.warm);
  EXPECT_EQ(ask(get("/readyz")).status, 200);
  body = ask_json(get("/readyz"));
  EXPECT_EQ(body.at("status"), "ready");
  EXPECT_EQ(body.at("warm"), true);
  EXPECT_EQ(body.at("warming"), false);
  EXPECT_EQ(body.at("model"), "fake");
  EXPECT_FALSE(body.contains("failed_steps"));
}

TEST_F(ServerReadiness, LoadedIsEnoughIfTheSettingSaysSo) {
  config.ready_when = ReadyWhen::kLoaded;
  config.early_requests = EarlyRequests::kRefuse;
  open(false);
  EXPECT_EQ(ask(kAsk).status, 503);
  warmup.hold();
  int begun_status = 0;
  Server::StartWarmup options;
  options.begun = [&] { begun_status = ask(get("/readyz")).status; };
  start_warming(options);
  ASSERT_TRUE(warmup.is_held());
  EXPECT_EQ(begun_status, 200);
  const boost::json::object body = ask_json(get("/readyz"));
  EXPECT_EQ(body.at("status"), "ready");
  EXPECT_EQ(body.at("warm"), false);
  EXPECT_EQ(body.at("warming"), true);
  auto client = wait_early(kAsk);
  FakeSpeech::Call* const call = speech.next();
  ASSERT_NE(call, nullptr);
  ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
  call->sink.finish(summary());
  EXPECT_EQ(client->read_response().status, 200);
  warmup.let_go();
  wait_for_start();
  EXPECT_EQ(ask_json(get("/readyz")).at("warm"), true);
}

TEST_F(ServerReadiness, AWarmUpThatFailsIsToldAndTheServerIsReady) {
  warmup.failing = "lm.step";
  open_warm();
  EXPECT_EQ(ask(get("/readyz")).status, 200);
  const boost::json::object body = ask_json(get("/readyz"));
  EXPECT_EQ(body.at("status"), "ready");
  EXPECT_EQ(body.at("warm"), false);
  EXPECT_EQ(outcomes(body.at("failed_steps")), Strings{"lm.step=failed"});
  EXPECT_EQ(body.at("failed_steps").at(0).at("error"), "broken");
  EXPECT_EQ(ask(get("/api/voices")).status, 200);
}

TEST_F(ServerReadiness, AServiceThatFailedIsNotReady) {
  open_warm();
  EXPECT_NE(ask(get("/metrics")).body.find("\nlyre_ready 1\n"), std::string::npos);
  server->begin_stop();  // the fake's health is read by the io threads: change it in another server
  server.reset();
  speech.health = Error{ErrorCode::kDeviceLost, "the device has gone"};
  open_warm();
  EXPECT_EQ(ask(get("/readyz")).status, 503);
  EXPECT_EQ(ask_json(get("/readyz")).at("status"), "failed");
  EXPECT_NE(ask(get("/metrics")).body.find("\nlyre_ready 0\n"), std::string::npos);
}

TEST_F(ServerReadiness, AnEarlyRequestWaitsAndIsServed) {
  open(false);
  auto first = wait_early(kAsk);
  auto list = wait_early(get("/api/voices"));
  ASSERT_TRUE(are_waiting(2));
  warmup.hold();
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  auto second = wait_early(kAsk);
  ASSERT_TRUE(are_waiting(3));
  for (const auto* client : {first.get(), second.get(), list.get()}) {
    EXPECT_FALSE(answered(*client));
  }
  warmup.let_go();
  EXPECT_EQ(list->read_response().status, 200);
  for (int i = 0; i < 2; ++i) {
    FakeSpeech::Call* const call = speech.next();
    ASSERT_NE(call, nullptr);
    EXPECT_FALSE(call->request.warm_up);
    ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
    call->sink.finish(summary());
  }
  for (TestClient* client : {first.get(), second.get()}) {
    const WireResponse response = client->read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body.substr(44), counting_pcm(0, 10));
    EXPECT_EQ(client->exchange(get("/healthz")).status, 200);  // the connection lives on
  }
  // What waited is no measure of a first request.
  EXPECT_EQ(ask(get("/metrics")).body.find("lyre_first_request_seconds"), std::string::npos);
}

TEST_F(ServerReadiness, RequestsThatFollowAnEarlyOneAreAnsweredInTurn) {
  open(false);
  auto client = wait_early(get("/api/voices") + get("/healthz"));
  ASSERT_TRUE(are_waiting(1));
  EXPECT_FALSE(answered(*client));
  server->serve(speech.service());
  EXPECT_NE(client->read_response().body.find("ada"), std::string::npos);
  EXPECT_EQ(client->read_response().body, "{\"status\":\"ok\"}\n");
}

TEST_F(ServerReadiness, AnEarlyRequestMayBeRefused) {
  config.early_requests = EarlyRequests::kRefuse;
  open(false);
  warmup.hold();
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  for (const std::string& request :
       {kAsk, post("/v1/audio/speech/stream", R"({"input": "hi"})"), get("/api/voices"),
        get("/v1/audio/voices"), get("/v1/models")}) {
    const WireResponse response = ask(request);
    EXPECT_EQ(response.status, 503) << request;
    EXPECT_EQ(response.headers.at("retry-after"), "1");
    EXPECT_NE(response.body.find("\"not_ready\""), std::string::npos);
  }
}

TEST_F(ServerReadiness, AnEarlyRequestWaitsForALimitedTime) {
  config.early_wait = std::chrono::milliseconds(20);
  open(false);
  TestClient client(port());
  const WireResponse response = client.exchange(kAsk);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_EQ(client.exchange(get("/healthz")).status, 200);
  server->serve(speech.service());
  EXPECT_EQ(client.exchange(get("/api/voices")).status, 200);
}

TEST_F(ServerReadiness, OnlySoManyEarlyRequestsWait) {
  config.max_early_requests = 2;
  open(false);
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<pollfd> readable;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(wait_early(get("/api/voices")));
    readable.push_back({clients.back()->descriptor(), POLLIN, 0});
  }
  ASSERT_EQ(::poll(readable.data(), readable.size(), 60'000), 1);  // whoever came last
  for (size_t i = 0; i < clients.size(); ++i) {
    if (readable[i].revents == 0) continue;
    const WireResponse refused = clients[i]->read_response();
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
  }
  server->serve(speech.service());
  for (size_t i = 0; i < clients.size(); ++i) {
    if (readable[i].revents == 0) {
      EXPECT_EQ(clients[i]->read_response().status, 200);
    }
  }
}

TEST_F(ServerReadiness, AnEarlyClientThatLeavesGivesItsPlaceUp) {
  config.max_early_requests = 1;
  open(false);
  size_t records = 0;
  for (int i = 0; i < 4; ++i) {
    auto client = wait_early(kAsk);
    ASSERT_TRUE(are_waiting(1));
    i % 2 == 0 ? client->close() : client->close_abruptly();
    const AccessRecord left = record_of("/v1/audio/speech", records);
    EXPECT_EQ(left.status, 499);
    EXPECT_TRUE(left.early);
    EXPECT_FALSE(left.error.empty());
  }
  auto client = wait_early(get("/v1/models"));
  server->serve(speech.service());
  EXPECT_EQ(client->read_response().status, 200);
}

TEST_F(ServerReadiness, TheStopAnswersThoseWhoWait) {
  open(false);
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(wait_early(kAsk));
  ASSERT_TRUE(are_waiting(3));
  server->begin_stop();
  for (const auto& client : clients) {
    const WireResponse response = client->read_response();
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.headers.at("retry-after"), "1");
  }
  EXPECT_TRUE(server->stop(kPatience));
}

TEST_F(ServerReadiness, TheStopOfAWarmUpIsPromptAndClean) {
  open(false);
  warmup.hold();
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  auto client = wait_early(kAsk);
  ASSERT_TRUE(are_waiting(1));
  server->begin_stop();
  EXPECT_EQ(client->read_response().status, 503);
  wait_for_start();
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(own_requests, 0);
  EXPECT_FALSE(server->ready_ms().has_value());
  EXPECT_TRUE(server->stop(kPatience));
}

TEST_F(ServerReadiness, WithoutAWarmUpItIsReadyAndNotWarm) {
  open();
  EXPECT_EQ(ask(get("/readyz")).status, 200);
  EXPECT_EQ(ask_json(get("/readyz")).at("warm"), false);
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("status"), "ready");
  EXPECT_TRUE(server->ready_ms().has_value());
  EXPECT_EQ(ask(post("/v1/warmup", "")).status, 503);  // this service has none
}

}  // namespace
}  // namespace lyre::server::test
