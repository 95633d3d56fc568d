#include "lyre/codec/cuda/device_weights.h"

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/cuda/status.h"

namespace lyre::snac_cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr float kMostHalf = 65504.0f;

// Collects arrays, and afterwards tells each pointer where its array is.
class Staging {
 public:
  template <class T>
  T* add(const T*& pointer, size_t count) {
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    const size_t offset = bytes_.size();
    bytes_.resize(offset + count * sizeof(T));
    places_.push_back({reinterpret_cast<const void**>(&pointer), offset});
    return reinterpret_cast<T*>(bytes_.data() + offset);  // until the next add()
  }

  Result<cuda::DeviceMemory> upload() {
    LYRE_ASSIGN_OR_RETURN(
        cuda::DeviceMemory memory,
        cuda::DeviceMemory::allocate(static_cast<int64_t>(bytes_.size()), "the codec's weights"));
    LYRE_RETURN_IF_ERROR(cuda::status_of(
        cudaMemcpy(memory.data(), bytes_.data(), bytes_.size(), cudaMemcpyHostToDevice),
        "copying the codec's weights"));
    for (const Place& place : places_) *place.pointer = memory.as<unsigned char>() + place.offset;
    return memory;
  }

 private:
  struct Place {
    const void** pointer;
    size_t offset;
  };
  std::vector<unsigned char> bytes_;
  std::vector<Place> places_;
};

void add_padded(Staging& staging, const float*& pointer, const std::vector<float>& values,
                int padded) {
  std::memcpy(staging.add(pointer, static_cast<size_t>(padded)), values.data(),
              values.size() * sizeof(float));
}

void add_snake(Staging& staging, SnakeParameters& snake, const SnakeWeights& w, int padded) {
  add_padded(staging, snake.alpha, w.alpha, padded);
  float* inverse = staging.add(snake.inverse, static_cast<size_t>(padded));
  // Of a channel of padding alpha and inverse are 0: it keeps its zeros.
  for (size_t c = 0; c < w.alpha.size(); ++c) inverse[c] = 1.0f / (w.alpha[c] + 1e-9f);
}

// (C, 1, 7) -> (7, padded), and the bias as an eighth row.
void add_taps(Staging& staging, const float*& pointer, const float* taps, const float* bias,
              int channels, int padded) {
  const size_t rows = kDepthwiseTaps + (bias == nullptr ? 0 : 1);
  float* to = staging.add(pointer, rows * static_cast<size_t>(padded));
  for (int c = 0; c < channels; ++c) {
    for (int k = 0; k < kDepthwiseTaps; ++k) to[k * padded + c] = taps[c * kDepthwiseTaps + k];
    if (bias != nullptr) to[kDepthwiseTaps * padded + c] = bias[c];
  }
}

// weight(n, k) of a matrix (columns, depth) whose row n the padded matrix has at place(n), and
// value k at place_k(k). The order is that of WarpProduct: for each 16 columns and 32 values of K,
// two tiles of 32 lanes of 8 values.
template <class Weight, class Column, class Depth>
Status add_matrix(Staging& staging, PackedMatrix& pointer, const std::string& name, int columns,
                  int depth, int padded_columns, int padded_depth, Weight&& weight,
                  Column&& column_at, Depth&& depth_at) {
  const int64_t steps = padded_depth / 32;
  const int64_t rounded = (padded_columns + kColumnPadding - 1) / kColumnPadding * kColumnPadding;
  auto* to = reinterpret_cast<__half*>(
      staging.add(pointer, static_cast<size_t>(rounded * padded_depth / 8)));
  for (int n = 0; n < columns; ++n) {
    const int64_t column = column_at(n);
    const int64_t within = column % 16;
    const int64_t tile = within / 2 % 2, lane = (within / 4 * 2 + within % 2) * 4;
    for (int k = 0; k < depth; ++k) {
      const float value = weight(n, k);
      if (!(std::abs(value) <= kMostHalf)) {
        return Error{ErrorCode::kInvalidArgument,
                     "codec: " + name + " has the weight " + std::to_string(value) +
                         "; the CUDA backend multiplies in fp16, which ends at 65504"};
      }
      const int64_t at = depth_at(k);
      const int64_t step = at / 32, part = at % 32 / 8, element = at % 8;
      to[(((column / 16 * steps + step) * 2 + tile) * 32 + lane + part) * 8 + element] =
          __float2half_rn(value);
    }
  }
  return ok_status();
}

Status add_pointwise(Staging& staging, PackedMatrix& pointer, const std::string& name,
                     const ConvWeights& w) {
  const auto same = [](int i) { return i; };
  return add_matrix(
      staging, pointer, name, w.outputs, w.inputs_per_output, padded_channels(w.outputs),
      padded_channels(w.inputs_per_output),
      [&](int n, int k) {
        return w.weight[static_cast<size_t>(int64_t{n} * w.inputs_per_output + k)];
      },
      same, same);
}

