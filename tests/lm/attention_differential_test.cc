#include "lyre/lm/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "lm/random_model.h"
#include "lm/simd_levels.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

using cpu::AttentionTask;
using cpu::KvGeometry;
using cpu::KvType;
using cpu::SimdLevel;

constexpr int kLengths[] = {1, 2, 17, 63, 64, 65, 127, 128, 129, 200};
constexpr int kHeadDims[] = {2, 6, 16, 24, 64, 80, 128};

// Against double precision over the unrounded keys and values; relative to the root mean square of
// the result. fp16 keeps 11 bits of each key and value.
double tolerance(KvType type) { return type == KvType::kF32 ? 1e-5 : 4e-3; }

// One head of a page pool whose pages lie in another order than the positions, full of NaN where
// nothing was stored.
class TestCache {
 public:
  TestCache(KvType type, int head_dim, int length)
      : geometry_{type, head_dim},
        keys_(normal_values(static_cast<size_t>(head_dim * length), 21)),
        values_(normal_values(static_cast<size_t>(head_dim * length), 22)) {
    const int pages = SequenceTable::pages_for(length);
    for (int page = pages; page > 0; --page) pages_.push_back(page);  // backwards, page 0 unused
    pool_.assign(static_cast<size_t>((pages + 1) * geometry_.bytes()), std::byte{0xFF});
    // What pads a row of values to whole vectors is zero from the pool's birth on.
    const KvGeometry padded = {type, static_cast<int>(geometry_.width())};
    const std::vector<float> zeros(static_cast<size_t>(geometry_.width()), 0.0f);
    const int64_t values = geometry_.values_offset_bytes() - padded.values_offset_bytes();
    for (int j = 0; j < length; ++j) {
      std::byte* head = page_of(j);
      const int slot = j % KvGeometry::kPageTokens;
      cpu::store_value(padded, zeros.data(), slot, head + values);
      const auto at = static_cast<size_t>(j * head_dim);
      cpu::store_key(geometry_, &keys_[at], slot, head);
      cpu::store_value(geometry_, &values_[at], slot, head);
    }
  }

  // queries (heads, D) -> (heads, D)
  std::vector<float> attend(const std::vector<float>& queries, int length) const {
    const auto positions = static_cast<int64_t>(pages_.size()) * KvGeometry::kPageTokens;
    std::vector<float> scores(static_cast<size_t>(AttentionTask::kHeadsAtOnce * positions));
    std::vector<float> sums(static_cast<size_t>(AttentionTask::kHeadsAtOnce * geometry_.width()));
    std::vector<float> out(queries.size());
    const int heads = static_cast<int>(queries.size()) / geometry_.head_dim;
    cpu::attend(geometry_, {queries.data(), heads, pool_.data(), geometry_.bytes(), pages_, length},
                {scores.data(), positions, sums.data()}, out.data());
    return out;
  }

  std::vector<float> expected(const std::vector<float>& query, int length) const {
    const auto dim = static_cast<size_t>(geometry_.head_dim);
    std::vector<double> weights;
    double sum = 0;
    for (size_t j = 0; j < static_cast<size_t>(length); ++j) {
      double score = 0;
      for (size_t i = 0; i < dim; ++i) score += double{query[i]} * double{keys_[j * dim + i]};
      sum += weights.emplace_back(std::exp(score));
    }
    std::vector<float> out(dim);
    for (size_t i = 0; i < dim; ++i) {
      double value = 0;
      for (size_t j = 0; j < weights.size(); ++j)
        value += weights[j] / sum * double{values_[j * dim + i]};
      out[i] = static_cast<float>(value);
    }
    return out;
  }

 private:
  std::byte* page_of(int position) {
    const int page = pages_[static_cast<size_t>(position / KvGeometry::kPageTokens)];
    return pool_.data() + page * geometry_.bytes();
  }

  KvGeometry geometry_;
  std::vector<float> keys_, values_;  // (length, D)
  std::vector<int32_t> pages_;
  std::vector<std::byte> pool_;
};

class Attention : public testing::TestWithParam<std::tuple<KvType, SimdLevel>> {
 protected:
  SimdScope scope_{std::get<1>(GetParam())};
};

TEST_P(Attention, EqualsTheObviousLoop) {
  const KvType type = std::get<0>(GetParam());
  for (const int dim : kHeadDims) {
    const std::vector<float> query =
        normal_values(static_cast<size_t>(dim), 23, 1.5f / std::sqrt(static_cast<float>(dim)));
    for (const int length : kLengths) {
      const TestCache cache(type, dim, length);
      EXPECT_TRUE(
          all_close(cache.attend(query, length), cache.expected(query, length), tolerance(type)))
          << "head_dim " << dim << ", length " << length;
    }
  }
}

// A longer cache, as when a whole prompt was stored before its first token attends.
TEST_P(Attention, WhatLiesBeyondTheLengthChangesNoBit) {
  const KvType type = std::get<0>(GetParam());
  const std::vector<float> query = normal_values(24, 24, 0.3f);
  const TestCache whole(type, 24, 200);
  for (const int length : {1, 5, 63, 64, 65, 130}) {
    const std::vector<float> out = whole.attend(query, length);
    EXPECT_TRUE(all_close(out, whole.expected(query, length), tolerance(type)));
    EXPECT_EQ(out, whole.attend(query, length));
  }
}

// Heads that share keys and values, alone and together.
TEST_P(Attention, HeadsTogetherAreTheSameBitsAsAlone) {
  const TestCache cache(std::get<0>(GetParam()), 24, 150);
  for (const size_t heads : {2u, 3u, 4u, 5u, 8u, 11u}) {
    const std::vector<float> queries = normal_values(heads * 24, 26, 0.3f);
    const std::vector<float> together = cache.attend(queries, 150);
    for (size_t h = 0; h < heads; ++h) {
      const auto first = static_cast<std::ptrdiff_t>(h * 24);
      const std::vector<float> query(queries.begin() + first, queries.begin() + first + 24);
      const std::vector<float> out(together.begin() + first, together.begin() + first + 24);
      EXPECT_EQ(cache.attend(query, 150), out) << "head " << h << " of " << heads;
    }
  }
}

TEST_P(Attention, ScoresFarApartDoNotOverflow) {
  const TestCache cache(std::get<0>(GetParam()), 16, 70);
  const std::vector<float> query = normal_values(16, 25, 60.0f);
  for (const float value : cache.attend(query, 70)) EXPECT_TRUE(std::isfinite(value));
}

std::string test_name(const testing::TestParamInfo<Attention::ParamType>& info) {
  const auto [type, level] = info.param;
  return std::string(type == KvType::kF16 ? "f16_" : "f32_") + simd_level_name(level);
}

INSTANTIATE_TEST_SUITE_P(All, Attention,
                         testing::Combine(testing::Values(KvType::kF16, KvType::kF32),
                                          testing::ValuesIn(kSimdLevels)),
                         test_name);

}  // namespace
}  // namespace lyre::test
