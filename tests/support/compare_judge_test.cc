#include "support/compare.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

// The judge itself: a comparer that accepts one of these makes every other test worthless.
namespace lyre::test {
namespace {

using Values = std::vector<float>;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kTolerance = 1e-5;

// (positions, heads, dims), no two elements alike.
constexpr size_t kPositions = 4, kHeads = 3, kDims = 8;
Values example() {
  Values values(kPositions * kHeads * kDims);
  for (size_t k = 0; k < values.size(); ++k) {
    values[k] = std::sin(0.7f * static_cast<float>(k) + 0.3f);
  }
  return values;
}

// Rotary embedding of pairs (i, i + dims/2), positions starting at `first`.
Values rotated(const Values& values, size_t first) {
  Values out = values;
  for (size_t position = 0; position < kPositions; ++position) {
    for (size_t head = 0; head < kHeads; ++head) {
      for (size_t i = 0; i < kDims / 2; ++i) {
        const double angle = static_cast<double>(position + first) *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / kDims);
        const size_t a = (position * kHeads + head) * kDims + i, b = a + kDims / 2;
        const auto x = static_cast<double>(values[a]), y = static_cast<double>(values[b]);
        out[a] = static_cast<float>(x * std::cos(angle) - y * std::sin(angle));
        out[b] = static_cast<float>(x * std::sin(angle) + y * std::cos(angle));
      }
    }
  }
  return out;
}

// One element of either side replaced, at the ends and in the middle.
void expect_rejects(float value) {
  const Values good = example();
  for (const size_t at : {size_t{0}, good.size() / 2, good.size() - 1}) {
    Values bad = good;
    bad[at] = value;
    EXPECT_FALSE(all_close(bad, good, kTolerance)) << value << " at " << at;
    EXPECT_FALSE(all_close(good, bad, kTolerance)) << value << " expected at " << at;
  }
}

TEST(Judge, AcceptsEqualAndNearlyEqual) {
  const Values good = example();
  EXPECT_TRUE(all_close(good, good, 0));
  Values near = good;
  for (float& value : near) value += 1e-7f;
  EXPECT_TRUE(all_close(near, good, kTolerance));
  EXPECT_TRUE(all_close(Values{0, 0}, Values{0, 0}, 0));
}

TEST(Judge, RejectsNan) {
  expect_rejects(kNan);
  const Values all(8, kNan);
  EXPECT_FALSE(all_close(all, all, kTolerance));  // NaN is never right, not even where expected
}

TEST(Judge, RejectsInfinity) {
  expect_rejects(kInfinity);
  expect_rejects(-kInfinity);
  const Values infinite = {1, kInfinity};
  EXPECT_FALSE(all_close(infinite, infinite, kTolerance));
}

// Comparers that forget the absolute value accept errors below the expected value.
TEST(Judge, RejectsErrorsOfEitherSign) {
  expect_rejects(-1e9f);
  expect_rejects(1e9f);
  expect_rejects(std::numeric_limits<float>::lowest());
  EXPECT_FALSE(all_close(Values{-2, -2}, Values{-1, -1}, kTolerance));
  EXPECT_FALSE(all_close(Values{-1, -1}, Values{-2, -2}, kTolerance));
  EXPECT_FALSE(all_close(Values{1, -1}, Values{-1, 1}, kTolerance));
}

TEST(Judge, RejectsWrongLengths) {
  const Values good = example();
  Values shorter = good, longer = good;
  shorter.pop_back();
  longer.push_back(0);
  EXPECT_FALSE(all_close(shorter, good, kTolerance));
  EXPECT_FALSE(all_close(longer, good, kTolerance));
  EXPECT_FALSE(all_close(Values{}, good, kTolerance));
  EXPECT_FALSE(all_close(good, Values{}, kTolerance));
}

TEST(Judge, RejectsZeroElements) { EXPECT_FALSE(all_close(Values{}, Values{}, kTolerance)); }

TEST(Judge, RejectsSwappedAxes) {
  const Values good = example();
  Values swapped;
  for (size_t head = 0; head < kHeads; ++head) {
    for (size_t position = 0; position < kPositions; ++position) {
      for (size_t i = 0; i < kDims; ++i) {
        swapped.push_back(good[(position * kHeads + head) * kDims + i]);
      }
    }
  }
  EXPECT_FALSE(all_close(swapped, good, kTolerance));
}

TEST(Judge, RejectsRopeOffByOne) {
  const Values good = rotated(example(), 0);
  EXPECT_TRUE(all_close(rotated(example(), 0), good, kTolerance));
  EXPECT_FALSE(all_close(rotated(example(), 1), good, kTolerance));
}

TEST(Judge, RejectsOneWrongElementOfMany) {
  Values good(100'000, 1.0f);
  Values bad = good;
  bad[77'777] += 1e-3f;
  EXPECT_FALSE(all_close(bad, good, kTolerance));
}

TEST(Judge, RejectsWhereNothingIsExpectedButSomethingCame) {
  EXPECT_FALSE(all_close(Values{0, 1e-3f}, Values{0, 0}, kTolerance));
}

TEST(Judge, RejectsAToleranceThatIsNone) {
  const Values good = example();
  EXPECT_FALSE(all_close(good, good, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(all_close(good, good, std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(all_close(good, good, -1));
}

TEST(Judge, NamesTheWorstElement) {
  const Values good = example();
  Values bad = good;
  bad[5] += 0.5f;
  bad[9] -= 0.75f;
  const Difference d = difference(bad, good);
  EXPECT_EQ(d.worst_index, 9);
  EXPECT_NEAR(d.max_abs, 0.75, 1e-6);
  bad[2] = kNan;
  bad[7] = kInfinity;
  EXPECT_EQ(difference(bad, good).worst_index, 2);
}

}  // namespace
}  // namespace lyre::test
