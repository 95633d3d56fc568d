// Weights as the device holds them, read back, against the tensors of the files.
#include "lyre/lm/cuda/device_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gpu/need_gpu.h"
#include "lm/random_model.h"
#include "lyre/base/cuda/device.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

// Nothing is a multiple of anything: ffn neither of 8 nor of 128, hidden not of 128.
LlamaConfig odd_config(bool tied) {
  LlamaConfig config = small_config();
  config.vocabulary = 77;
  config.hidden = 72;
  config.heads = 3;
  config.kv_heads = 1;
  config.head_dim = 48;
  config.ffn = 141;
  config.tied_embeddings = tied;
  return config;
}

// e4m3: 4 bits of exponent (bias 7), 3 of mantissa, no infinity.
float from_e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

float bf16_value(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// The tensor (rows, columns) as bf16.
std::vector<uint16_t> as_bf16(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.shape.elements()));
  EXPECT_TRUE(convert_to_f32(view, values).ok());
  std::vector<uint16_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), to_bf16);
  return bits;
}

// A row that the device should hold; values nullptr: zeros.
struct Row {
  const std::vector<uint16_t>* values = nullptr;
  int row = 0;
};

std::vector<Row> plain_rows(const std::vector<uint16_t>& values, int count) {
  std::vector<Row> rows;
  for (int r = 0; r < count; ++r) rows.push_back({&values, r});
  return rows;
}

class DeviceWeightsTest : public GpuTest {
 protected:
  // Uploads a random model and compares all that the device then holds.
  void check(const LlamaConfig& c, DType dtype, WeightFormat format, int64_t staging_bytes) {
    TempFolder folder;
    write_random_model(folder, c, dtype, 5);
    ThreadPool threads(3);
    auto selected = cuda::select_device(0);
    ASSERT_TRUE(selected.ok());
    auto queue = cuda::Queue::create(cuda::Queue::Priority::kNormal);
    ASSERT_TRUE(queue.ok());
    auto weights = open_llama_weights(folder.path());
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    auto device = cuda::upload_weights(*weights, format, threads, *queue, staging_bytes);
    ASSERT_TRUE(device.ok()) << device.error().message;
    ASSERT_EQ(device->size_bytes, device->memory.size_bytes());
    host_.resize(static_cast<size_t>(device->size_bytes));
    base_ = device->memory.as<std::byte>();
    queue->copy_to_host(host_.data(), base_, device->size_bytes);
    ASSERT_TRUE(queue->finish().ok());

    const bool fp8 = format == WeightFormat::kFp8;
    const std::vector<uint16_t> embedding = as_bf16(weights->embedding),
                                output = as_bf16(weights->output);
    compare(device->embedding, c.hidden, plain_rows(embedding, c.vocabulary), false);
    compare(device->output, c.hidden, plain_rows(output, c.vocabulary), false);
    EXPECT_EQ(device->output.data == device->embedding.data, c.tied_embeddings);
    compare_norm(device->final_norm, weights->final_norm);
    ASSERT_EQ(device->layers.size(), weights->layers.size());
    for (size_t l = 0; l < weights->layers.size(); ++l) {
      SCOPED_TRACE(l);
      compare_layer(c, device->layers[l], weights->layers[l], fp8);
    }
  }

  void compare_layer(const LlamaConfig& c, const cuda::DeviceLayer& device,
                     const LlamaLayerWeights& from, bool fp8) {
    compare_norm(device.input_norm, from.input_norm);
    compare_norm(device.post_attention_norm, from.post_attention_norm);
    const std::vector<uint16_t> query = as_bf16(from.query), key = as_bf16(from.key),
                                value = as_bf16(from.value), gate = as_bf16(from.gate),
                                up = as_bf16(from.up), down = as_bf16(from.down),
                                attention_output = as_bf16(from.attention_output);
    // Pairs of RoPE, (i, i + D/2), come as 8 firsts, then their 8 seconds.
    std::vector<Row> qkv;
    const auto add_heads = [&](const std::vector<uint16_t>& values, int heads) {
      for (int head = 0; head < heads; ++head) {
        for (int pair = 0; pair < c.head_dim / 2; pair += 8) {
          for (const int half : {0, c.head_dim / 2}) {
            for (int i = 0; i < 8; ++i)
              qkv.push_back({&values, head * c.head_dim + half + pair + i});
          }
        }
      }
    };
    add_heads(query, c.heads);
    add_heads(key, c.kv_heads);
    for (int r = 0; r < c.kv_rows(); ++r) qkv.push_back({&value, r});
    compare(device.qkv, c.hidden, qkv, fp8);
    compare(device.attention_output, c.query_rows(), plain_rows(attention_output, c.hidden), fp8);
    std::vector<Row> gate_up;
    for (int first = 0; first < c.ffn; first += 8) {
      for (const std::vector<uint16_t>* factor : {&gate, &up}) {
        for (int r = first; r < first + 8; ++r)
          gate_up.push_back(r < c.ffn ? Row{factor, r} : Row{});
      }
    }
    compare(device.gate_up, c.hidden, gate_up, fp8);
    compare(device.down, c.ffn, plain_rows(down, c.hidden), fp8);
  }

