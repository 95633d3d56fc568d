#include "lyre/codec/frame_assembler.h"

namespace lyre {

FrameAssembler::FrameAssembler(const CodeLayout& layout)
    : first_code_(layout.first_code), codebook_size_(layout.codebook_size) {}

std::optional<CodeFrame> FrameAssembler::push(TokenId token) {
  // 64 bits: the difference of any two ids fits.
  const int64_t offset = int64_t{token} - first_code_;
  if (offset < 0 || offset >= int64_t{CodeFrame::kSlots} * codebook_size_) {
    ++ignored_ids_;
    return std::nullopt;
  }
  const auto slot = static_cast<int>(offset / codebook_size_);
  if (slot != slot_) {
    if (slot_ != 0) ++dropped_frames_;
    slot_ = 0;
    if (slot != 0) {
      ++ignored_ids_;  // the middle of a frame whose beginning is missing
      return std::nullopt;
    }
  }
  frame_.codes[static_cast<size_t>(slot)] = static_cast<int32_t>(offset % codebook_size_);
  if (++slot_ < CodeFrame::kSlots) return std::nullopt;
  slot_ = 0;
  ++frames_;
  return frame_;
}

}  // namespace lyre
