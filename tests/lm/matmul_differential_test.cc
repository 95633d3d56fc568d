#include "lyre/lm/cpu/matmul.h"

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "lm/random_model.h"
#include "lm/simd_levels.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/quantize.h"
#include "lyre/tensor/tensor_archive.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

using cpu::MatrixType;
using cpu::SimdLevel;
using cpu::WeightMatrix;

constexpr int64_t kRows[] = {1, 2, 3, 4, 5, 31, 66};
constexpr int64_t kColumns[] = {1, 2, 15, 16, 17, 33, 64, 65, 144, 257};
constexpr int64_t kTokens[] = {1, 2, 3, 5, 8, 11};

// Relative to the root mean square of the products: fp32 sums of at most 257 terms.
constexpr double kTolerance = 2e-6;

// A matrix of one type with the values that it stands for.
class TestMatrix {
 public:
  TestMatrix(MatrixType type, int64_t rows, int64_t columns)
      : values_(normal_values(static_cast<size_t>(rows * columns), 11)) {
    view_ = {nullptr, nullptr, rows, columns, type};
    if (type == MatrixType::kInt8) {
      data_.resize(static_cast<size_t>(rows * columns));
      scales_.resize(static_cast<size_t>(cpu::scale_count(view_)));
      view_.data = data_.data();
      view_.scales = scales_.data();
      ThreadPool threads(1);
      const cpu::QuantizeJob job = {{values_.data(), nullptr, rows, columns, MatrixType::kF32},
                                    view_};
      cpu::quantize({&job, 1}, threads);
      for (size_t i = 0; i < values_.size(); ++i) {
        const auto row = static_cast<int64_t>(i) / columns, k = static_cast<int64_t>(i) % columns;
        const int64_t group = row * cpu::quant_groups(columns) + k / cpu::kQuantGroup;
        values_[i] = scales_[static_cast<size_t>(group)] * static_cast<int8_t>(data_[i]);
      }
      return;
    }
    const DType dtype = type == MatrixType::kF32   ? DType::kF32
                        : type == MatrixType::kF16 ? DType::kF16
                                                   : DType::kBF16;
    data_ = to_bytes(values_, dtype);
    view_.data = data_.data();
    EXPECT_TRUE(convert_to_f32({data_.data(), {rows, columns}, dtype, {}}, values_).ok());
  }

  const WeightMatrix& view() const { return view_; }
  const std::vector<float>& values() const { return values_; }

 private:
  std::vector<float> values_;
  std::string data_;
  std::vector<float> scales_;
  WeightMatrix view_;
};

class Matmul : public testing::TestWithParam<std::tuple<MatrixType, SimdLevel>> {
 protected:
  SimdScope scope_{std::get<1>(GetParam())};
};

TEST_P(Matmul, EqualsTheObviousLoop) {
  for (const int64_t rows : kRows) {
    for (const int64_t columns : kColumns) {
      const TestMatrix w(std::get<0>(GetParam()), rows, columns);
      for (const int64_t tokens : kTokens) {
        const std::vector<float> x = normal_values(static_cast<size_t>(tokens * columns), 12);
        std::vector<float> expected(static_cast<size_t>(rows * tokens)), actual(expected.size());
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t r = 0; r < rows; ++r) {
            double sum = 0;
            for (int64_t k = 0; k < columns; ++k) {
              sum += double{w.values()[static_cast<size_t>(r * columns + k)]} *
                     double{x[static_cast<size_t>(t * columns + k)]};
            }
            expected[static_cast<size_t>(t * rows + r)] = static_cast<float>(sum);
          }
        }
        cpu::matmul(w.view(), 0, rows, x.data(), columns, tokens, actual.data(), rows);
        const double scale = std::sqrt(static_cast<double>(columns));
        const double rms = std::max(difference(expected, expected).rms_expected, 1e-3 * scale);
        EXPECT_TRUE(all_close(actual, expected, kTolerance * scale / rms * 4))
            << rows << " x " << columns << ", " << tokens << " tokens";
      }
    }
  }
}

