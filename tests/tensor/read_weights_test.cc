#include <array>
#include <string>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

namespace lyre::test {
namespace {

constexpr std::array kFloats = {DType::kF32, DType::kBF16};

class ReadWeights : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = open_safetensors(folder_.write(
        "w.safetensors",
        safetensors_bytes(R"({"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                          R"("b":{"dtype":"I8","shape":[4],"data_offsets":[8,12]}})",
                          raw_all<float>({1, 2}) + "1234")));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    archive_ = *std::move(opened);
  }
  Result<std::vector<TensorView>> read(std::initializer_list<WeightSpec> table) {
    return read_weights(archive_, std::vector<WeightSpec>(table), kFloats);
  }

  TempFolder folder_;
  TensorArchive archive_;
};

TEST_F(ReadWeights, OneViewARow) {
  const auto views = read({{"absent", {3}, false}, {"a", {1, 2}}});
  ASSERT_TRUE(views.ok()) << views.error().message;
  ASSERT_EQ(views->size(), 2u);
  EXPECT_EQ((*views)[0].data, nullptr);
  EXPECT_EQ((*views)[1].as<float>()[1], 2.0f);
}

TEST_F(ReadWeights, NamesFileTensorExpectedAndFound) {
  EXPECT_TRUE(is_error(read({{"absent", {3}}}), ErrorCode::kDataCorrupt,
                       {"w.safetensors: tensor 'absent': expected shape (3), found no such"}));
  EXPECT_TRUE(is_error(read({{"a", {2, 1}}}), ErrorCode::kDataCorrupt,
                       {"w.safetensors: tensor 'a': expected shape (2, 1), found (1, 2)"}));
  EXPECT_TRUE(is_error(read({{"a", {2}, false}}), ErrorCode::kDataCorrupt, {"found (1, 2)"}));
  EXPECT_TRUE(is_error(read({{"b", {4}}}), ErrorCode::kDataCorrupt,
                       {"w.safetensors: tensor 'b': expected dtype f32 or bf16, found i8"}));
}

}  // namespace
}  // namespace lyre::test
