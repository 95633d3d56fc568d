// Products of weights and tokens, our own and the library's, against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "gpu/device_values.h"
#include "gpu/need_gpu.h"
#include "lyre/lm/cuda/gemm.h"
#include "lyre/lm/cuda/rows.h"
#include "lyre/lm/cuda/streamed_matmul.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

using cuda::DeviceMatrix;
using cuda::MatrixFormat;

// A matrix on the device, and what its elements are.
struct TestMatrix {
  DeviceMatrix device;
  cuda::DeviceMemory data, scales;
  std::vector<float> values;  // (padded_rows, pitch)
};

CUtensorMap tiles_of(const TestMatrix& matrix, const cuda::DeviceMemory& values, int tokens) {
  auto tiles = cuda::streamed_tiles(values.data(), tokens, matrix.device.pitch, tokens,
                                    matrix.device.format);
  LYRE_CHECK(tiles.ok());
  return *tiles;
}

cuda::StreamedWeights streamed(const TestMatrix& matrix) {
  auto weights = cuda::streamed_weights(matrix.device);
  LYRE_CHECK(weights.ok());
  return *weights;
}

TestMatrix make_matrix(int rows, int columns, MatrixFormat format, uint32_t seed) {
  TestMatrix matrix;
  matrix.device.rows = rows;
  matrix.device.columns = columns;
  matrix.device.pitch = cuda::round_up(columns, cuda::kPadColumns);
  matrix.device.format = format;
  const int padded = matrix.device.padded_rows();
  matrix.values.assign(static_cast<size_t>(padded) * static_cast<size_t>(matrix.device.pitch), 0);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(columns)));
  std::vector<uint16_t> halves(matrix.values.size());
  std::vector<uint8_t> bytes(matrix.values.size());
  std::vector<float> scales;
  for (int r = 0; r < padded; ++r) {
    scales.push_back(0.01f + 0.001f * static_cast<float>(r % 7));
    for (int c = 0; c < columns && r < rows; ++c) {
      const size_t at = static_cast<size_t>(r) * static_cast<size_t>(matrix.device.pitch) +
                        static_cast<size_t>(c);
      if (format == MatrixFormat::kBf16) {
        halves[at] = to_bf16(normal(random));
        matrix.values[at] = from_bf16(halves[at]);
      } else {
        bytes[at] = static_cast<uint8_t>(random() & 0xFF);
        if ((bytes[at] & 0x7F) == 0x7F) bytes[at] = 0;  // no NaN
        matrix.values[at] = from_e4m3(bytes[at]) * scales.back();
      }
    }
  }
  if (format == MatrixFormat::kBf16) {
    matrix.data = on_device(halves);
  } else {
    matrix.data = on_device(bytes);
    matrix.scales = on_device(scales);
    matrix.device.scales = matrix.scales.as<float>();
  }
  matrix.device.data = matrix.data.data();
  return matrix;
}

// (tokens, pitch) bf16 with zero padding.
std::vector<float> make_tokens(int tokens, int columns, int pitch, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(tokens) * static_cast<size_t>(pitch), 0);
  const std::vector<float> random = random_values(int64_t{tokens} * columns, 1.0f, seed);
  for (int t = 0; t < tokens; ++t) {
    for (int c = 0; c < columns; ++c) {
      values[static_cast<size_t>(t * pitch + c)] =
          rounded_bf16(random[static_cast<size_t>(t * columns + c)]);
    }
  }
  return values;
}

double product(const TestMatrix& matrix, int row, const std::vector<float>& tokens, int t) {
  const auto pitch = static_cast<size_t>(matrix.device.pitch);
  double sum = 0;
  for (size_t c = 0; c < pitch; ++c) {
    sum += static_cast<double>(matrix.values[static_cast<size_t>(row) * pitch + c]) *
           static_cast<double>(tokens[static_cast<size_t>(t) * pitch + c]);
  }
  return sum;
}

