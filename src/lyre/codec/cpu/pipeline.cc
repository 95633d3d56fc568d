#include "lyre/codec/cpu/pipeline.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/trace.h"
#include "lyre/codec/noise.h"

namespace lyre::snac_cpu {
namespace {

// Rows of a tile: a few register tiles high, so that a tile of 64 channels (12 KiB) stays in the
// first-level cache from one kernel to the next.
constexpr int64_t kTileRows = 48;
// From this many rows for each thread on, a region is cut by time.
constexpr int64_t kTimeRows = 64;
// A region has more parts than threads, so that a slower thread may do fewer.
constexpr int kPartsPerThread = 2;
// Rows that a layer's input may hold beside a piece's fresh ones: tail and padding of dilation 9.
constexpr int64_t kMostExtraRows = 3 * kDepthwiseReach * kDilations[kResidualUnits - 1];
// Rows that the units of one block set free when the speech ends.
constexpr int64_t kUnitsDrain = kDepthwiseReach * (kDilations[0] + kDilations[1] + kDilations[2]);

// The late blocks have many rows and small weights: they run on so few columns at a time that all
// arrays of a round stay in the second-level caches. The early ones have few rows and large
// weights: they run on the whole round. A block is late when a frame brings it this many columns.
constexpr int64_t kLateColumns = 128;
// Columns that the late blocks take at a time, of all pieces.
constexpr int64_t kLateRound = 128;

constinit trace::Operation kLatents("codec.latents"), kInput("codec.input"), kHead("codec.head");
constinit trace::Operation kBlocks[] = {
    trace::Operation("codec.block1"), trace::Operation("codec.block2"),
    trace::Operation("codec.block3"), trace::Operation("codec.block4")};

ChannelRange channels_of(const PackedMatrix& m, PanelRange panels) {
  return {panels.begin * kPanelWidth, std::min(panels.end * kPanelWidth, m.outputs())};
}

// One part of a copy.
void copy_rows(const float* from, float* to, int64_t rows, int64_t stride, int part, int parts) {
  const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts;
  std::copy_n(from + begin * stride, (end - begin) * stride, to + begin * stride);
}

}  // namespace

int Pipeline::drain_frames(const SnacConfig& config) {
  const int64_t samples = config.samples_per_frame();
  return static_cast<int>((final_delay_samples(config) + samples - 1) / samples);
}

Pipeline::Pipeline(const DecoderPlan& plan, ThreadPool& threads, int most_pieces, int most_frames)
    : plan_(plan),
      threads_(threads),
      parts_(threads.size() == 1 ? 1 : kPartsPerThread * threads.size()) {
  const auto pieces = static_cast<size_t>(most_pieces);
  for (Layer* layer : {&here_, &next_}) layer->inlets.reserve(pieces);
  late_.inlets.reserve(pieces);
  late_flows_.reserve(pieces);
  late_pieces_.reserve(pieces);
  late_owners_.reserve(pieces);

  const int64_t latents = plan.config.latents_per_frame();
  int64_t columns_per_frame = latents;
  while (early_blocks_ < plan.blocks.size() && columns_per_frame < kLateColumns) {
    columns_per_frame *= plan.blocks[early_blocks_++].stride;
  }
  const int64_t extra = most_pieces * kMostExtraRows;
  int64_t widest = std::max(plan.latent_channels, pad_channels(plan.config.decoder_dim));
  // Columns of a round at the layer at hand.
  int64_t columns = most_frames * latents;
  int64_t rows_floats = (columns + extra) * widest;
  const int64_t dense_floats = std::max(rows_floats, threads.size() * kTimeRows * widest);
  int64_t upsampled_floats = 0, noise_floats = 0;
  for (size_t b = 0; b < plan.blocks.size(); ++b) {
    const BlockPlan& block = plan.blocks[b];
    if (b == early_blocks_) {
      late_rows_ = AlignedFloats((columns + extra) * block.tail.stride);
      columns = kLateRound;
    }
    upsampled_floats =
        std::max(upsampled_floats, (columns + most_pieces) * block.stride * block.channels);
    columns *= block.stride;
    noise_floats = std::max(noise_floats, columns + extra);
    rows_floats = std::max(rows_floats, (columns + extra) * block.channels);
    widest = std::max<int64_t>(widest, block.channels);
    // In the early blocks most_frames has the drains in it.
    if (b >= early_blocks_) columns += most_pieces * kUnitsDrain;
  }
  for (AlignedFloats& a : rows_) a = AlignedFloats(rows_floats);
  for (AlignedFloats& a : held_) a = AlignedFloats(rows_floats);
  upsampled_ = AlignedFloats(upsampled_floats);
  dense_ = AlignedFloats(dense_floats);
  noise_ = AlignedFloats(noise_floats);
  tile_floats_ = kTileRows * widest;
  tiles_ = AlignedFloats(threads.size() * tile_floats_);
}

int64_t Pipeline::work_bytes() const noexcept {
  return rows_[0].size_bytes() + rows_[1].size_bytes() + held_[0].size_bytes() +
         held_[1].size_bytes() + upsampled_.size_bytes() + dense_.size_bytes() +
         noise_.size_bytes() + tiles_.size_bytes() + late_rows_.size_bytes();
}

// Gives each stream its segments in the arrays of the layer.
void Pipeline::number_segments(Layer& layer) {
  layer.outputs = 0;
  layer.products = 0;
  int64_t rows = 0, held = 0;
  for (Inlet& in : layer.inlets) {
    in.row = rows;
    in.held_row = held;
    in.out_row = layer.outputs;
    in.product_row = layer.products;
    rows += in.rows();
    held += in.held_rows();
    layer.outputs += in.outputs;
    layer.products += in.products;
  }
  layer.total_rows = rows;
}

void Pipeline::place_next(const KeptRows& tail, const KeptRows* residual, AlignedFloats& rows) {
  next_.tail = tail;
  next_.stride = tail.stride;
  next_.rows = rows.data();
  next_.held = residual == nullptr ? nullptr : held_[writing_].data();
  if (residual != nullptr) next_.residual = *residual;
  number_segments(next_);
  LYRE_CHECK(next_.total_rows * next_.stride <= rows.size());
  writing_ ^= 1;
}

void Pipeline::next_is_depthwise(int64_t reach, const KeptRows& tail, const KeptRows* residual) {
  next_.inlets.clear();
  for (const Inlet& in : here_.inlets) next_.inlets.push_back(depthwise_inlet(in.out, reach));
  place_next(tail, residual, rows_[writing_]);
}

void Pipeline::next_is_block(size_t index) {
  const BlockPlan& block = plan_.blocks[index];
  next_.inlets.clear();
  for (const Inlet& in : here_.inlets) next_.inlets.push_back(upsample_inlet(in.out, block.stride));
  // The input of the late blocks waits for its turns in an array of its own.
  place_next(block.tail, nullptr, index == early_blocks_ ? late_rows_ : rows_[writing_]);
}

void Pipeline::advance() { std::swap(here_, next_); }

Pipeline::Share Pipeline::share(int part, int64_t rows, const PackedMatrix& m) const {
  Share s;
  s.by_time = parts_ == 1 || rows >= kTimeRows * threads_.size();
  if (s.by_time) {
    s.row_begin = rows * part / parts_;
    s.row_end = rows * (part + 1) / parts_;
    s.panels = {0, m.panels()};
  } else {
    s.row_end = rows;
    s.panels = {static_cast<int>(m.panels() * part / parts_),
                static_cast<int>(m.panels() * (part + 1) / parts_)};
  }
  return s;
}

// Calls body(piece, first row within the piece, rows) for the rows of here_ in the share.
template <class Body>
void Pipeline::for_each_tile(const Share& share, int64_t Inlet::*first_row, int64_t Inlet::*count,
                             Body&& body) const {
  for (size_t p = 0; p < here_.inlets.size(); ++p) {
    const Inlet& in = here_.inlets[p];
    const int64_t begin = std::max<int64_t>(share.row_begin - in.*first_row, 0);
    const int64_t end = std::min(share.row_end - in.*first_row, in.*count);
    for (int64_t row = begin; row < end; row += kTileRows) {
      body(p, row, std::min(kTileRows, end - row));
    }
  }
}

// Rows beside the fresh ones of the next layer's input: what the stream kept, and padding.
void Pipeline::restore_next(std::span<const Piece> pieces, int part) {
  for (size_t p = 0; p < pieces.size(); ++p) {
    const Inlet& in = next_.inlets[p];
    float* rows = next_.rows + in.row * next_.stride;
    copy_rows(pieces[p].state + next_.tail.offset, rows, in.tail, next_.stride, part, parts_);
    if (part == 0) {
      std::fill_n(rows + (in.tail + in.fresh) * next_.stride, in.zeros * next_.stride, 0.0f);
    }
    if (next_.held != nullptr) {
      copy_rows(pieces[p].state + next_.residual.offset, next_.held + in.held_row * next_.stride,
                in.held, next_.stride, part, parts_);
    }
  }
}

void Pipeline::save_here(std::span<const Piece> pieces, int part) {
  for (size_t p = 0; p < pieces.size(); ++p) {
    const Inlet& in = here_.inlets[p];
    copy_rows(here_.rows + (in.row + in.tail + in.fresh - in.kept) * here_.stride,
              pieces[p].state + here_.tail.offset, in.kept, here_.stride, part, parts_);
    if (here_.held != nullptr) {
      copy_rows(here_.held + (in.held_row + in.held_rows() - in.held_after) * here_.stride,
                pieces[p].state + here_.residual.offset, in.held_after, here_.stride, part, parts_);
    }
  }
}

void Pipeline::run(std::span<Piece> pieces) {
  LYRE_CHECK(pieces.size() <= here_.inlets.capacity());
  here_.inlets.clear();
  for (Piece& piece : pieces) {
    Inlet codes;  // not a layer yet: its output are the latents
    codes.out = {piece.latents_received,
                 static_cast<int64_t>(piece.frames.size()) * plan_.config.latents_per_frame(),
                 piece.finish};
    here_.inlets.push_back(codes);
    piece.samples = 0;
  }
  next_is_depthwise(kDepthwiseReach, plan_.latent_tail, nullptr);
  latents(pieces);
  advance();
  next_is_block(0);
  pointwise_in(pieces);
  advance();
  for (size_t b = 0; b < early_blocks_; ++b) run_block(b, pieces);
  if (early_blocks_ == plan_.blocks.size()) {
    head(pieces);
  } else {
    run_late_blocks(pieces);
  }
}

void Pipeline::run_block(size_t index, std::span<const Piece> pieces) {
  const trace::Span span(kBlocks[std::min(index, std::size(kBlocks) - 1)]);
  const BlockPlan& block = plan_.blocks[index];
  const UnitPlan& first = block.units.front();
  next_is_depthwise(first.reach, first.tail, &first.residual);
  upsample(block, static_cast<int>(index), pieces);
  add_noise(block);
  advance();
  for (size_t k = 0; k < block.units.size(); ++k) {
    if (k + 1 < block.units.size()) {
      const UnitPlan& unit = block.units[k + 1];
      next_is_depthwise(unit.reach, unit.tail, &unit.residual);
    } else if (index + 1 < plan_.blocks.size()) {
      next_is_block(index + 1);
    } else {
      next_is_depthwise(kDepthwiseReach, plan_.head_tail, nullptr);
    }
    residual_unit(block.units[k], block.after[k], pieces);
    advance();
  }
}

// here_ is the first late block, with the columns of the whole round. Each turn takes some of them,
// as a push of a part of a frame would: the row before a part is its tail already.
void Pipeline::run_late_blocks(std::span<Piece> pieces) {
  std::swap(late_, here_);
  const int stride = plan_.blocks[early_blocks_].stride;
  late_flows_.clear();
  for (const Inlet& in : late_.inlets) {
    late_flows_.push_back({in.received, in.fresh, in.zeros > 0});
  }
  while (true) {
    late_pieces_.clear();
    late_owners_.clear();
    here_.inlets.clear();
    int64_t room = kLateRound;
    for (size_t p = 0; p < pieces.size() && room > 0; ++p) {
      Flow& left = late_flows_[p];
      const int64_t take = std::min(left.fresh, room);
      const bool finish = left.finish && take == left.fresh;
      if (take == 0 && !finish) continue;
      here_.inlets.push_back(upsample_inlet({left.received, take, finish}, stride));
      late_pieces_.push_back(pieces[p]);
      late_pieces_.back().pcm += pieces[p].samples;
      late_owners_.push_back(p);
      left = {left.received + take, left.fresh - take, left.finish && !finish};
      room -= take;
    }
    if (late_pieces_.empty()) break;
    here_.rows = late_.rows;
    here_.held = nullptr;
    here_.stride = late_.stride;
    here_.tail = late_.tail;
    number_segments(here_);
    for (size_t k = 0; k < late_owners_.size(); ++k) {
      const Inlet& whole = late_.inlets[late_owners_[k]];
      Inlet& in = here_.inlets[k];
      in.row = whole.row + (in.received - whole.received);
    }
    for (size_t b = early_blocks_; b < plan_.blocks.size(); ++b) run_block(b, late_pieces_);
    head(late_pieces_);
    for (size_t k = 0; k < late_owners_.size(); ++k) {
      pieces[late_owners_[k]].samples += late_pieces_[k].samples;
    }
  }
}

// Codes to latents and the first depthwise convolution; both stay within a channel, so one region
// does for both. The outputs of here_ come to lie in dense_.
void Pipeline::latents(std::span<const Piece> pieces) {
  const trace::Span span(kLatents);
  threads_.deal(parts_, [&](int part, int) {
    // next_ is entered here and left here: each part restores, fills and convolves its channels.
    const PackedMatrix& m = plan_.projections.front();
    const PanelRange panels{m.panels() * part / parts_, m.panels() * (part + 1) / parts_};
    const ChannelRange channels = channels_of(m, panels);
    const int64_t width = channels.end - channels.begin;
    const int64_t stride = next_.stride;
    if (width <= 0) return;
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Inlet& in = next_.inlets[p];
      float* rows = next_.rows + in.row * stride;
      float* state = pieces[p].state + next_.tail.offset;
      for (int64_t r = 0; r < in.tail; ++r) {
        std::copy_n(state + r * stride + channels.begin, width, rows + r * stride + channels.begin);
      }
      project_codes(pieces[p], next_.fresh_rows(p), panels);
      for (int64_t r = in.tail + in.fresh; r < in.rows(); ++r) {
        std::fill_n(rows + r * stride + channels.begin, width, 0.0f);
      }
      depthwise_rows(plan_.depthwise_in, nullptr, 1, {rows, stride},
                     {dense_.data() + in.out_row * stride, stride}, in.outputs, channels);
      const float* kept = rows + (in.tail + in.fresh - in.kept) * stride;
      for (int64_t r = 0; r < in.kept; ++r) {
        std::copy_n(kept + r * stride + channels.begin, width, state + r * stride + channels.begin);
      }
    }
  });
}

