#include "lyre/lm/cuda/cublas_lt.h"

#include <string>

#include <gtest/gtest.h>

namespace lyre::test {
namespace {

// Needs the library and no GPU: all names are there, and a call arrives.
TEST(CublasLt, IsLoadedWithAllThatWeCall) {
  const auto lt = cuda::CublasLt::load();
  ASSERT_TRUE(lt.ok()) << lt.error().message;
  EXPECT_EQ((*lt)->get_status_string(CUBLAS_STATUS_SUCCESS), std::string("success"));
  const auto again = cuda::CublasLt::load();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, *lt);
}

}  // namespace
}  // namespace lyre::test
