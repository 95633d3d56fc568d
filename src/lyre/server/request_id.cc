#include "lyre/server/request_id.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <random>

#include "lyre/base/philox.h"

namespace lyre::server {
namespace {

bool safe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

/// Unique within a process by the counter, and between processes by the key.
std::string new_id() {
  static const std::array<uint32_t, 2> key = [] {
    std::random_device device;
    return std::array<uint32_t, 2>{device(), device()};
  }();
  static std::atomic<uint64_t> counter{0};
  const uint64_t n = counter.fetch_add(1, std::memory_order_relaxed);
  const auto words =
      philox4x32({static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32), 0, 0}, key);
  char text[37];
  std::snprintf(text, sizeof text, "req_%08x%08x%08x%08x", words[0], words[1], words[2], words[3]);
  return text;
}

}  // namespace

std::string request_id(std::string_view from_client) {
  const bool usable = !from_client.empty() && from_client.size() <= 128 &&
                      std::all_of(from_client.begin(), from_client.end(), safe);
  return usable ? std::string(from_client) : new_id();
}

}  // namespace lyre::server