// Frames to latents, (frames * latents_per_frame, latent_channels). A frame is a tree: the row of a
// code is its projection plus the row of the coarser code above it.
void Pipeline::project_codes(const Piece& piece, float* rows, PanelRange panels) const {
  const SnacConfig& c = plan_.config;
  const int64_t stride = plan_.latent_channels;
  const int64_t finest = c.vq_strides.back();
  const auto project = [&](int level, int32_t code, const float* above, float* row) {
    const auto& codebook = plan_.codebooks[static_cast<size_t>(level)];
    MatmulArgs args;
    args.x = codebook.data() + int64_t{code} * c.codebook_dim;
    args.rows = 1;
    args.add = above;
    args.y = row;
    matmul(plan_.projections[static_cast<size_t>(level)], panels, args);
  };
  const ChannelRange channels = channels_of(plan_.projections.front(), panels);
  for (const CodeFrame& frame : piece.frames) {
    // Rows of the two finer levels grow in place: the coarse row is written where the last latent
    // of the frame goes, each middle row where the last latent of its half goes.
    float* const latent[4] = {rows, rows + finest * stride, rows + 2 * finest * stride,
                              rows + 3 * finest * stride};
    project(0, frame.codes[0], nullptr, latent[3]);
    project(1, frame.codes[1], latent[3], latent[1]);
    project(1, frame.codes[4], latent[3], latent[3]);
    project(2, frame.codes[2], latent[1], latent[0]);
    project(2, frame.codes[3], latent[1], latent[1]);
    project(2, frame.codes[5], latent[3], latent[2]);
    project(2, frame.codes[6], latent[3], latent[3]);
    for (const float* from : latent) {
      for (int64_t repeat = 1; repeat < finest; ++repeat) {
        std::copy(from + channels.begin, from + channels.end,
                  rows + (from - rows) + repeat * stride + channels.begin);
      }
    }
    rows += c.latents_per_frame() * stride;
  }
}

