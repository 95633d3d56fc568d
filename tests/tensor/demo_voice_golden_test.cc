#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/paths.h"

// Sums that numpy gives for the files of the demo voice (torch wrote the codec, numpy the language
// model): every element counts, and the second sum sees an exchange of elements.
namespace lyre::test {
namespace {

struct Sums {
  double plain = 0, weighted = 0;  // weighted: element k times k mod 1013
};

Sums sums_of(const TensorArchive& archive, std::string_view name) {
  const TensorView* view = archive.find(name);
  EXPECT_NE(view, nullptr) << name;
  if (view == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(view->shape.elements()));
  EXPECT_TRUE(convert_to_f32(*view, values).ok());
  Sums sums;
  for (size_t k = 0; k < values.size(); ++k) {
    sums.plain += static_cast<double>(values[k]);
    sums.weighted += static_cast<double>(values[k]) * static_cast<double>(k % 1013);
  }
  return sums;
}

void expect_sums(const TensorArchive& archive, std::string_view name, Sums expected) {
  // Both are sums in double of the same floats in another order.
  const Sums sums = sums_of(archive, name);
  EXPECT_NEAR(sums.plain, expected.plain, 1e-7 * std::abs(expected.plain)) << name;
  EXPECT_NEAR(sums.weighted, expected.weighted, 1e-7 * std::abs(expected.weighted)) << name;
}

TEST(DemoVoice, Codec) {
  const auto archive = open_torch_checkpoint(demo_voice() / "codec/pytorch_model.bin");
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->tensors().size(), 269u);
  for (const auto& [name, view] : archive->tensors()) EXPECT_EQ(view.dtype, DType::kF16) << name;
  expect_sums(*archive, "decoder.model.0.bias", {12.720479011535645, 1692.0526542663574});
  expect_sums(*archive, "decoder.model.3.block.3.block.1.parametrizations.weight.original1",
              {-7.5760073661804199, -3271.0365171432495});
  expect_sums(*archive, "decoder.model.4.block.5.block.1.parametrizations.weight.original0",
              {28.7484130859375, 796.29931640625});
  expect_sums(*archive, "encoder.block.1.block.0.block.1.parametrizations.weight.original0",
              {14.57568359375, 161.5322265625});
  expect_sums(*archive, "encoder.block.2.block.2.block.1.parametrizations.weight.original1",
              {4.0081405639648438, 899.90645408630371});
  expect_sums(*archive, "encoder.block.4.block.1.block.0.alpha", {185.87255859375, 17792.7421875});
}

TEST(DemoVoice, LanguageModel) {
  const auto archive = open_safetensors_folder(demo_voice() / "lm");
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  EXPECT_EQ(archive->tensors().size(), 92u);
  for (const auto& [name, view] : archive->tensors()) EXPECT_EQ(view.dtype, DType::kBF16) << name;
  expect_sums(*archive, "model.embed_tokens.weight", {1325.7631598599255, 681883.1934813261});
  expect_sums(*archive, "model.layers.0.input_layernorm.weight", {94.98046875, 12162.349609375});
  expect_sums(*archive, "model.layers.1.self_attn.o_proj.weight",
              {7.9912362731993198, 355.47834840789437});
  expect_sums(*archive, "model.layers.3.mlp.up_proj.weight",
              {-47.038662452949211, -688.32179417531006});
  expect_sums(*archive, "model.layers.5.input_layernorm.weight", {169.87109375, 21697.67578125});
  expect_sums(*archive, "model.layers.6.self_attn.o_proj.weight",
              {5.0769707411527634, 75.74180568754673});
  expect_sums(*archive, "model.layers.8.mlp.up_proj.weight",
              {31.983562760055065, 3763.7516080066562});
  expect_sums(*archive, "model.norm.weight", {470.1484375, 59743.8125});
}

}  // namespace
}  // namespace lyre::test
