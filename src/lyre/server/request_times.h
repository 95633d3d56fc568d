#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <optional>

#include "lyre/server/access_record.h"

namespace lyre::server {

/// The first request for speech after the server was ready, and how long those after it take. Any
/// thread.
class RequestTimes {
 public:
  struct Times {
    double first_audio_ms = 0, total_ms = 0;
  };

  /// Takes speech that was sent to its end. Not the server's own, and not what came before the
  /// server was ready, for that waited.
  void add(const AccessRecord& record);

  std::optional<Times> first() const;
  /// The median of each, over the last 101 but the first; nothing before the second request.
  std::optional<Times> steady() const;

 private:
  mutable std::mutex mutex_;
  std::optional<Times> first_;
  std::array<Times, 101> later_{};  // a ring
  size_t count_ = 0;                // ever written to it
};

}  // namespace lyre::server