// dense_ -> 1x1 -> Snake of the first block -> next_.
void Pipeline::pointwise_in(std::span<const Piece> pieces) {
  const trace::Span span(kInput);
  const PackedMatrix& m = plan_.pointwise_in;
  threads_.deal(parts_, [&](int part, int) {
    restore_next(pieces, part);
    const Share s = share(part, here_.outputs, m);
    for_each_tile(s, &Inlet::out_row, &Inlet::outputs, [&](size_t p, int64_t row, int64_t rows) {
      float* y = next_.fresh_rows(p) + row * next_.stride;
      MatmulArgs args;
      args.x = dense_.data() + (here_.inlets[p].out_row + row) * here_.stride;
      args.x_stride = here_.stride;
      args.rows = rows;
      args.y = y;
      args.y_stride = next_.stride;
      matmul(m, s.panels, args);
      snake_rows(plan_.snake_in, {y, next_.stride}, {y, next_.stride}, rows,
                 channels_of(m, s.panels));
    });
  });
}

// here_ -> transposed convolution -> upsampled_; also draws the noise of its outputs.
void Pipeline::upsample(const BlockPlan& block, int block_index, std::span<const Piece> pieces) {
  const PackedMatrix& m = block.upsample;
  const int64_t product_floats = int64_t{block.stride} * block.channels;
  LYRE_CHECK(here_.products * product_floats <= upsampled_.size());
  threads_.deal(parts_, [&](int part, int) {
    restore_next(pieces, part);
    save_here(pieces, part);
    const Share s = share(part, here_.products, m);
    for_each_tile(s, &Inlet::product_row, &Inlet::products,
                  [&](size_t p, int64_t row, int64_t rows) {
                    const Inlet& in = here_.inlets[p];
                    MatmulArgs args;
                    args.x = here_.rows + (in.row + row) * here_.stride;
                    args.x_stride = here_.stride;
                    args.tap_stride = here_.stride;
                    args.rows = rows;
                    args.y = upsampled_.data() + (in.product_row + row) * product_floats;
                    args.y_stride = product_floats;
                    matmul(m, s.panels, args);
                  });
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Inlet& in = here_.inlets[p];
      const int64_t begin = in.outputs * part / parts_;
      const int64_t end = in.outputs * (part + 1) / parts_;
      const std::span<float> out(noise_.data() + in.out_row + begin,
                                 static_cast<size_t>(end - begin));
      if (plan_.config.noise && pieces[p].noise) {
        fill_noise(pieces[p].noise_seed, block_index, in.out.received + begin, out);
      } else {
        std::fill(out.begin(), out.end(), 0.0f);
      }
    }
  });
}