struct Size {
  int rows, columns;
};
constexpr Size kSizes[] = {{16, 64},   {40, 96},   {33, 200},   {96, 1000}, {48, 1024},
                           {64, 1152}, {32, 2049}, {112, 3072}, {16, 8192}, {4096, 640}};
constexpr int kTokens[] = {1, 2, 7, 8};

class Products : public GpuTest, public testing::WithParamInterface<MatrixFormat> {};

// fp32 sums in another order: some 1e-6 of the root mean square. What is written as bf16 is rounded
// by up to 2^-9 of itself, and products of normal values reach twenty times their root mean square,
// those of e4m3 of all exponents fifty times.
constexpr double kSum = 2e-5, kRounded = 4e-2, kRoundedFp8 = 1e-1;
constexpr double kRoundedSnrDb = 48;

TEST_P(Products, ResidualStream) {
  ASSERT_TRUE(cuda::prepare_streamed_matmul().ok());
  cuda::Queue queue = test_queue();
  for (const Size size : kSizes) {
    const TestMatrix matrix = make_matrix(size.rows, size.columns, GetParam(), 1);
    for (const int tokens : kTokens) {
      SCOPED_TRACE(std::to_string(size.rows) + " x " + std::to_string(size.columns) + ", " +
                   std::to_string(tokens) + " tokens");
      const int width = size.rows, pitch = cuda::round_up(width, cuda::kPadColumns);
      const std::vector<float> in = make_tokens(tokens, size.columns, matrix.device.pitch, 2);
      const std::vector<float> hidden = random_values(int64_t{tokens} * width, 1.0f, 3);
      const std::vector<float> norm = random_values(width, 1.0f, 4);
      const cuda::DeviceMemory device_in = on_device(as_bf16(in));
      const cuda::DeviceMemory device_hidden = on_device(hidden);
      const cuda::DeviceMemory device_norm = on_device(norm);
      const cuda::DeviceMemory weighted =
          on_device(std::vector<uint16_t>(static_cast<size_t>(tokens * pitch)));
      cuda::ResidualStream stream = {device_hidden.as<float>(), weighted.data(), nullptr, width,
                                     pitch};
      const cuda::DeviceMemory sums =
          on_device(std::vector<float>(static_cast<size_t>(tokens * stream.parts()), -1.0f));
      stream.square_sums = sums.as<float>();
      cuda::streamed_residual(queue, "test", streamed(matrix),
                              {tiles_of(matrix, device_in, tokens), nullptr, 0, 0, 0, tokens},
                              stream, device_norm.as<float>());
      ASSERT_TRUE(queue.finish().ok()) << queue.status().error().message;

      std::vector<float> expected, expected_weighted, actual_weighted, expected_sums, actual_sums;
      const auto all_weighted = from_device<uint16_t>(weighted, int64_t{tokens} * pitch);
      const auto all_sums = from_device<float>(sums, int64_t{tokens} * stream.parts());
      for (int t = 0; t < tokens; ++t) {
        double squares = 0;
        for (int r = 0; r < width; ++r) {
          const auto at = static_cast<size_t>(t * width + r);
          const double value = static_cast<double>(hidden[at]) + product(matrix, r, in, t);
          expected.push_back(static_cast<float>(value));
          expected_weighted.push_back(
              static_cast<float>(value * static_cast<double>(norm[static_cast<size_t>(r)])));
          actual_weighted.push_back(from_bf16(all_weighted[static_cast<size_t>(t * pitch + r)]));
          squares += value * value;
        }
        expected_sums.push_back(static_cast<float>(squares));
        double sum = 0;
        for (int part = 0; part < stream.parts(); ++part) {
          sum += static_cast<double>(all_sums[static_cast<size_t>(t * stream.parts() + part)]);
        }
        actual_sums.push_back(static_cast<float>(sum));
      }
      EXPECT_TRUE(
          all_close(from_device<float>(device_hidden, int64_t{tokens} * width), expected, kSum));
      EXPECT_TRUE(all_close(actual_weighted, expected_weighted, kRounded));
      EXPECT_TRUE(all_close(actual_sums, expected_sums, kSum));
    }
  }
}

