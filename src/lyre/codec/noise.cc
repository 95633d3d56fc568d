#include "lyre/codec/noise.h"

#include <array>

#include "lyre/base/philox.h"

namespace lyre {

void fill_noise(uint64_t seed, int block, int64_t first_step, std::span<float> out) noexcept {
  // One draw of four words serves the steps 4k .. 4k+3.
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed),
                                       static_cast<uint32_t>(seed >> 32)};
  int64_t step = first_step;
  for (size_t done = 0; done < out.size();) {
    const auto draw = static_cast<uint64_t>(step) / 4;
    const auto words = philox4x32({static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32),
                                   static_cast<uint32_t>(block), 0},
                                  key);
    const auto a = normal_from_bits(words[0], words[1]);
    const auto b = normal_from_bits(words[2], words[3]);
    const std::array<float, 4> values = {a[0], a[1], b[0], b[1]};
    for (auto lane = static_cast<size_t>(step % 4); lane < 4 && done < out.size(); ++lane) {
      out[done++] = values[lane];
      ++step;
    }
  }
}

}  // namespace lyre