// upsampled_ -> x + noise * (W x) -> residual of the first unit -> Snake -> its input.
// Without NoiseBlock the product is not needed: the noise is zero.
void Pipeline::add_noise(const BlockPlan& block) {
  const PackedMatrix& shape = block.units.front().pointwise;
  threads_.deal(parts_, [&](int part, int thread) {
    const Share s = share(part, here_.outputs, shape);
    for_each_tile(s, &Inlet::out_row, &Inlet::outputs, [&](size_t p, int64_t row, int64_t rows) {
      const Inlet& in = here_.inlets[p];
      const int64_t stride = next_.stride;
      const float* x = upsampled_.data() + (in.product_row * block.stride + in.skip + row) * stride;
      float* product = s.by_time ? tiles_.data() + thread * tile_floats_
                                 : dense_.data() + (in.out_row + row) * stride;
      if (plan_.config.noise) {
        MatmulArgs args;
        args.x = x;
        args.x_stride = stride;
        args.rows = rows;
        args.y = product;
        args.y_stride = stride;
        matmul(block.noise, s.panels, args);
      }
      const Rows term = {plan_.config.noise ? product : x, stride};
      noise_snake_rows(block.snake_first, {x, stride}, term, noise_.data() + in.out_row + row,
                       {next_.fresh_held(p) + row * stride, stride},
                       {next_.fresh_rows(p) + row * stride, stride}, rows,
                       channels_of(shape, s.panels));
    });
  });
}

