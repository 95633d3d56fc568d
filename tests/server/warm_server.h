#pragma once

#include <boost/json.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/fake_warmup.h"
#include "server/running_server.h"

namespace lyre::server::test {

/// A server that is started as `lyre serve` starts it: it listens, and is warmed up on another
/// thread when the test says so. Its requests to itself get a little audio.
class WarmServer : public RunningServer {
 protected:
  void SetUp() override {
    RunningServer::SetUp();
    config.early_wait = kPatience;
    config.warmup_patience = kPatience;
    config.warmup_slow_frame = kPatience;  // however slow this machine is
    speech.speak_warm_up = [this](PcmSink& sink) {
      ++own_requests;
      EXPECT_TRUE(push_all(sink, counting_samples(0, 100)));
      sink.finish(summary(FinishReason::kLength));
    };
  }
  void TearDown() override {
    if (server) server->begin_stop();
    warmup.let_go();
    wait_for_start();
    RunningServer::TearDown();
  }

  SpeechService service() {
    SpeechService service = speech.service();
    warmup.join(service);
    return service;
  }
  void start_warming(Server::StartWarmup options = {}) {
    start_ =
        std::thread([this, options] { report = server->warm_up_and_serve(service(), options); });
  }
  /// The report of the start is there then.
  void wait_for_start() {
    if (start_.joinable()) start_.join();
  }
  void open_warm(Server::StartWarmup options = {}) {
    open(false);
    start_warming(std::move(options));
    wait_for_start();
  }

  WireResponse ask(std::string_view request) { return TestClient(port()).exchange(request); }
  boost::json::object ask_json(std::string_view request) {
    boost::system::error_code failure;
    const auto value = boost::json::parse(ask(request).body, failure);
    return value.is_object() ? value.as_object() : boost::json::object();
  }
  /// "name=outcome" of each step in a list of /readyz or /v1/warmup.
  static std::vector<std::string> outcomes(const boost::json::value& steps) {
    std::vector<std::string> found;
    for (const auto& step : steps.as_array()) {
      found.push_back(std::string(step.at("name").as_string()) + "=" +
                      std::string(step.at("outcome").as_string()));
    }
    return found;
  }

  /// The next access record of this path, from the n-th on; n is put behind it.
  AccessRecord record_of(std::string_view path, size_t& n) {
    for (;;) {
      const AccessRecord next = record(n++);
      if (next.path == path || next.path.empty()) return next;  // empty: none came
    }
  }

  FakeWarmup warmup;
  std::atomic<int> own_requests{0};
  WarmupReport report;

 private:
  std::thread start_;
};

}  // namespace lyre::server::test