  template <class T>
  std::vector<T> values_at(const void* place, size_t count) {
    const auto offset = static_cast<size_t>(static_cast<const std::byte*>(place) - base_);
    EXPECT_EQ(offset % 256, 0u);
    std::vector<T> values(count);
    EXPECT_LE(offset + count * sizeof(T), host_.size());
    std::memcpy(values.data(), host_.data() + offset, count * sizeof(T));
    return values;
  }

  void compare_norm(const float* place, const TensorView& view) {
    std::vector<float> expected(static_cast<size_t>(view.shape.elements()));
    ASSERT_TRUE(convert_to_f32(view, expected).ok());
    EXPECT_EQ(values_at<float>(place, expected.size()), expected);
  }

  void compare(const cuda::DeviceMatrix& matrix, int columns, std::vector<Row> rows, bool fp8) {
    ASSERT_EQ(matrix.rows, static_cast<int>(rows.size()));
    ASSERT_EQ(matrix.columns, columns);
    ASSERT_EQ(matrix.pitch % cuda::kPadColumns, 0);
    ASSERT_EQ(matrix.format, fp8 ? cuda::MatrixFormat::kFp8 : cuda::MatrixFormat::kBf16);
    rows.resize(static_cast<size_t>(matrix.padded_rows()));
    const auto pitch = static_cast<size_t>(matrix.pitch), width = static_cast<size_t>(columns);
    std::vector<uint16_t> expected(rows.size() * pitch);
    for (size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].values == nullptr) continue;
      std::copy_n(rows[r].values->begin() + static_cast<std::ptrdiff_t>(rows[r].row) * columns,
                  width, expected.begin() + static_cast<std::ptrdiff_t>(r * pitch));
    }
    if (!fp8) {
      EXPECT_EQ(values_at<uint16_t>(matrix.data, expected.size()), expected);
      return;
    }
    const auto stored = values_at<uint8_t>(matrix.data, expected.size());
    const auto scales = values_at<float>(matrix.scales, rows.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      compare_fp8_row(stored.data() + r * pitch, scales[r], expected.data() + r * pitch, pitch);
      if (HasFailure()) return;
    }
  }

  // Half a unit of 3 bits of mantissa, or of the least magnitude 2^-9; a little more for the
  // roundings of scale and quotient.
  void compare_fp8_row(const uint8_t* stored, float scale, const uint16_t* expected, size_t pitch) {
    float largest = 0;
    for (size_t i = 0; i < pitch; ++i)
      largest = std::max(largest, std::fabs(bf16_value(expected[i])));
    EXPECT_FLOAT_EQ(scale, largest > 0 ? largest / 448 : 1);
    int far = 0, wrong_zeros = 0;
    for (size_t i = 0; i < pitch; ++i) {
      const float value = bf16_value(expected[i]), actual = scale * from_e4m3(stored[i]);
      const float bound = std::max(std::fabs(value) / 16, scale * 0x1p-10f) * 1.00001f;
      far += !(std::fabs(actual - value) <= bound);
      wrong_zeros += value == 0 && stored[i] != 0;
    }
    EXPECT_EQ(far, 0);
    EXPECT_EQ(wrong_zeros, 0);
  }

  std::vector<std::byte> host_;
  const std::byte* base_ = nullptr;
};

TEST_F(DeviceWeightsTest, Bf16FilesAreCopied) {
  check(odd_config(false), DType::kBF16, WeightFormat::kAsStored, int64_t{64} << 20);
  check(odd_config(true), DType::kBF16, WeightFormat::kAsStored, int64_t{64} << 20);
}

TEST_F(DeviceWeightsTest, OtherFilesAreRounded) {
  check(odd_config(false), DType::kF32, WeightFormat::kAsStored, int64_t{64} << 20);
  check(odd_config(true), DType::kF16, WeightFormat::kAsStored, int64_t{64} << 20);
}

// Every buffer is used again, with pieces that end anywhere.
TEST_F(DeviceWeightsTest, PassThroughSmallBuffers) {
  check(odd_config(true), DType::kF32, WeightFormat::kAsStored, 1);
  check(odd_config(false), DType::kBF16, WeightFormat::kAsStored, 3000);
  check(odd_config(false), DType::kBF16, WeightFormat::kFp8, 3000);
}

TEST_F(DeviceWeightsTest, Fp8IsWithinItsStep) {
  check(odd_config(false), DType::kBF16, WeightFormat::kFp8, int64_t{64} << 20);
  check(odd_config(true), DType::kF32, WeightFormat::kFp8, int64_t{64} << 20);
}

TEST_F(DeviceWeightsTest, WhatHasNoLayoutIsRefused) {
  TempFolder folder;
  LlamaConfig config = odd_config(true);
  config.head_dim = 20;
  write_random_model(folder, config, DType::kBF16);
  ThreadPool threads(1);
  ASSERT_TRUE(cuda::select_device(0).ok());
  auto queue = cuda::Queue::create(cuda::Queue::Priority::kNormal);
  ASSERT_TRUE(queue.ok());
  auto weights = open_llama_weights(folder.path());
  ASSERT_TRUE(weights.ok());
  EXPECT_TRUE(is_error(cuda::upload_weights(*weights, WeightFormat::kAsStored, threads, *queue),
                       ErrorCode::kInvalidArgument, {"head_dim", "20"}));
  EXPECT_TRUE(is_error(cuda::upload_weights(*weights, WeightFormat::kInt8, threads, *queue),
                       ErrorCode::kInvalidArgument, {"int8"}));
}

}  // namespace
}  // namespace lyre::test
