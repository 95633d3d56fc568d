// The server's own steps of the warm-up, GET and POST /v1/warmup, and the metrics.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "server/warm_server.h"

namespace lyre::server::test {
namespace {

using Strings = std::vector<std::string>;
using Outcome = WarmupStepReport::Outcome;
const std::string kWarmUp = post("/v1/warmup", "");

class ServerWarmup : public WarmServer {
 protected:
  const WarmupStepReport& step(const char* name) {
    const WarmupStepReport* const found = report.find(name);
    static const WarmupStepReport kNone;
    EXPECT_NE(found, nullptr) << name;
    return found == nullptr ? kNone : *found;
  }
  void speak_once(const char* input = "hi") {
    TestClient client(port());
    EXPECT_TRUE(client.send(
        post("/v1/audio/speech/stream", std::string(R"({"input": ")") + input + "\"}")));
    FakeSpeech::Call* const call = speech.next();
    ASSERT_NE(call, nullptr);
    ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
    call->sink.finish(summary());
    EXPECT_EQ(client.read_response().status, 200);
  }
};

TEST_F(ServerWarmup, EveryIoThreadSpeaksEveryFormat) {
  config.io_threads = 3;
  open_warm();
  EXPECT_TRUE(report.warm);
  Strings names;
  for (const auto& done : report.steps) names.push_back(done.name);
  EXPECT_EQ(names, (Strings{"codec.frame", "lm.step", "server.synthesis.io0",
                            "server.synthesis.io1", "server.synthesis.io2", "server.encodings"}));
  EXPECT_EQ(step("server.synthesis.io2").lane, WarmupLane::kWhole);
  // A frame of wav, pcm and the stream, and a sentence; then what goes through other encoders.
  EXPECT_EQ(own_requests, 3 * 4 + 6);
  ASSERT_TRUE(report.first_request_ms.has_value());
  EXPECT_GT(*report.first_request_ms, 0);
  EXPECT_NE(*report.first_request_ms, 3.25);  // the fake engine's own
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("first_request_by"), "server");
}

TEST_F(ServerWarmup, ASlowModelSpeaksASingleFrame) {
  config.io_threads = 2;
  config.warmup_slow_frame = std::chrono::milliseconds(-1);
  open_warm();
  EXPECT_TRUE(report.warm);
  EXPECT_EQ(own_requests, 1);
  EXPECT_EQ(report.first_request_ms, 3.25);  // the fake engine's own
}

TEST_F(ServerWarmup, EveryIoThreadIsFoundThoughOthersConnectAsWell) {
  config.io_threads = 3;
  open(false);
  std::atomic<bool> enough{false};
  std::thread others([&] {
    while (!enough) ask(get("/healthz"));
  });
  start_warming();
  wait_for_start();
  enough = true;
  others.join();
  for (const auto& done : report.steps) EXPECT_EQ(done.outcome, Outcome::kOk) << done.error;
}

TEST_F(ServerWarmup, ItsRequestsAreShortMarkedAndInNobodysWay) {
  speech.speak_warm_up = {};
  config.io_threads = 1;
  config.early_requests = EarlyRequests::kRefuse;
  open(false);
  start_warming();
  for (const int max_tokens : {7, 7, 7, 56, 7, 7, 7, 7, 7, 7}) {
    FakeSpeech::Call* const call = speech.next();
    ASSERT_NE(call, nullptr);
    EXPECT_TRUE(call->request.warm_up);
    EXPECT_EQ(call->request.max_tokens, max_tokens);
    ASSERT_TRUE(push_all(call->sink, counting_samples(0, 10)));
    call->sink.finish(summary());
  }
  wait_for_start();
  EXPECT_TRUE(report.warm);
  // With the readiness, which both connections ask for, and two lists.
  for (size_t i = 0; i < 14; ++i) EXPECT_TRUE(record(i).warm_up) << record(i).path;
  EXPECT_EQ(ask(get("/metrics")).body.find("lyre_first_request_seconds"), std::string::npos);
}

TEST_F(ServerWarmup, AWrongKeyIsNoKey) {
  config.early_requests = EarlyRequests::kRefuse;
  open(false);
  warmup.hold();
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  for (const char* key : {"", "0", "00000000000000000000000000000000"}) {
    const std::string header = std::string("x-lyre-warmup: ") + key + "\r\n";
    const WireResponse response = ask(get("/api/voices", header));
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.headers.count("x-lyre-io-thread"), 0u);
  }
  for (size_t i = 0; i < 3; ++i) EXPECT_FALSE(record(i).warm_up);
}

