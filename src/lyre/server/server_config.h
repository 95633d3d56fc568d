#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lyre/server/access_record.h"
#include "lyre/server/forwarded.h"
#include "lyre/server/voice_aliases.h"

namespace lyre::server {

/// When requests are let through: once the model is loaded, or once it is warm too.
enum class ReadyWhen : uint8_t { kLoaded, kWarm };
/// What becomes of requests that come before.
enum class EarlyRequests : uint8_t { kWait, kRefuse };

/// Places beyond what the engine speaks at a time, see ServerConfig::max_running.
inline constexpr int kSparePlaces = 2;

struct ServerConfig {
  std::string host = "127.0.0.1";     // name or address to listen on
  uint16_t port = 9090;               // 0: any free one, see Server::port
  std::filesystem::path unix_socket;  // listened on as well, never with TLS; empty: none
  // PEM. With both the port speaks TLS only.
  std::filesystem::path tls_certificate, tls_key;
  int io_threads = 2;
  // More wait in the kernel's accept queue. An idle one costs about 9 KB, and many are silent for
  // long: few would mean that those keep everybody else out.
  int max_connections = 16'384;
  int max_connections_of_an_address = 0;  // more are closed at once; 0: max_connections
  size_t max_header_bytes = 16 * 1024;
  size_t max_body_bytes = 1024 * 1024;  // a text of 64 KiB in six-byte JSON escapes, and more
  std::chrono::milliseconds idle_timeout{75'000};    // between requests of a connection
  std::chrono::milliseconds header_timeout{10'000};  // first to last byte of a header
  std::chrono::milliseconds body_timeout{30'000};    // the same of a body
  // Without any byte taken by the client. Audio may be read as slowly as one likes while it moves.
  std::chrono::milliseconds write_timeout{30'000};
  // Places of the AdmissionQueue. A few more than the engine speaks at a time: one is kept until
  // its connection sees that the last sample is made, and meanwhile the engine is to have the next.
  int max_running = 16 + kSparePlaces;
  int max_queue = 64;                            // requests that wait; more get 429 at once
  int max_queue_of_a_client = 0;                 // the same of one client; 0: max_queue
  std::chrono::milliseconds queue_wait{30'000};  // of one request; then it gets 429
  ReadyWhen ready_when = ReadyWhen::kWarm;
  EarlyRequests early_requests = EarlyRequests::kWait;
  std::chrono::milliseconds early_wait{30'000};  // of one request; then it gets 503
  int max_early_requests = 80;                   // that wait at a time; more get 503 at once
  // For each request of the server to itself; a step of the warm-up that takes longer fails.
  std::chrono::milliseconds warmup_patience{60'000};
  /// A model that needs longer for a request of a single frame speaks no more than that one: what
  /// the server's part could still save is then far below what the model takes.
  std::chrono::milliseconds warmup_slow_frame{60};
  std::vector<std::string> cors_origins;      // "https://example.com"; "*": every one
  std::vector<AddressRange> trusted_proxies;  // whose word for the client's address counts
  bool metrics_need_key = false;              // where keys are asked for
  VoiceAliases voice_aliases;                 // see check_voice_aliases
  std::string version;                        // shown by GET /
  /// Called once a request, on an io thread; must not throw. Empty: no log.
  std::function<void(const AccessRecord&)> access_log;
};

}  // namespace lyre::server