TEST_P(Products, GateAndUpWithTheNormsScale) {
  ASSERT_TRUE(cuda::prepare_streamed_matmul().ok());
  cuda::Queue queue = test_queue();
  for (const Size size : kSizes) {
    const int ffn = size.rows / 16 * 8 + 8;  // activations
    const TestMatrix matrix = make_matrix(2 * ffn, size.columns, GetParam(), 5);
    for (const int tokens : kTokens) {
      SCOPED_TRACE(std::to_string(ffn) + " x " + std::to_string(size.columns) + ", " +
                   std::to_string(tokens) + " tokens");
      constexpr int kParts = 37;
      constexpr float kEpsilon = 1e-5f;
      const std::vector<float> in = make_tokens(tokens, size.columns, matrix.device.pitch, 6);
      std::vector<float> sums = random_values(int64_t{tokens} * kParts, 1.0f, 7);
      for (float& sum : sums) sum *= sum;
      const int pitch = cuda::round_up(ffn, cuda::kPadColumns);
      const cuda::DeviceMemory device_in = on_device(as_bf16(in)), device_sums = on_device(sums);
      const cuda::DeviceMemory out =
          on_device(std::vector<uint16_t>(static_cast<size_t>(tokens * pitch)));
      cuda::streamed_gate_up(queue, streamed(matrix),
                             {tiles_of(matrix, device_in, tokens), device_sums.as<float>(), kParts,
                              size.columns, kEpsilon, tokens},
                             out.data(), pitch);
      ASSERT_TRUE(queue.finish().ok()) << queue.status().error().message;

      const auto all = from_device<uint16_t>(out, int64_t{tokens} * pitch);
      std::vector<float> expected, actual;
      for (int t = 0; t < tokens; ++t) {
        double sum = 0;
        for (int part = 0; part < kParts; ++part) {
          sum += static_cast<double>(sums[static_cast<size_t>(t * kParts + part)]);
        }
        const double scale = 1.0 / std::sqrt(sum / size.columns + static_cast<double>(kEpsilon));
        for (int i = 0; i < ffn; ++i) {
          const int row = i / 8 * 16 + i % 8;
          const double gate = scale * product(matrix, row, in, t);
          const double up = scale * product(matrix, row + 8, in, t);
          expected.push_back(static_cast<float>(gate / (1.0 + std::exp(-gate)) * up));
          actual.push_back(from_bf16(all[static_cast<size_t>(t * pitch + i)]));
        }
      }
      EXPECT_TRUE(
          all_close(actual, expected, GetParam() == MatrixFormat::kFp8 ? kRoundedFp8 : kRounded));
      EXPECT_GT(difference(actual, expected).snr_db, kRoundedSnrDb);
    }
  }
}

TEST_P(Products, TokensDoNotDependOnEachOther) {
  ASSERT_TRUE(cuda::prepare_streamed_matmul().ok());
  cuda::Queue queue = test_queue();
  const TestMatrix matrix = make_matrix(112, 3072, GetParam(), 8);
  const std::vector<float> in = make_tokens(8, 3072, matrix.device.pitch, 9);
  const cuda::DeviceMemory device_in = on_device(as_bf16(in));
  const cuda::DeviceMemory norm = on_device(std::vector<float>(112, 1.0f));
  const cuda::DeviceMemory weighted = on_device(std::vector<uint16_t>(8 * 128));
  const cuda::DeviceMemory sums = on_device(std::vector<float>(8 * 7));
  const auto run = [&](int tokens) {
    const cuda::DeviceMemory hidden = on_device(std::vector<float>(8 * 112));
    const cuda::ResidualStream stream = {hidden.as<float>(), weighted.data(), sums.as<float>(), 112,
                                         128};
    cuda::streamed_residual(queue, "test", streamed(matrix),
                            {tiles_of(matrix, device_in, tokens), nullptr, 0, 0, 0, tokens}, stream,
                            norm.as<float>());
    EXPECT_TRUE(queue.finish().ok());
    return from_device<float>(hidden, int64_t{tokens} * 112);
  };
  const std::vector<float> all = run(8);
  for (int tokens = 1; tokens < 8; ++tokens) {
    const std::vector<float> some = run(tokens);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << tokens << " tokens";
  }
}

