#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "lyre/server/server.h"
#include "server/fake_speech.h"
#include "server/test_client.h"

namespace lyre::server::test {

/// A server on a free port of the loopback, with a service made by the test.
class RunningServer : public testing::Test {
 protected:
  void SetUp() override {
    config.host = "127.0.0.1";
    config.port = 0;
    config.version = "1.2.3";
    config.access_log = [this](const AccessRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back(record);
    };
  }
  void TearDown() override { server.reset(); }

  void open(bool ready = true) {
    auto opened = Server::open(config);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    server = *std::move(opened);
    if (ready) server->serve(speech.service());
  }
  uint16_t port() const { return server->port(); }

  /// The access record of the n-th request that was answered; waits for it.
  AccessRecord record(size_t n = 0) {
    const bool there = eventually([&] {
      const std::lock_guard lock(mutex_);
      return records_.size() > n;
    });
    const std::lock_guard lock(mutex_);
    return there ? records_[n] : AccessRecord{};
  }

  ServerConfig config;
  FakeSpeech speech;
  std::unique_ptr<Server> server;

 private:
  std::mutex mutex_;
  std::vector<AccessRecord> records_;
};

}  // namespace lyre::server::test