// here_ -> depthwise -> Snake -> 1x1 + residual -> Snake of what follows -> next_.
void Pipeline::residual_unit(const UnitPlan& unit, const Snake& after,
                             std::span<const Piece> pieces) {
  const PackedMatrix& m = unit.pointwise;
  const int64_t stride = here_.stride;
  const auto convolve = [&](size_t p, int64_t row, int64_t rows, float* out,
                            ChannelRange channels) {
    const float* in = here_.rows + (here_.inlets[p].row + row) * stride;
    depthwise_rows(unit.depthwise, &unit.snake_mid, unit.dilation, {in, stride}, {out, stride},
                   rows, channels);
  };
  const auto project = [&](size_t p, int64_t row, int64_t rows, const float* x, PanelRange panels) {
    float* to = next_.fresh_rows(p) + row * stride;
    float* y = next_.held == nullptr ? to : next_.fresh_held(p) + row * stride;
    MatmulArgs args;
    args.x = x;
    args.x_stride = stride;
    args.rows = rows;
    args.add = here_.held + (here_.inlets[p].held_row + row) * stride;
    args.add_stride = stride;
    args.y = y;
    args.y_stride = stride;
    matmul(m, panels, args);
    snake_rows(after, {y, stride}, {to, stride}, rows, channels_of(m, panels));
  };

  if (share(0, here_.outputs, m).by_time) {
    threads_.deal(parts_, [&](int part, int thread) {
      restore_next(pieces, part);
      save_here(pieces, part);
      const Share s = share(part, here_.outputs, m);
      float* tile = tiles_.data() + thread * tile_floats_;
      for_each_tile(s, &Inlet::out_row, &Inlet::outputs, [&](size_t p, int64_t row, int64_t rows) {
        convolve(p, row, rows, tile, channels_of(m, s.panels));
        project(p, row, rows, tile, s.panels);
      });
    });
    return;
  }
  const auto dense = [&](size_t p, int64_t row) {
    return dense_.data() + (here_.inlets[p].out_row + row) * stride;
  };
  threads_.deal(parts_, [&](int part, int) {
    restore_next(pieces, part);
    save_here(pieces, part);
    const Share s = share(part, here_.outputs, m);
    for_each_tile(s, &Inlet::out_row, &Inlet::outputs, [&](size_t p, int64_t row, int64_t rows) {
      convolve(p, row, rows, dense(p, row), channels_of(m, s.panels));
    });
  });
  threads_.deal(parts_, [&](int part, int) {
    const Share s = share(part, here_.outputs, m);
    for_each_tile(s, &Inlet::out_row, &Inlet::outputs, [&](size_t p, int64_t row, int64_t rows) {
      project(p, row, rows, dense(p, row), s.panels);
    });
  });
}

void Pipeline::head(std::span<Piece> pieces) {
  const trace::Span span(kHead);
  threads_.deal(parts_, [&](int part, int) {
    save_here(pieces, part);
    for (size_t p = 0; p < pieces.size(); ++p) {
      const Inlet& in = here_.inlets[p];
      const int64_t begin = in.outputs * part / parts_;
      const int64_t end = in.outputs * (part + 1) / parts_;
      head_rows(plan_.head, {here_.rows + (in.row + begin) * here_.stride, here_.stride},
                pieces[p].pcm + begin, end - begin);
    }
  });
  for (size_t p = 0; p < pieces.size(); ++p) pieces[p].samples = here_.inlets[p].outputs;
}

}  // namespace lyre::snac_cpu