TEST_F(ServerWarmup, AnErrorFailsTheStep) {
  speech.refusal = Error{ErrorCode::kInternal, "the model broke"};
  open_warm();
  EXPECT_FALSE(report.warm);
  EXPECT_EQ(step("server.synthesis.io0").outcome, Outcome::kFailed);
  const std::string& error = step("server.synthesis.io1").error;
  EXPECT_NE(error.find("expected status 200, found 500"), error.npos) << error;
  EXPECT_NE(error.find("the model broke"), error.npos) << error;
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("first_request_by"), "engine");
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("first_request_ms").as_double(), 3.25);
  EXPECT_EQ(ask(get("/readyz")).status, 200);
}

TEST_F(ServerWarmup, NoAudioFailsTheStep) {
  speech.speak_warm_up = [](PcmSink& sink) { sink.finish(summary()); };
  open_warm();
  const std::string& error = step("server.synthesis.io0").error;
  EXPECT_NE(error.find("without any speech"), error.npos) << error;
}

TEST_F(ServerWarmup, SpeechThatBreaksOffFailsTheStep) {
  speech.speak_warm_up = [](PcmSink& sink) {
    EXPECT_TRUE(push_all(sink, counting_samples(0, 10)));
    sink.finish(Error{ErrorCode::kInternal, "the model broke"});
  };
  open_warm();
  EXPECT_EQ(step("server.synthesis.io0").outcome, Outcome::kFailed);
  EXPECT_EQ(step("server.synthesis.io1").outcome, Outcome::kFailed);
}

TEST_F(ServerWarmup, AStallFailsTheStepWhenItsTimeIsOver) {
  std::vector<PcmSink> open_for_ever;
  speech.speak_warm_up = [&](PcmSink& sink) { open_for_ever.push_back(std::move(sink)); };
  config.io_threads = 1;
  config.warmup_patience = std::chrono::milliseconds(200);
  open_warm();
  EXPECT_EQ(step("server.synthesis.io0").outcome, Outcome::kFailed);
  const std::string& error = step("server.synthesis.io0").error;
  EXPECT_NE(error.find("within 200 ms"), error.npos) << error;
  EXPECT_EQ(ask(get("/readyz")).status, 200);
}

TEST_F(ServerWarmup, TheStopEndsAStall) {
  std::vector<PcmSink> open_for_ever;
  std::atomic<bool> asked{false};
  speech.speak_warm_up = [&](PcmSink& sink) {
    open_for_ever.push_back(std::move(sink));
    asked = true;
  };
  open(false);
  start_warming();
  ASSERT_TRUE(eventually([&] { return asked.load(); }));
  server->begin_stop();
  wait_for_start();
  EXPECT_FALSE(report.warm);
  EXPECT_TRUE(server->stop(kPatience));
}

TEST_F(ServerWarmup, ReachesItselfWhereverItListens) {
  for (const char* host : {"0.0.0.0", "::", "::1"}) {
    config.host = host;
    auto opened = Server::open(config);
    if (!opened.ok() && *host == ':') continue;  // no IPv6 on this machine
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    server = *std::move(opened);
    report = server->warm_up_and_serve(service(), {});
    EXPECT_TRUE(report.warm) << host << ": " << step("server.synthesis.io0").error;
    server.reset();
  }
}

TEST_F(ServerWarmup, WithoutTheCodecThereAreNoWholeRequestsAndItIsNotWarm) {
  open_warm({.whole = false, .begun = {}});
  EXPECT_FALSE(report.warm);
  ASSERT_EQ(report.steps.size(), 1u);
  EXPECT_EQ(report.steps[0].name, "lm.step");
  boost::json::object ready = ask_json(get("/readyz"));
  EXPECT_EQ(ready.at("warm"), false);
  EXPECT_TRUE(ready.at("failed_steps").as_array().empty());
  const boost::json::object again = ask_json(kWarmUp);
  EXPECT_EQ(again.at("warm"), true);
  EXPECT_EQ(outcomes(again.at("steps")),
            (Strings{"codec.frame=ok", "lm.step=ok", "server.synthesis.io0=ok",
                     "server.synthesis.io1=ok", "server.encodings=ok"}));
  EXPECT_EQ(ask_json(get("/readyz")).at("warm"), true);
}