// Output row s * i + j takes tap j of input i and tap j + s of input i - 1.
Status add_upsample(Staging& staging, PackedMatrix& pointer, const std::string& name,
                    const UpsampleWeights& w) {
  const int inputs = padded_channels(w.inputs), outputs = padded_channels(w.outputs);
  return add_matrix(
      staging, pointer, name, w.stride * w.outputs, 2 * w.inputs, w.stride * outputs, 2 * inputs,
      [&](int n, int k) {
        const int64_t phase = n / w.outputs, output = n % w.outputs;
        const int64_t earlier = k / w.inputs, input = k % w.inputs;
        const int64_t tap = phase + earlier * w.stride;
        return w.weight[static_cast<size_t>((input * w.outputs + output) * 2 * w.stride + tap)];
      },
      [&](int n) { return n / w.outputs * outputs + n % w.outputs; },
      [&](int k) { return k / w.inputs * inputs + k % w.inputs; });
}

Status add_block(Staging& staging, DeviceBlock& block, const DecoderBlockWeights& w, size_t index) {
  const std::string name = "decoder block " + std::to_string(index) + ": ";
  const int channels = w.upsample.outputs, padded = padded_channels(channels);
  add_snake(staging, block.snake, w.snake, padded_channels(w.upsample.inputs));
  LYRE_RETURN_IF_ERROR(
      add_upsample(staging, block.upsample, name + "the transposed convolution", w.upsample));
  float* bias = staging.add(block.upsample_bias, static_cast<size_t>(w.upsample.stride * padded));
  for (int phase = 0; phase < w.upsample.stride; ++phase) {
    std::memcpy(bias + phase * padded, w.upsample.bias.data(),
                w.upsample.bias.size() * sizeof(float));
  }
  if (w.noise.outputs > 0) {
    LYRE_RETURN_IF_ERROR(add_pointwise(staging, block.noise, name + "the noise", w.noise));
  }
  LYRE_CHECK(w.units.size() == block.units.size());
  for (size_t u = 0; u < w.units.size(); ++u) {
    const ResidualUnitWeights& from = w.units[u];
    DeviceUnit& unit = block.units[u];
    add_snake(staging, unit.snake_in, from.snake_in, padded);
    add_taps(staging, unit.depthwise, from.depthwise.weight.data(), from.depthwise.bias.data(),
             channels, padded);
    add_snake(staging, unit.snake_mid, from.snake_mid, padded);
    LYRE_RETURN_IF_ERROR(add_pointwise(
        staging, unit.pointwise, name + "residual unit " + std::to_string(u), from.pointwise));
    add_padded(staging, unit.bias, from.pointwise.bias, padded);
  }
  return ok_status();
}

// What a code adds to its latents, for every code.
void add_table(Staging& staging, const float*& pointer, const SnacDecoderWeights& w) {
  const SnacConfig& c = w.config;
  const int padded = padded_channels(c.latent_dim);
  float* row =
      staging.add(pointer, static_cast<size_t>(c.levels()) * static_cast<size_t>(c.codebook_size) *
                               static_cast<size_t>(padded));
  for (const QuantizerWeights& q : w.quantizers) {
    for (int code = 0; code < c.codebook_size; ++code, row += padded) {
      const float* entry = q.codebook.data() + int64_t{code} * c.codebook_dim;
      for (int i = 0; i < c.latent_dim; ++i) {
        const float* weights = q.out_proj.weight.data() + int64_t{i} * c.codebook_dim;
        float sum = q.out_proj.bias[static_cast<size_t>(i)];
        for (int d = 0; d < c.codebook_dim; ++d) sum += weights[d] * entry[d];
        row[i] = sum;
      }
    }
  }
}

}  // namespace

Result<DeviceWeights> DeviceWeights::upload(const SnacDecoderWeights& weights) {
  const SnacConfig& c = weights.config;
  DeviceWeights device;
  Staging staging;
  add_table(staging, device.table, weights);
  add_taps(staging, device.depthwise_in, weights.depthwise_in.weight.data(),
           weights.depthwise_in.bias.data(), c.latent_dim, padded_channels(c.latent_dim));
  LYRE_RETURN_IF_ERROR(add_pointwise(staging, device.pointwise_in,
                                     "the decoder's first 1x1 convolution", weights.pointwise_in));
  add_padded(staging, device.pointwise_bias, weights.pointwise_in.bias,
             padded_channels(c.decoder_dim));
  device.blocks.resize(weights.blocks.size());  // before pointers to its members are taken
  for (size_t i = 0; i < weights.blocks.size(); ++i) {
    LYRE_RETURN_IF_ERROR(add_block(staging, device.blocks[i], weights.blocks[i], i));
  }
  const int last = weights.head.inputs_per_output;
  add_snake(staging, device.snake_out, weights.snake_out, padded_channels(last));
  add_taps(staging, device.head, weights.head.weight.data(), nullptr, last, padded_channels(last));
  device.head_bias = weights.head.bias.front();
  LYRE_ASSIGN_OR_RETURN(device.memory_, staging.upload());
  return device;
}

}  // namespace lyre::snac_cuda
