#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lyre/codec/codec.h"
#include "lyre/codec/snac_config.h"
#include "lyre/codec/snac_geometry.h"

// How streams pass the layers on a GPU: no ragged shape anywhere. Plain C++, so that the scheme is
// tested without a GPU.
//
// A round has slots; a slot is one frame of one stream, with codes or, after the end of the speech,
// without. Every layer gives the same number of rows for every slot, `rows`: what it lacks of the
// right context it makes up by a delay. Row r of a slot that is the stream's frame p is time
// t = p * rows + r - delay, and rows outside 0 <= t < end of the speech are forced to zero, which
// is what the padding of the next layer must read there. So neither the start nor the end has a
// shape of its own. A layer that looks back finds earlier rows in the slot before, if that belongs
// to the same stream (a stream's slots are neighbours), or in the stream's state.
namespace lyre::snac_cuda {

/// Channels are padded with zeros to multiples of so many; zeros stay zeros through every layer.
inline constexpr int kChannelBlock = 32;
constexpr int padded_channels(int channels) {
  return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
}

inline constexpr int32_t kUnknownEnd = INT32_MAX;

/// One frame of one stream in one round.
struct Slot {
  int32_t stream = -1;        // -1: unused; the unused ones of a round are its last
  int32_t position = 0;       // which frame of its stream
  int32_t before = 0;         // slots of the same stream in front of it in this round
  int32_t end = kUnknownEnd;  // frames of the speech
  int32_t parity = 0;         // which of its two states the stream has now
  int32_t save = 0;           // 1: the other state becomes that after this slot
  int32_t noise = 0;
  uint32_t seed_low = 0, seed_high = 0;
  int32_t has_codes = 0;
  int32_t codes[CodeFrame::kSlots] = {};
};

struct RowRange {
  int begin = 0, end = 0;
};

/// Rows of a slot that lie within the speech.
constexpr RowRange rows_of_speech(const Slot& slot, int rows, int64_t delay) {
  const int64_t first = delay - int64_t{slot.position} * rows;
  const int64_t last = first + int64_t{slot.end} * rows;
  const int64_t most = rows;
  return {static_cast<int>(first < 0 ? 0 : (first > most ? most : first)),
          static_cast<int>(last < 0 ? 0 : (last > most ? most : last))};
}

/// Rows of a layer's input around one slot. fresh: this slot's rows (rows, C), with those of the
/// slots before in front; kept: (kept_rows, C) of the stream's state.
template <class T>
class InputRows {
 public:
  constexpr InputRows(const Slot& slot, const T* fresh, const T* kept, int kept_rows, int rows,
                      int channels)
      : fresh_(fresh), channels_(channels) {
    const int64_t in_round = int64_t{slot.before} * rows;
    first_fresh_ = -static_cast<int>(in_round < kept_rows ? in_round : kept_rows);
    // A stream that begins with this round has no state.
    if (slot.position != slot.before) kept_ = kept + int64_t{kept_rows - first_fresh_} * channels;
  }

  /// From here on rows lie one behind the other.
  constexpr int first_fresh() const { return first_fresh_; }

  /// Row relative to the slot, from -kept_rows; negative: an earlier one. Null: a row of zeros.
  constexpr const T* at(int row) const {
    // One choice and one product of 32 bits: kernels ask for several rows a value.
    const T* const zero = row >= first_fresh_ ? fresh_ : kept_;
    return zero == nullptr ? nullptr : zero + row * channels_;
  }

 private:
  const T* fresh_;
  const T* kept_ = nullptr;  // row 0, if there were one
  int channels_;
  int first_fresh_ = 0;
};

/// Index in CodeFrame::codes of the code that covers latent `row` of `rows` in level `level`.
constexpr int code_slot(int level, int row, int rows) {
  constexpr int kOrder[3][4] = {{0, 0, 0, 0}, {1, 1, 4, 4}, {2, 3, 5, 6}};
  return kOrder[level][row * 4 / rows];
}

struct UnitPlan {
  int dilation = 1;
  int64_t delay = 0;         // of its output
  int64_t state_offset = 0;  // bytes; keeps (kept_rows(), C) f32 of its input
  constexpr int kept_rows() const { return 2 * kDepthwiseReach * dilation; }
};

struct BlockPlan {
  int in_rows = 0;
  int in_channels = 0;  // padded
  int stride = 1;
  int rows = 0;
  int channels = 0;          // padded
  int64_t delay = 0;         // of the transposed convolution's output
  int64_t state_offset = 0;  // keeps (1, in_channels) f16 of the transposed convolution's input
  UnitPlan units[kResidualUnits];
};

/// Sizes, delays and state of every layer. Rows are those of one slot.
struct StreamPlan {
  explicit StreamPlan(const SnacConfig& config);

  int latent_rows = 0;
  int latent_channels = 0;          // padded
  int64_t latent_delay = 0;         // of the first depthwise convolution's output
  int64_t latent_state_offset = 0;  // keeps (2 * kDepthwiseReach, latent_channels) f32
  int decoder_channels = 0;         // padded; what goes into the first block
  std::vector<BlockPlan> blocks;
  int64_t head_state_offset = 0;  // keeps (2 * kDepthwiseReach, channels of the last) f16
  int samples = 0;                // rows of the head
  int64_t delay = 0;              // of the samples
  int64_t state_bytes = 0;        // one state of one stream
  int drain_slots = 0;            // without codes, after which the last sample of a speech is out
};

}  // namespace lyre::snac_cuda