TEST_F(ServerWarmup, TheReportIsServed) {
  warmup.failing = "lm.step";
  open_warm();
  const boost::json::object body = ask_json(get("/v1/warmup"));
  EXPECT_EQ(body.at("status"), "ready");
  EXPECT_EQ(body.at("warm"), false);
  EXPECT_EQ(body.at("runs"), 1);
  EXPECT_EQ(body.at("total_ms").as_double(), 12.5);
  EXPECT_GT(body.at("ready_ms").as_double(), 0);
  EXPECT_GT(body.at("first_request_ms").as_double(), 0);
  const auto& steps = body.at("steps").as_array();
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(boost::json::serialize(steps[1]),
            R"({"name":"lm.step","lane":"models","outcome":"failed","start_ms":0E0,)"
            R"("duration_ms":1.5E0,"error":"broken"})");
  EXPECT_EQ(steps[2].at("lane"), "whole");
  EXPECT_FALSE(steps[2].as_object().contains("error"));
}

TEST_F(ServerWarmup, PostRunsItAgainAndTellsTheResult) {
  warmup.failing = "lm.step";
  open_warm();
  warmup.failing = "";
  TestClient client(port());
  for (int run = 2; run <= 4; ++run) {
    const WireResponse response = client.exchange(kWarmUp);
    EXPECT_EQ(response.status, 200);
    EXPECT_NE(response.body.find("\"runs\":" + std::to_string(run)), std::string::npos);
    EXPECT_NE(response.body.find("\"warm\":true"), std::string::npos);
    EXPECT_NE(response.body.find("server.synthesis.io1"), std::string::npos);
  }
  EXPECT_EQ(warmup.runs(), 4);
}

TEST_F(ServerWarmup, PostWhileItLoadsIs503) {
  open(false);
  const WireResponse response = ask(kWarmUp);
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
}

TEST_F(ServerWarmup, PostsDuringARunAreAllAnswered) {
  warmup.hold();
  open(false);
  start_warming();
  ASSERT_TRUE(warmup.is_held());
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<TestClient>(port()));
    ASSERT_TRUE(clients.back()->send(kWarmUp));
  }
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("status"), "warming");
  // Most have joined by then (service_warmup_test.cc proves that they do); who comes later runs.
  warmup.let_go();
  for (const auto& client : clients) {
    const WireResponse response = client->read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_NE(response.body.find("\"status\":\"ready\",\"warm\":true"), std::string::npos)
        << response.body;
    EXPECT_EQ(client->exchange(get("/healthz")).status, 200);
  }
}

TEST_F(ServerWarmup, WhileItRunsAgainTheServerIsReadyAndSpeaks) {
  open_warm();
  warmup.hold();
  TestClient client(port());
  ASSERT_TRUE(client.send(kWarmUp));
  ASSERT_TRUE(warmup.is_held());
  EXPECT_EQ(ask(get("/readyz")).status, 200);
  boost::json::object body = ask_json(get("/readyz"));
  EXPECT_EQ(body.at("warm"), true);
  EXPECT_EQ(body.at("warming"), true);
  EXPECT_EQ(ask_json(get("/v1/warmup")).at("status"), "warming");
  speak_once();
  warmup.let_go();
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(warmup.runs(), 2);
}

TEST_F(ServerWarmup, AClientThatLeavesDoesNotEndTheRun) {
  open_warm();
  warmup.hold();
  {
    TestClient client(port());
    ASSERT_TRUE(client.send(kWarmUp));
    ASSERT_TRUE(warmup.is_held());
  }
  size_t records = 0;
  EXPECT_EQ(record_of("/v1/warmup", records).status, 499);
  warmup.let_go();
  EXPECT_TRUE(eventually([&] { return ask_json(get("/v1/warmup")).at("runs") == 2; }));
}

TEST_F(ServerWarmup, TheStopEndsARunThatIsWaitedFor) {
  open_warm();
  warmup.hold();
  TestClient client(port());
  ASSERT_TRUE(client.send(kWarmUp));
  ASSERT_TRUE(warmup.is_held());
  EXPECT_TRUE(server->stop(kPatience));
  const WireResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find("skipped"), std::string::npos);
}

