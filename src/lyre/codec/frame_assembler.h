#pragma once

#include <cstdint>
#include <optional>

#include "lyre/base/token.h"
#include "lyre/codec/code_frame.h"

namespace lyre {

/// Token ids to frames. An id that does not belong to the next slot never shifts what follows: the
/// broken frame is dropped and counted, and assembly goes on at the slot that the id itself names
/// (it can only start a frame at slot 0). Ids that are no codes are ignored and counted. A value;
/// one for each sequence.
class FrameAssembler {
 public:
  explicit FrameAssembler(const CodeLayout& layout);

  /// The frame that this id completes, if any.
  std::optional<CodeFrame> push(TokenId token);

  int64_t frames() const noexcept { return frames_; }
  int64_t dropped_frames() const noexcept { return dropped_frames_; }  // begun and broken
  int64_t ignored_ids() const noexcept { return ignored_ids_; }
  int pending_slots() const noexcept { return slot_; }  // ids of an unfinished frame

 private:
  TokenId first_code_;
  int codebook_size_;
  int slot_ = 0;
  CodeFrame frame_;
  int64_t frames_ = 0, dropped_frames_ = 0, ignored_ids_ = 0;
};

}  // namespace lyre
