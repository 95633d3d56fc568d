#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lyre {

inline constexpr size_t kAdtsHeaderBytes = 7;
/// The header's 13 bits hold its own bytes, too.
inline constexpr size_t kMostAdtsPayloadBytes = 8191 - kAdtsHeaderBytes;

/// Header of one frame of AAC-LC, mono, without checksum (ISO 14496-3, 1.A.2). sample_rate_hz: one
/// that the format has an index for; payload_bytes at most kMostAdtsPayloadBytes.
std::array<uint8_t, kAdtsHeaderBytes> adts_header(int sample_rate_hz, size_t payload_bytes);

}  // namespace lyre
