#pragma once

#include <array>
#include <cstdint>

namespace lyre {

/// One frame of codes in slot order; level of each slot: kSlotLevel. 4 latents, 2,048 samples for
/// the 24 kHz codec.
struct CodeFrame {
  static constexpr int kSlots = 7;
  std::array<int32_t, kSlots> codes{};
  bool operator==(const CodeFrame&) const = default;
};

/// Slot 0 -> level 0; slots 1, 4 -> level 1; slots 2, 3, 5, 6 -> level 2 (depth-first over the
/// 1:2:4 tree).
inline constexpr std::array<int, CodeFrame::kSlots> kSlotLevel = {0, 1, 2, 2, 1, 2, 2};

}  // namespace lyre