// The promise that tokens do not depend on neighbours rests on this.
TEST_P(Matmul, EveryElementIsTheSameBitsInAnyTile) {
  constexpr int64_t kMost = 21, kStride = 300;
  for (const int64_t columns : {17, 64, 257}) {
    const TestMatrix w(std::get<0>(GetParam()), 19, columns);
    const std::vector<float> x = normal_values(kMost * kStride, 13);
    std::vector<float> alone(19 * kMost);
    for (int64_t t = 0; t < kMost; ++t) {
      for (int64_t r = 0; r < 19; ++r) {
        cpu::matmul(w.view(), r, r + 1, x.data() + t * kStride, kStride, 1,
                    &alone[static_cast<size_t>(t * 19 + r)], 1);
      }
    }
    for (int64_t tokens = 1; tokens <= kMost; ++tokens) {
      for (const int64_t first : {0, 1, 6}) {
        std::vector<float> together(19 * kMost, -1.0f);
        cpu::matmul(w.view(), first, 19, x.data(), kStride, tokens,
                    &together[static_cast<size_t>(first)], 19);
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t r = first; r < 19; ++r) {
            const auto i = static_cast<size_t>(t * 19 + r);
            ASSERT_EQ(together[i], alone[i])
                << "row " << r << " of token " << t << " of " << tokens;
          }
        }
      }
    }
  }
}

TEST_P(Matmul, DecodeRow) {
  for (const int64_t columns : kColumns) {
    const TestMatrix w(std::get<0>(GetParam()), 3, columns);
    for (int64_t r = 0; r < 3; ++r) {
      std::vector<float> row(static_cast<size_t>(columns) + 1, -7.0f);
      cpu::decode_row(w.view(), r, row.data());
      for (int64_t k = 0; k < columns; ++k) {
        ASSERT_EQ(row[static_cast<size_t>(k)], w.values()[static_cast<size_t>(r * columns + k)]);
      }
      EXPECT_EQ(row.back(), -7.0f);
    }
  }
}

std::string test_name(const testing::TestParamInfo<Matmul::ParamType>& info) {
  static constexpr const char* kTypes[] = {"bf16", "f16", "f32", "int8"};
  const auto [type, level] = info.param;
  return std::string(kTypes[static_cast<size_t>(type)]) + "_" + simd_level_name(level);
}

INSTANTIATE_TEST_SUITE_P(All, Matmul,
                         testing::Combine(testing::Values(MatrixType::kBF16, MatrixType::kF16,
                                                          MatrixType::kF32, MatrixType::kInt8),
                                          testing::ValuesIn(kSimdLevels)),
                         test_name);

TEST(Quantize, ErrorIsHalfAStepAtMostAndIsMeasured) {
  constexpr int64_t kRowCount = 7, kColumnCount = 2 * cpu::kQuantGroup + 22;
  std::vector<float> values = normal_values(kRowCount * kColumnCount, 14);
  for (int64_t k = 0; k < cpu::kQuantGroup; ++k)
    values[static_cast<size_t>(k)] = 0;  // a group of zeros
  std::vector<int8_t> data(values.size());
  std::vector<float> scales(static_cast<size_t>(kRowCount * cpu::quant_groups(kColumnCount)));
  ThreadPool threads(2);
  const cpu::QuantizeJob job = {
      {values.data(), nullptr, kRowCount, kColumnCount, MatrixType::kF32},
      {data.data(), scales.data(), kRowCount, kColumnCount, MatrixType::kInt8}};
  int done = 0;
  const cpu::QuantError error =
      cpu::quantize({&job, 1}, threads, [&](const cpu::QuantizeJob& one) { done += &one == &job; });
  EXPECT_EQ(done, 1);
  double energy = 0, difference = 0;
  for (int64_t r = 0; r < kRowCount; ++r) {
    for (int64_t k = 0; k < kColumnCount; ++k) {
      const auto i = static_cast<size_t>(r * kColumnCount + k);
      const float scale = scales[static_cast<size_t>(r * 3 + k / cpu::kQuantGroup)];
      const double off = double{values[i]} - double{scale} * data[i];
      EXPECT_LE(std::abs(off), 0.5001 * double{scale} + 1e-12);
      energy += double{values[i]} * double{values[i]};
      difference += off * off;
    }
  }
  EXPECT_EQ(scales[0], 0.0f);
  EXPECT_NEAR(error.relative_rms(), std::sqrt(difference / energy), 1e-5);
  EXPECT_GT(error.relative_rms(), 1e-3);
}

}  // namespace
}  // namespace lyre::test
