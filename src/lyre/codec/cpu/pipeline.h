#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lyre/base/thread_pool.h"
#include "lyre/codec/code_frame.h"
#include "lyre/codec/cpu/decoder_plan.h"
#include "lyre/codec/cpu/stage_flow.h"

namespace lyre::snac_cpu {

/// What one stream brings to a round.
struct Piece {
  float* state = nullptr;        // (plan.state_floats), zeros at the start
  int64_t latents_received = 0;  // in earlier rounds
  std::span<const CodeFrame> frames;
  bool finish = false;
  bool noise = true;
  uint64_t noise_seed = 0;
  float* pcm = nullptr;  // room for what becomes final
  int64_t samples = 0;   // result: samples written to pcm
};

/// Takes several streams through all layers together, so that each weight is read once for all of
/// them. A layer's input is one array with a segment for each stream, see Inlet. The layer before
/// writes the fresh rows in place; the kept rows are copied in from the stream's state, and the new
/// ones out to it, by the regions that compute anyway.
///
/// Parallel regions are cut by time when there are many rows, with all that one tile needs in the
/// core's own cache; and by output channels when there are few, since weights are then what costs.
/// Neither changes any result, see matmul.h. Engine thread only.
///
/// The early blocks, whose weights are large, take all columns of a round at once; the late ones,
/// whose columns are many, in turns that fit the cores' caches.
class Pipeline {
 public:
  /// A round holds at most most_pieces; the frames of all, plus drain_frames() for each piece that
  /// finishes, are at most most_frames.
  Pipeline(const DecoderPlan& plan, ThreadPool& threads, int most_pieces, int most_frames);

  /// Frames' worth of columns that a finish sets free, at most.
  static int drain_frames(const SnacConfig& config);

  /// Allocates nothing.
  void run(std::span<Piece> pieces);

  int64_t work_bytes() const noexcept;

 private:
  struct Layer {                // all pieces at one layer
    std::vector<Inlet> inlets;  // one a piece
    float* rows = nullptr;      // input array
    float* held = nullptr;      // residual array; null: the layer has none
    int64_t stride = 0;         // floats a row of both
    KeptRows tail;
    KeptRows residual;
    // Of all pieces.
    int64_t total_rows = 0;
    int64_t outputs = 0;
    int64_t products = 0;

    float* fresh_rows(size_t piece) {
      return rows + (inlets[piece].row + inlets[piece].tail) * stride;
    }
    float* fresh_held(size_t piece) {
      return held + (inlets[piece].held_row + inlets[piece].held) * stride;
    }
  };
  struct Share {  // of one part of a region
    bool by_time = true;
    int64_t row_begin = 0, row_end = 0;  // counted over all pieces
    PanelRange panels;
  };

  // Describe the layer that comes next in next_; its fresh rows are the outputs of here_.
  void next_is_depthwise(int64_t reach, const KeptRows& tail, const KeptRows* residual);
  void next_is_block(size_t index);
  void place_next(const KeptRows& tail, const KeptRows* residual, AlignedFloats& rows);
  static void number_segments(Layer& layer);
  void advance();  // next_ becomes here_

  Share share(int part, int64_t rows, const PackedMatrix& m) const;
  template <class Body>
  void for_each_tile(const Share& share, int64_t Inlet::*first_row, int64_t Inlet::*count,
                     Body&& body) const;
  void restore_next(std::span<const Piece> pieces, int part);
  void save_here(std::span<const Piece> pieces, int part);

  void run_block(size_t index, std::span<const Piece> pieces);
  void run_late_blocks(std::span<Piece> pieces);

  void latents(std::span<const Piece> pieces);
  void project_codes(const Piece& piece, float* rows, PanelRange panels) const;
  void pointwise_in(std::span<const Piece> pieces);
  void upsample(const BlockPlan& block, int block_index, std::span<const Piece> pieces);
  void add_noise(const BlockPlan& block);
  void residual_unit(const UnitPlan& unit, const Snake& after, std::span<const Piece> pieces);
  void head(std::span<Piece> pieces);

  const DecoderPlan& plan_;
  ThreadPool& threads_;
  const int parts_;          // of every parallel region
  size_t early_blocks_ = 0;  // blocks that take a round's columns at once
  Layer here_, next_;
  Layer late_;                       // input of the late blocks: the whole round
  std::vector<Flow> late_flows_;     // what of it has not had its turn
  std::vector<Piece> late_pieces_;   // of one turn
  std::vector<size_t> late_owners_;  // and which pieces of the round they are
  // Arrays of all pieces. Two of each kind: a layer's input and the one being written.
  AlignedFloats rows_[2], held_[2];
  int writing_ = 0;          // index of the arrays that next_ uses
  AlignedFloats late_rows_;  // rows of late_
  AlignedFloats upsampled_;  // outputs of a transposed convolution
  AlignedFloats dense_;      // rows between two regions of one layer
  AlignedFloats noise_;      // one value an output row of here_
  AlignedFloats tiles_;      // rows of one tile, for each thread
  int64_t tile_floats_ = 0;
};

}  // namespace lyre::snac_cpu
