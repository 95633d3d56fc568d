#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "lyre/base/clock.h"
#include "lyre/base/result.h"

namespace lyre::server {

/// A response as the server itself reads it.
struct LoopbackAnswer {
  int status = 0;
  std::string body;
  std::optional<int> io_thread;  // kIoThreadHeader, which answers to the warm-up have
  double first_audio_ms = 0;     // from the request sent to more body than its `head_bytes`
};

/// A blocking HTTP client for the server's requests to itself: one connection, one request after
/// another. Every call ends when its time is over or a stop is asked for. One thread.
class LoopbackClient {
 public:
  LoopbackClient(std::chrono::milliseconds patience, std::stop_token stop)
      : patience_(patience), stop_(std::move(stop)) {}
  ~LoopbackClient();
  LoopbackClient(LoopbackClient&& other) noexcept;
  LoopbackClient& operator=(LoopbackClient&&) = delete;

  /// kInternal, kDeadlineExceeded, or kCancelled by the stop.
  Status connect(const boost::asio::ip::tcp::endpoint& server);
  /// Instead of connect(): a connected socket that does not block, closed by the client.
  void take(int descriptor) noexcept { socket_ = descriptor; }
  /// Sends a whole request and reads the response to its end. Errors as of connect(), kDataCorrupt
  /// if it is no whole HTTP response. `head_bytes` of the body come before the first sample.
  Result<LoopbackAnswer> exchange(std::string_view request, size_t head_bytes = 0);

 private:
  Status wait(short events, TimePoint deadline, const char* what);

  std::chrono::milliseconds patience_;  // for each call
  std::stop_token stop_;
  int socket_ = -1;
};

}  // namespace lyre::server
