#pragma once

#include <string>
#include <string_view>

namespace lyre::server {

/// Carries the key by which the server knows its own requests of the warm-up.
inline constexpr const char* kWarmupHeader = "x-lyre-warmup";
/// In the answers to those: which io thread served it, from 0.
inline constexpr const char* kIoThreadHeader = "x-lyre-io-thread";

/// 32 hexadecimal digits from the system's randomness.
std::string new_warmup_key();

/// In a time that tells nothing of where they differ.
bool same_key(std::string_view given, std::string_view key) noexcept;

}  // namespace lyre::server