TEST_F(ServerWarmup, AServerThatEndsEndsARun) {
  open_warm();
  warmup.hold();
  TestClient client(port());
  ASSERT_TRUE(client.send(kWarmUp));
  ASSERT_TRUE(warmup.is_held());
  server.reset();
  EXPECT_EQ(warmup.runs(), 2);
}

class ServerMetrics : public ServerWarmup {
 protected:
  /// The value of the sample with this name and these labels, as text; empty: there is none.
  std::string sample(const std::string& name) {
    const std::string text = "\n" + ask(get("/metrics")).body;
    const size_t at = text.find("\n" + name + " ");
    if (at == text.npos) return "";
    const size_t value = at + name.size() + 2;
    return text.substr(value, text.find('\n', value) - value);
  }
};

TEST_F(ServerMetrics, AreServedFromTheBeginning) {
  open(false);
  const WireResponse response = ask(get("/metrics"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(response.body.find("# HELP lyre_ready "), std::string::npos);
  EXPECT_NE(response.body.find("# TYPE lyre_ready gauge\n"), std::string::npos);
  EXPECT_NE(response.body.find("# TYPE lyre_warmup_runs_total counter\n"), std::string::npos);
  EXPECT_EQ(sample("lyre_ready"), "0");
  EXPECT_EQ(sample("lyre_warm"), "0");
  EXPECT_EQ(sample("lyre_warmup_runs_total"), "0");
  EXPECT_EQ(sample("lyre_build_info{version=\"1.2.3\"}"), "1");
  EXPECT_EQ(sample("lyre_ready_seconds"), "");
}

TEST_F(ServerMetrics, TellOfTheWarmUp) {
  warmup.failing = "lm.step";
  open_warm();
  EXPECT_EQ(sample("lyre_ready"), "1");
  EXPECT_EQ(sample("lyre_warm"), "0");
  EXPECT_EQ(sample("lyre_warmup_runs_total"), "1");
  EXPECT_EQ(std::stod(sample("lyre_warmup_step_seconds{step=\"codec.frame\",outcome=\"ok\"}")),
            0.0015);
  EXPECT_EQ(std::stod(sample("lyre_warmup_step_seconds{step=\"lm.step\",outcome=\"failed\"}")),
            0.0015);
  EXPECT_EQ(
      std::stod(sample("lyre_warmup_step_seconds{step=\"server.synthesis.io0\",outcome=\"ok\"}")),
      0.0025);
  EXPECT_GT(std::stod(sample("lyre_ready_seconds")), 0);
  EXPECT_GT(std::stod(sample("lyre_warmup_first_request_seconds{by=\"server\"}")), 0);
  EXPECT_EQ(sample("lyre_keep_warm_runs_total"), "3");
  EXPECT_EQ(sample("lyre_keep_warm_seconds_total"), "0.5");
  warmup.failing = "";
  EXPECT_EQ(ask(kWarmUp).status, 200);
  EXPECT_EQ(sample("lyre_warm"), "1");
  EXPECT_EQ(sample("lyre_warmup_runs_total"), "2");
  EXPECT_EQ(sample("lyre_warmup_step_seconds{step=\"lm.step\",outcome=\"failed\"}"), "");
}

TEST_F(ServerMetrics, CompareTheFirstRequestWithTheLater) {
  open_warm();
  for (const char* part : {"first_audio", "total"}) {
    EXPECT_EQ(sample(std::string("lyre_first_request_seconds{part=\"") + part + "\"}"), "");
  }
  ASSERT_NO_FATAL_FAILURE(speak_once());
  // The record is made when the answer has gone out.
  ASSERT_TRUE(
      eventually([&] { return !sample("lyre_first_request_seconds{part=\"total\"}").empty(); }));
  const std::string first = sample("lyre_first_request_seconds{part=\"first_audio\"}");
  EXPECT_GT(std::stod(first), 0);
  EXPECT_EQ(sample("lyre_steady_request_seconds{part=\"total\"}"), "");
  ASSERT_NO_FATAL_FAILURE(speak_once());
  ASSERT_TRUE(
      eventually([&] { return !sample("lyre_steady_request_seconds{part=\"total\"}").empty(); }));
  EXPECT_GT(std::stod(sample("lyre_steady_request_seconds{part=\"first_audio\"}")), 0);
  EXPECT_EQ(sample("lyre_first_request_seconds{part=\"first_audio\"}"), first);
}

}  // namespace
}  // namespace lyre::server::test
