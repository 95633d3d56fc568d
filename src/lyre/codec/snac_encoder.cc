#include "lyre/codec/snac_encoder.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "lyre/codec/cpu/elementwise.h"
#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/cpu/pack_layers.h"
#include "lyre/codec/reference/snac_encode.h"
#include "lyre/codec/snac_geometry.h"

namespace lyre {
namespace {

using snac_cpu::AlignedFloats;
using snac_cpu::ChannelRange;
using snac_cpu::Depthwise;
using snac_cpu::MatmulArgs;
using snac_cpu::PackedMatrix;
using snac_cpu::pad_channels;
using snac_cpu::Snake;

// About five seconds of 24 kHz speech: 17 MB for the widest array of the public model.
constexpr int64_t kWindowFrames = 64;
// Zero rows in front of and behind every convolution's input: the padding of dilation 9.
constexpr int64_t kPadding = kDepthwiseReach * kDilations[kResidualUnits - 1];
// Rows of a tile that stays in the first-level cache through a residual unit.
constexpr int64_t kTileRows = 48;
// Rows that a thread takes at a time.
constexpr int64_t kChunkRows = 16 * kTileRows;

struct UnitLayers {
  int dilation;
  Depthwise depthwise;
  Snake snake_mid;
  PackedMatrix pointwise;
  Snake after;  // of the next unit, or of the strided convolution
};

struct BlockLayers {
  Snake snake_first;
  std::vector<UnitLayers> units;
  int stride;
  PackedMatrix downsample;
  int channels;  // in, padded
};

}  // namespace

class SnacEncoder::Layers {
 public:
  Layers(SnacEncoderWeights weights, ThreadPool& threads)
      : weights_(std::move(weights)),
        threads_(threads),
        conv_in_(snac_cpu::pack_convolution(weights_.conv_in)),
        depthwise_out_(weights_.depthwise_out) {
    const SnacConfig& c = weights_.config;
    const SampleRange support = support_of_latent(c);
    const int64_t frame = c.samples_per_frame();
    margin_frames_ = std::max(-support.first, support.last) / frame + 1;
    int64_t rows = (kWindowFrames + 2 * margin_frames_) * frame;
    int64_t floats = 0;
    for (const EncoderBlockWeights& b : weights_.blocks) {
      BlockLayers layers;
      layers.channels = pad_channels(b.units[0].depthwise.outputs);
      floats = std::max(floats, (rows + 2 * kPadding) * layers.channels);
      rows /= b.stride;
      layers.snake_first = Snake(b.units[0].snake_in);
      for (size_t k = 0; k < b.units.size(); ++k) {
        const ResidualUnitWeights& u = b.units[k];
        layers.units.push_back({u.dilation, Depthwise(u.depthwise), Snake(u.snake_mid),
                                snac_cpu::pack_convolution(u.pointwise),
                                Snake(k + 1 < b.units.size() ? b.units[k + 1].snake_in : b.snake)});
      }
      layers.stride = b.stride;
      layers.downsample = snac_cpu::pack_convolution(b.downsample);
      blocks_.push_back(std::move(layers));
    }
    floats = std::max(floats, (rows + 2 * kPadding) * pad_channels(c.latent_dim));
    for (AlignedFloats& a : arrays_) a = AlignedFloats(floats);
    pcm_ = AlignedFloats((kWindowFrames + 2 * margin_frames_) * frame + 2 * kDepthwiseReach);
    widest_ = pad_channels(c.latent_dim);
    tiles_ = AlignedFloats(threads.size() * kTileRows * widest_);
  }

  const SnacConfig& config() const { return weights_.config; }

  std::vector<CodeFrame> encode(std::span<const float> pcm) {
    const int64_t frame = config().samples_per_frame();
    const int64_t frames = (static_cast<int64_t>(pcm.size()) + frame - 1) / frame;
    std::vector<CodeFrame> out;
    for (int64_t begin = 0; begin < frames; begin += kWindowFrames) {
      const int64_t end = std::min(frames, begin + kWindowFrames);
      // At the ends of the speech there is no margin: the padding there is the true one.
      const int64_t first = std::max<int64_t>(0, begin - margin_frames_);
      const int64_t last = std::min(frames, end + margin_frames_);
      reference::Signal z = latents(pcm, first * frame, (last - first) * frame);
      const auto codes = reference::quantize(weights_, std::move(z));
      out.insert(out.end(), codes.begin() + (begin - first), codes.begin() + (end - first));
    }
    return out;
  }

 private:
  // An array of rows with kPadding rows of zeros on both sides.
  float* padded(int index, int64_t rows, int64_t stride) {
    float* p = arrays_[index].data();
    std::fill_n(p, kPadding * stride, 0.0f);
    std::fill_n(p + (kPadding + rows) * stride, kPadding * stride, 0.0f);
    return p + kPadding * stride;
  }

  template <class Body>
  void for_each_tile(int64_t rows, Body&& body) {
    const int64_t chunks = (rows + kChunkRows - 1) / kChunkRows;
    threads_.deal(static_cast<int>(chunks), [&](int chunk, int thread) {
      const int64_t end = std::min(rows, (chunk + 1) * kChunkRows);
      for (int64_t row = chunk * kChunkRows; row < end; row += kTileRows) {
        body(row, std::min(kTileRows, end - row), tiles_.data() + thread * kTileRows * widest_);
      }
    });
  }

