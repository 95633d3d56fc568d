#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "lyre/server/service_warmup.h"

namespace lyre::server {

/// Where the server finds itself.
struct LoopbackTarget {
  boost::asio::ip::tcp::endpoint listening;  // as bound; a wildcard is reached by the loopback
  /// Makes a connection that this io thread serves and returns the client's descriptor, which does
  /// not block: the way in where the port speaks TLS. Empty: over `listening`.
  std::function<Result<int>(int io_thread)> connect;
  std::string key;  // see warmup_key.h
  int io_threads = 1;
  std::chrono::milliseconds patience{60'000};  // for each request
  std::chrono::milliseconds slow_frame{60};    // see ServerConfig::warmup_slow_frame
};

/// One step an io thread: a connection of that thread asks for the readiness, the voices, a frame
/// and, unless the first such was slow, a frame on every path and a short sentence, as a client
/// would, and checks what it gets. Then one step that does the same with a frame through every
/// encoder.
ServerSteps loopback_steps(const LoopbackTarget& target, std::stop_token stop);

}  // namespace lyre::server
