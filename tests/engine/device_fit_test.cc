#include "lyre/engine/device_fit.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

/// The shape of a Llama of 3 B parameters with Orpheus' vocabulary.
LanguageModelReport llama_3b() {
  LanguageModelReport model;
  model.layers = 28;
  model.hidden = 3072;
  model.heads = 24;
  model.kv_heads = 8;
  model.head_dim = 128;
  model.ffn = 8192;
  model.vocabulary = 156'940;
  model.tied_embeddings = true;
  return model;
}

constexpr int64_t kGpuBytes = 80'000'000'000;

TEST(DeviceFit, ReckonsTheBytesOfBothFormats) {
  const auto fits = device_fits(llama_3b(), nullptr, kGpuBytes);
  ASSERT_EQ(fits.size(), 4u);
  EXPECT_FALSE(fits[0].fp8_weights || fits[0].fp8_kv);
  EXPECT_TRUE(fits[3].fp8_weights && fits[3].fp8_kv);
  // 28 layers, 8 heads, keys and values, 128 elements of 2 bytes; or of one, and 8 scales of 2.
  EXPECT_EQ(fits[0].kv_bytes_per_token, 28 * 8 * 2 * 256);
  EXPECT_EQ(fits[1].kv_bytes_per_token, 28 * 8 * 2 * 144);
  // 2.82 G elements in the layers, 0.48 G in the embedding, which stays bf16.
  constexpr int64_t kLayers = 28 * (5120LL * 3072 + 3072LL * 3072 + 3 * 8192LL * 3072),
                    kEmbedding = 156'940LL * 3072;
  const auto near = [](int64_t bytes, int64_t expected) {
    return bytes >= expected && bytes < expected + expected / 500;  // norms and scales
  };
  EXPECT_TRUE(near(fits[0].weight_bytes, 2 * kLayers + 2 * kEmbedding)) << fits[0].weight_bytes;
  EXPECT_TRUE(near(fits[2].weight_bytes, kLayers + 2 * kEmbedding)) << fits[2].weight_bytes;
}

TEST(DeviceFit, WhatFitsFillsTheRestAndNoMore) {
  CodecReport codec;
  codec.weight_bytes = 80'000'000;
  codec.stream_state_bytes = 1'000'000;
  for (const DeviceFit& fit : device_fits(llama_3b(), &codec, kGpuBytes)) {
    const int64_t rest = kGpuBytes - kDeviceReserveBytes - codec.weight_bytes - fit.weight_bytes;
    EXPECT_LE(fit.kv_tokens * fit.kv_bytes_per_token, rest);
    EXPECT_GT((fit.kv_tokens + 64) * fit.kv_bytes_per_token, rest);
    const int64_t one = 4096 * fit.kv_bytes_per_token + codec.stream_state_bytes;
    EXPECT_EQ(fit.long_sequences, rest / one);
    // Whole pages: 1,000 tokens take 1,024.
    EXPECT_EQ(fit.short_sequences,
              rest / (1024 * fit.kv_bytes_per_token + codec.stream_state_bytes));
  }
}

TEST(DeviceFit, TooSmallAGpuHoldsNothing) {
  for (const DeviceFit& fit : device_fits(llama_3b(), nullptr, 2'000'000'000)) {
    EXPECT_EQ(fit.kv_tokens, 0);
    EXPECT_EQ(fit.long_sequences, 0);
    EXPECT_EQ(fit.short_sequences, 0);
  }
}

}  // namespace
}  // namespace lyre