  // Encoder of one window: pcm[first, first + samples), zeros where there is no pcm.
  reference::Signal latents(std::span<const float> pcm, int64_t first, int64_t samples) {
    std::fill_n(pcm_.data(), samples + 2 * kDepthwiseReach, 0.0f);
    const int64_t there = std::min(samples, static_cast<int64_t>(pcm.size()) - first);
    std::copy_n(pcm.data() + first, there, pcm_.data() + kDepthwiseReach);

    // arrays_: 0 and 1 the inputs of convolutions (Snake's outputs), 2 the signal itself.
    int64_t rows = samples;
    float* x = arrays_[2].data();
    for_each_tile(rows, [&](int64_t row, int64_t count, float*) {
      MatmulArgs args;
      args.x = pcm_.data() + row;
      args.x_stride = 1;
      args.tap_stride = 1;
      args.rows = count;
      args.y_stride = blocks_.front().channels;
      args.y = x + row * args.y_stride;
      matmul(conv_in_, {0, conv_in_.panels()}, args);
    });
    for (const BlockLayers& block : blocks_) {
      const int64_t stride = block.channels;
      const ChannelRange all{0, block.channels};
      int current = 0;
      float* in = padded(current, rows, stride);
      for_each_tile(rows, [&](int64_t row, int64_t count, float*) {
        snake_rows(block.snake_first, {x + row * stride, stride}, {in + row * stride, stride},
                   count, all);
      });
      for (const UnitLayers& unit : block.units) {
        current ^= 1;
        float* out = padded(current, rows, stride);
        const int64_t reach = int64_t{kDepthwiseReach} * unit.dilation;
        for_each_tile(rows, [&](int64_t row, int64_t count, float* tile) {
          depthwise_rows(unit.depthwise, &unit.snake_mid, unit.dilation,
                         {in + (row - reach) * stride, stride}, {tile, stride}, count, all);
          MatmulArgs args;
          args.x = tile;
          args.x_stride = stride;
          args.rows = count;
          args.add = args.y = x + row * stride;
          args.add_stride = args.y_stride = stride;
          matmul(unit.pointwise, {0, unit.pointwise.panels()}, args);
          snake_rows(unit.after, {args.y, stride}, {out + row * stride, stride}, count, all);
        });
        in = out;
      }
      rows /= block.stride;
      const int64_t padding = downsample_padding(block.stride);
      for_each_tile(rows, [&](int64_t row, int64_t count, float*) {
        MatmulArgs args;
        args.x = in + (row * block.stride - padding) * stride;
        args.x_stride = block.stride * stride;
        args.tap_stride = stride;
        args.rows = count;
        args.y_stride = block.downsample.outputs();
        args.y = x + row * args.y_stride;
        matmul(block.downsample, {0, block.downsample.panels()}, args);
      });
    }
    return last_convolution(x, rows);
  }

  // Depthwise k7 on the latents; to the layout of the quantizer.
  reference::Signal last_convolution(const float* x, int64_t rows) {
    const int64_t stride = depthwise_out_.stride;
    float* in = padded(0, rows, stride);
    std::copy_n(x, rows * stride, in);
    float* out = arrays_[1].data();
    depthwise_rows(depthwise_out_, nullptr, 1, {in - kDepthwiseReach * stride, stride},
                   {out, stride}, rows, {0, static_cast<int>(stride)});
    reference::Signal z(config().latent_dim, rows);
    for (int c = 0; c < z.channels; ++c) {
      for (int64_t t = 0; t < rows; ++t) z.row(c)[t] = out[t * stride + c];
    }
    return z;
  }

  SnacEncoderWeights weights_;
  ThreadPool& threads_;
  PackedMatrix conv_in_;
  std::vector<BlockLayers> blocks_;
  Depthwise depthwise_out_;
  int64_t margin_frames_ = 0;
  int64_t widest_ = 0;
  AlignedFloats arrays_[3];
  AlignedFloats pcm_;
  AlignedFloats tiles_;
};

Result<std::unique_ptr<SnacEncoder>> SnacEncoder::open(const std::filesystem::path& folder,
                                                       ThreadPool& threads) {
  LYRE_ASSIGN_OR_RETURN(SnacEncoderWeights weights, load_snac_encoder(folder));
  return std::make_unique<SnacEncoder>(std::move(weights), threads);
}

SnacEncoder::SnacEncoder(SnacEncoderWeights weights, ThreadPool& threads)
    : layers_(std::make_unique<Layers>(std::move(weights), threads)) {}
SnacEncoder::~SnacEncoder() = default;

const SnacConfig& SnacEncoder::config() const noexcept { return layers_->config(); }

Result<std::vector<CodeFrame>> SnacEncoder::encode(std::span<const float> pcm) {
  const auto bad = std::find_if(pcm.begin(), pcm.end(), [](float x) { return !std::isfinite(x); });
  if (bad != pcm.end()) {
    return Error{ErrorCode::kInvalidArgument,
                 "codec encode: sample " + std::to_string(bad - pcm.begin()) + " is not finite"};
  }
  return layers_->encode(pcm);
}

}  // namespace lyre
