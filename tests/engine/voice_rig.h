#pragma once

#include <filesystem>
#include <memory>

#include <gtest/gtest.h>

#include "lyre/base/log.h"
#include "lyre/engine/engine.h"
#include "support/paths.h"

namespace lyre::test {

inline EngineConfig voice_config(const std::filesystem::path& voice) {
  EngineConfig config;
  config.model = voice / "lm";
  config.codec = voice / "codec";
  config.threads = 2;
  config.max_batch = 8;
  config.max_sequence_tokens = 1024;
  config.buffer_seconds = 60;
  return config;
}

inline std::unique_ptr<Engine> open_engine(const EngineConfig& config) {
  configure_logging({.level = LogLevel::kOff});
  auto engine = Engine::open(config);
  if (!engine) {
    ADD_FAILURE() << engine.error().message;
    return nullptr;
  }
  return *std::move(engine);
}

}  // namespace lyre::test
