#include "lyre/engine/segment_seeds.h"

#include "lyre/base/philox.h"

namespace lyre {

SegmentSeeds segment_seeds(uint64_t seed, uint32_t segment) noexcept {
  constexpr uint32_t kPurpose = 0x7365676D;  // "segm": no other use of philox has this counter
  const auto words = philox4x32({segment, kPurpose, 0, 0},
                                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return {words[0] | uint64_t{words[1]} << 32, words[2] | uint64_t{words[3]} << 32};
}

}  // namespace lyre
