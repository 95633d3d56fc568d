#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/thread_pool.h"

namespace lyre {

/// 128 bits of XXH3: against damage and mix-ups, not against an attacker.
struct ContentHash {
  uint64_t high = 0, low = 0;

  bool operator==(const ContentHash&) const = default;
  std::string to_string() const;  // 32 hexadecimal digits
};

/// What to_string() made; false if it did not.
bool parse_content_hash(std::string_view digits, ContentHash& hash) noexcept;

ContentHash hash_text(std::string_view text) noexcept;

/// Hashes of several ranges, each in blocks of a fixed size: all threads share all blocks, and the
/// result does not depend on how many they are. Mapped ranges are made resident on the way.
std::vector<ContentHash> hash_contents(std::span<const std::span<const std::byte>> ranges,
                                       ThreadPool& threads);
/// The same on this thread, of one range.
ContentHash hash_content(std::span<const std::byte> range);

}  // namespace lyre
