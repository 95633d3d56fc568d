#pragma once

#include <span>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/codec/codec.h"

namespace lyre {

/// Which streams of a codec are open, and whether a push is a legal one: the part of the seam's
/// contract that all backends share. Allocates in the constructor only.
class StreamTable {
 public:
  explicit StreamTable(int max_streams);

  /// kResourceExhausted when all are open.
  Result<StreamId> open();
  /// Ignores a stream that is not open.
  void close(StreamId stream) noexcept;
  int free() const noexcept { return free_; }

  /// After this, only close() is legal for the stream.
  void finish(StreamId stream) noexcept { states_[static_cast<size_t>(stream)] = State::kFinished; }

  /// kInvalidArgument for a stream that is not open, has finished or occurs twice, for too many
  /// frames, for a code outside the codebook, and for a result span of another size.
  Status check(std::span<const CodecWork> batch, std::span<const PcmSpan> pcm,
               const CodecInfo& info);

 private:
  enum class State : uint8_t { kFree, kOpen, kFinished };
  std::vector<State> states_;
  std::vector<uint32_t> seen_in_;  // number of the check that last met the stream
  uint32_t checks_ = 0;
  int free_ = 0;
};

}  // namespace lyre
