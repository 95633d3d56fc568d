#include "lyre/base/result.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace lyre {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error{ErrorCode::kInvalidArgument, "odd"};
  return value / 2;
}

Result<int> quarter(int value) {
  LYRE_ASSIGN_OR_RETURN(const int once, half(value));
  int twice = 0;
  LYRE_ASSIGN_OR_RETURN(twice, half(once));
  return twice;
}

Status check_even(int value) {
  LYRE_RETURN_IF_ERROR(half(value));
  return ok_status();
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half(6), bad = half(7);
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(*good, 3);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bad.error().message, "odd");
}

TEST(Result, MacrosPassErrorsOn) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(quarter(3).error().message, "odd");
  EXPECT_TRUE(check_even(2).ok());
  EXPECT_EQ(check_even(1).error().message, "odd");
}

TEST(Result, CarriesMoveOnlyValues) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(5); };
  const auto through = [&]() -> Result<std::unique_ptr<int>> {
    LYRE_ASSIGN_OR_RETURN(std::unique_ptr<int> value, make());
    ++*value;
    return value;
  };
  Result<std::unique_ptr<int>> result = through();
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 6);
}

TEST(ErrorCode, EachHasItsOwnName) {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    names.insert(error_code_name(static_cast<ErrorCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(ErrorCode::kInternal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_STREQ(error_code_name(ErrorCode::kDataCorrupt), "data_corrupt");
}

}  // namespace
}  // namespace lyre
