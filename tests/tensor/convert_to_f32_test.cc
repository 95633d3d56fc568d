#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/tensor/float_formats.h"
#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"

namespace lyre {
namespace {

// The value by its definition, in double.
double f16_value(uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const double sign = half >> 15 ? -1 : 1;
  if (exponent == 31) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return exponent == 0 ? sign * std::ldexp(mantissa, -24)
                       : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(F16, EveryPatternIsExact) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float actual = f16_to_f32(half);
    const double expected = f16_value(half);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(actual)) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(actual), expected) << bits;
    }
    EXPECT_EQ(std::signbit(actual), half >> 15 != 0) << bits;
  }
}

TEST(BF16, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(bf16_to_f32(0x3F80), 1.0f);
  EXPECT_EQ(bf16_to_f32(0xC000), -2.0f);
  EXPECT_EQ(bf16_to_f32(0x0001), 0x1p-133f);  // subnormal
  EXPECT_TRUE(std::isinf(bf16_to_f32(0x7F80)));
  EXPECT_TRUE(std::isnan(bf16_to_f32(0x7FC0)));
}

template <class T>
std::vector<float> converted(DType dtype, std::vector<T> values) {
  std::vector<float> out(values.size());
  const TensorView view{values.data(), {static_cast<int64_t>(values.size())}, dtype, Device{}};
  EXPECT_TRUE(convert_to_f32(view, out).ok());
  return out;
}

TEST(ConvertToF32, EachDType) {
  EXPECT_EQ(converted<double>(DType::kF64, {1.5, -1e300, 0.1}),
            (std::vector<float>{1.5f, -std::numeric_limits<float>::infinity(), 0.1f}));
  EXPECT_EQ(converted<float>(DType::kF32, {1.5f, -0.1f}), (std::vector<float>{1.5f, -0.1f}));
  EXPECT_EQ(converted<uint16_t>(DType::kF16, {0x3C00, 0xC000, 0x0001}),
            (std::vector<float>{1.0f, -2.0f, 0x1p-24f}));
  EXPECT_EQ(converted<uint16_t>(DType::kBF16, {0x3F80, 0xC000}), (std::vector<float>{1.0f, -2.0f}));
  EXPECT_EQ(converted<float>(DType::kF32, {}), std::vector<float>{});
}

TEST(ConvertToF32, RefusesIntegers) {
  const int32_t value = 1;
  float out = 0;
  const TensorView view{&value, {1}, DType::kI32, Device{}};
  EXPECT_TRUE(test::is_error(convert_to_f32(view, {&out, 1}), ErrorCode::kInvalidArgument,
                             {"floating-point", "i32"}));
}

TEST(ConvertToF32DeathTest, WrongLengthIsOurBug) {
  const float value = 1;
  float out[2];
  const TensorView view{&value, {1}, DType::kF32, Device{}};
  EXPECT_DEATH((void)convert_to_f32(view, out), "internal error");
}

}  // namespace
}  // namespace lyre
