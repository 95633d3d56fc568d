// Any stream of ids: codes below the codebook size, or a counted and resynchronised error; never a
// shift. Every id of a frame that comes out is the id of that slot, in order, with nothing but ids
// that are no codes between them.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "lyre/codec/frame_assembler.h"

namespace lyre {
namespace {

TEST(FrameAssemblerProperty, AnyStreamGivesWholeFramesOrCountedErrors) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto draw = [&](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(random);
    };
    const CodeLayout layout{draw(0, 1000), draw(1, 50), {}};
    FrameAssembler assembler(layout);
    std::vector<TokenId> codes;  // the stream without the ids that are no codes
    int64_t no_codes = 0;
    int next_slot = 0;
    const int length = draw(0, 400);
    for (int i = 0; i < length; ++i) {
      // Mostly the id that should come, sometimes anything.
      const bool good = draw(0, 9) != 0;
      const TokenId token = good ? layout.slot_first(next_slot) + draw(0, layout.codebook_size - 1)
                                 : draw(-5, layout.end() + 5);
      next_slot = good ? (next_slot + 1) % CodeLayout::kSlots : next_slot;
      if (token >= layout.first_code && token < layout.end()) {
        codes.push_back(token);
      } else {
        ++no_codes;
      }
      const auto frame = assembler.push(token);
      if (!frame) continue;
      // The last seven codes of the stream are this frame.
      ASSERT_GE(codes.size(), 7u);
      for (int slot = 0; slot < CodeLayout::kSlots; ++slot) {
        const int32_t code = frame->codes[static_cast<size_t>(slot)];
        ASSERT_GE(code, 0);
        ASSERT_LT(code, layout.codebook_size);
        ASSERT_EQ(layout.slot_first(slot) + code,
                  codes[codes.size() - CodeLayout::kSlots + static_cast<size_t>(slot)]);
      }
    }
    ASSERT_GE(assembler.ignored_ids(), no_codes);
    // Nothing vanishes uncounted: a dropped frame had one to six ids.
    const int64_t dropped_ids = length - assembler.frames() * CodeLayout::kSlots -
                                assembler.ignored_ids() - assembler.pending_slots();
    ASSERT_GE(dropped_ids, assembler.dropped_frames());
    ASSERT_LE(dropped_ids, assembler.dropped_frames() * (CodeLayout::kSlots - 1));
    // And it always finds back: one clean frame comes out whole.
    std::optional<CodeFrame> last;
    for (int slot = 0; slot < CodeLayout::kSlots; ++slot) {
      last = assembler.push(layout.slot_first(slot));
    }
    ASSERT_TRUE(last.has_value());
    ASSERT_EQ(*last, CodeFrame{});
  }
}

}  // namespace
}  // namespace lyre