TEST_P(Products, OfManyTokensByTheLibrary) {
  auto gemm = cuda::Gemm::create();
  ASSERT_TRUE(gemm.ok()) << gemm.error().message;
  cuda::Queue queue = test_queue();
  for (const Size size : {Size{32, 128}, Size{96, 1000}, Size{128, 3072}}) {
    const TestMatrix matrix = make_matrix(size.rows, size.columns, GetParam(), 10);
    for (const int tokens : {16, 48, 96, 256}) {
      SCOPED_TRACE(std::to_string(size.rows) + " x " + std::to_string(size.columns) + ", " +
                   std::to_string(tokens) + " tokens");
      const std::vector<float> in = make_tokens(tokens, size.columns, matrix.device.pitch, 11);
      const cuda::DeviceMemory device_in = on_device(as_bf16(in));
      const std::vector<float> before = random_values(int64_t{tokens} * size.rows, 1.0f, 12);
      const cuda::DeviceMemory out = on_device(before);
      const cuda::DeviceMemory quantized =
          on_device(std::vector<uint8_t>(static_cast<size_t>(tokens * matrix.device.pitch)));
      const cuda::DeviceMemory scales = on_device(std::vector<float>(static_cast<size_t>(tokens)));
      const void* values = device_in.data();
      std::vector<float> multiplied = in;
      if (GetParam() == MatrixFormat::kFp8) {
        cuda::quantize_rows(queue, values, matrix.device.pitch, tokens, quantized.data(),
                            scales.as<float>());
        ASSERT_TRUE(queue.finish().ok());
        values = quantized.data();
        const auto bytes = from_device<uint8_t>(quantized, int64_t{tokens} * matrix.device.pitch);
        const auto by = from_device<float>(scales, tokens);
        for (size_t i = 0; i < bytes.size(); ++i) {
          multiplied[i] = from_e4m3(bytes[i]) * by[i / static_cast<size_t>(matrix.device.pitch)];
          // Half a unit in the last of four bits, of values up to the largest of the row.
          EXPECT_NEAR(multiplied[i], in[i], std::abs(in[i]) / 16 + 1e-2f);
        }
      }
      gemm->run(queue, "test", matrix.device, values, scales.as<float>(), tokens,
                cuda::Gemm::Out::kAddF32, out.data(), size.rows);
      ASSERT_TRUE(queue.finish().ok()) << queue.status().error().message;
      std::vector<float> expected;
      for (int t = 0; t < tokens; ++t) {
        for (int r = 0; r < size.rows; ++r) {
          expected.push_back(static_cast<float>(
              static_cast<double>(before[static_cast<size_t>(t * size.rows + r)]) +
              product(matrix, r, multiplied, t)));
        }
      }
      // Hopper's fp8 product adds up with some 14 bits.
      const double tolerance = GetParam() == MatrixFormat::kFp8 ? 5e-3 : kSum;
      EXPECT_TRUE(
          all_close(from_device<float>(out, int64_t{tokens} * size.rows), expected, tolerance));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Products,
                         testing::Values(MatrixFormat::kBf16, MatrixFormat::kFp8),
                         [](const auto& tested) {
                           return tested.param == MatrixFormat::kBf16 ? "bf16" : "fp8";
                         });

}  // namespace
}  // namespace lyre::test
