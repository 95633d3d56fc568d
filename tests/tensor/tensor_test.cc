#include "lyre/tensor/tensor.h"

#include <limits>
#include <optional>

#include <gtest/gtest.h>

namespace lyre {
namespace {

TEST(DType, SizesAndNames) {
  const struct {
    DType dtype;
    int64_t bytes;
    const char* name;
  } kRows[] = {{DType::kF64, 8, "f64"},   {DType::kF32, 4, "f32"}, {DType::kF16, 2, "f16"},
               {DType::kBF16, 2, "bf16"}, {DType::kI64, 8, "i64"}, {DType::kI32, 4, "i32"},
               {DType::kI16, 2, "i16"},   {DType::kI8, 1, "i8"},   {DType::kU8, 1, "u8"},
               {DType::kBool, 1, "bool"}};
  for (const auto& row : kRows) {
    EXPECT_EQ(dtype_size_bytes(row.dtype), row.bytes) << row.name;
    EXPECT_STREQ(dtype_name(row.dtype), row.name);
  }
}

TEST(Shape, PrintsOutermostFirst) {
  EXPECT_EQ(Shape({512, 1024, 1}).to_string(), "(512, 1024, 1)");
  EXPECT_EQ(Shape().to_string(), "()");
}

TEST(Shape, EqualOnlyWithTheSameRank) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2, 3}), Shape({2, 3, 1}));
  EXPECT_NE(Shape({0}), Shape());
}

TEST(Shape, ElementsOfAScalarIsOne) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape({4, 0, 3}).elements(), 0);
  EXPECT_EQ(Shape({131072, 8192, 16}).elements(), int64_t{131072} * 8192 * 16);
}

TEST(CheckedSizeBytes, RefusesWhatDoesNotFit) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(checked_size_bytes({3, 5}, DType::kF64), 120);
  EXPECT_EQ(checked_size_bytes({}, DType::kF16), 2);
  EXPECT_EQ(checked_size_bytes({kMost}, DType::kU8), kMost);
  EXPECT_EQ(checked_size_bytes({kMost / 2 + 1}, DType::kF16), std::nullopt);
  EXPECT_EQ(checked_size_bytes({int64_t{1} << 32, int64_t{1} << 32}, DType::kU8), std::nullopt);
  EXPECT_EQ(checked_size_bytes({-1, 2}, DType::kU8), std::nullopt);
  EXPECT_EQ(checked_size_bytes({-1, -1}, DType::kU8), std::nullopt);
  EXPECT_EQ(checked_size_bytes({kMost, kMost, 0}, DType::kF32), 0);
  EXPECT_EQ(checked_size_bytes({0, -1}, DType::kF32), std::nullopt);
}

TEST(ShapeDeathTest, AxisOutOfRangeIsOurBug) {
  const Shape shape{2, 3};
  EXPECT_DEATH((void)shape[2], "internal error");
  EXPECT_DEATH((void)shape[-1], "internal error");
}

}  // namespace
}  // namespace lyre
