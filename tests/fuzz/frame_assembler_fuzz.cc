// Input: a byte for the codebook size, then ids of two bytes each (little endian, around the
// codes).
#include <cstddef>
#include <cstdint>

#include "lyre/base/check.h"
#include "lyre/codec/frame_assembler.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const lyre::CodeLayout layout{100, 1 + data[0], {}};
  lyre::FrameAssembler assembler(layout);
  lyre::TokenId last_seven[lyre::CodeLayout::kSlots] = {};
  int64_t pushed = 0;
  for (size_t i = 1; i + 1 < size; i += 2) {
    const auto token = static_cast<lyre::TokenId>(data[i] | (data[i + 1] << 8));
    ++pushed;
    if (token >= layout.first_code && token < layout.end()) {
      for (int k = 0; k + 1 < lyre::CodeLayout::kSlots; ++k) last_seven[k] = last_seven[k + 1];
      last_seven[lyre::CodeLayout::kSlots - 1] = token;
    }
    const auto frame = assembler.push(token);
    if (!frame) continue;
    for (int slot = 0; slot < lyre::CodeLayout::kSlots; ++slot) {
      const int32_t code = frame->codes[static_cast<size_t>(slot)];
      LYRE_CHECK(code >= 0 && code < layout.codebook_size);
      LYRE_CHECK(layout.slot_first(slot) + code == last_seven[slot]);
    }
  }
  const int64_t dropped_ids = pushed - assembler.frames() * lyre::CodeLayout::kSlots -
                              assembler.ignored_ids() - assembler.pending_slots();
  LYRE_CHECK(dropped_ids >= assembler.dropped_frames());
  LYRE_CHECK(dropped_ids <= assembler.dropped_frames() * (lyre::CodeLayout::kSlots - 1));
  return 0;
}
