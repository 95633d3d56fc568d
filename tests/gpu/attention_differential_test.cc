// Queries, keys and values from the projection into pages, and attention over them, against loops
// in double.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "gpu/device_values.h"
#include "gpu/need_gpu.h"
#include "lyre/lm/cuda/attention.h"
#include "lyre/lm/cuda/rows.h"
#include "support/compare.h"

namespace lyre::test {
namespace {

using cuda::DeviceRow;

struct Shape {
  int heads, kv_heads, head_dim;
  bool fp8;
};

std::string name_of(const testing::TestParamInfo<Shape>& info) {
  const Shape& s = info.param;
  return std::to_string(s.heads) + "_" + std::to_string(s.kv_heads) + "_" +
         std::to_string(s.head_dim) + (s.fp8 ? "_fp8" : "_bf16");
}

class Attention : public GpuTest, public testing::WithParamInterface<Shape> {};

TEST_P(Attention, OverPages) {
  const Shape shape = GetParam();
  constexpr int kSequences = 5, kMaxPages = 4, kPage = cuda::kKvPageTokens;
  constexpr int kLengths[kSequences] = {1, 63, 64, 65, 200};
  const int dim = shape.head_dim, half = dim / 2;
  const int width = (shape.heads + 2 * shape.kv_heads) * dim;
  // Pages out of order, some that nobody has.
  std::vector<int32_t> pages(kSequences * kMaxPages);
  for (size_t i = 0; i < pages.size(); ++i) {
    pages[i] = static_cast<int32_t>((i * 7 + 3) % (pages.size() + 3));
  }
  const int64_t pool = static_cast<int64_t>(pages.size() + 3) * 2 * shape.kv_heads * kPage * dim;
  const cuda::DeviceMemory data =
      on_device(std::vector<uint8_t>(static_cast<size_t>(pool * (shape.fp8 ? 1 : 2)), 0xFF));
  const cuda::DeviceMemory scales =
      on_device(std::vector<uint16_t>(static_cast<size_t>(pool / cuda::kKvGroup), 0xFFFF));
  const cuda::DeviceMemory device_pages = on_device(pages);
  cuda::KvLayer kv;
  kv.data = data.data();
  kv.scales = shape.fp8 ? scales.data() : nullptr;
  kv.pages = device_pages.as<int32_t>();
  kv.max_pages = kMaxPages;
  kv.kv_heads = shape.kv_heads;
  kv.head_dim = dim;

  // Every token of every sequence is a row, in an order that mixes them, with padding between.
  std::vector<DeviceRow> rows;
  for (int position = 0; position < 200; ++position) {
    for (int s = 0; s < kSequences; ++s) {
      if (position < kLengths[s]) rows.push_back({s, position, 0});
    }
    if (position % 50 == 0) rows.push_back({-1, 0, 0});
  }
  const auto count = static_cast<int>(rows.size());
  std::vector<float> cosines, sines;
  for (int position = 0; position < 256; ++position) {
    for (int i = 0; i < half; ++i) {
      const double angle = position / std::pow(10000.0, static_cast<double>(i) / half);
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  const std::vector<float> products = random_values(int64_t{count} * width, 1.0f, 1);
  const cuda::DeviceMemory device_products = on_device(products), device_rows = on_device(rows),
                           device_cosines = on_device(cosines), device_sines = on_device(sines);
  const cuda::DeviceMemory queries = on_device(
      std::vector<float>(static_cast<size_t>(count) * static_cast<size_t>(shape.heads * dim)));
  const int pitch = cuda::round_up(shape.heads * dim, cuda::kPadColumns);
  ASSERT_TRUE(cuda::prepare_attention().ok());
  cuda::Queue queue = test_queue();
  cuda::distribute_qkv(queue, device_products.as<float>(), width, count,
                       {device_rows.as<DeviceRow>(), device_cosines.as<float>(),
                        device_sines.as<float>(), queries.as<float>(), shape.heads, kv});

  // What it should be. Products are in the order of stored_dim(), except values.
  const auto rotated = [&](int row, int head) {
    std::vector<double> out(static_cast<size_t>(dim));
    const float* from = &products[static_cast<size_t>(row * width + head * dim)];
    for (int at = 0; at < dim; ++at) {
      out[static_cast<size_t>(cuda::stored_dim(at, dim))] = static_cast<double>(from[at]);
    }
    const int position = rows[static_cast<size_t>(row)].position;
    for (int i = 0; i < half; ++i) {
      const auto low = static_cast<size_t>(i), high = static_cast<size_t>(i + half);
      const auto angle = static_cast<size_t>(position * half + i);
      const double c = static_cast<double>(cosines[angle]), s = static_cast<double>(sines[angle]);
      const double a = out[low], b = out[high];
      out[low] = a * c - b * s;
      out[high] = b * c + a * s;
    }
    return out;
  };
  std::vector<int> row_of(kSequences * 256, -1);
  for (int row = 0; row < count; ++row) {
    const DeviceRow& r = rows[static_cast<size_t>(row)];
    if (r.sequence >= 0) row_of[static_cast<size_t>(r.sequence * 256 + r.position)] = row;
  }
  std::vector<std::vector<double>> keys(static_cast<size_t>(count * shape.kv_heads));
  for (int row = 0; row < count; ++row) {
    for (int head = 0; head < shape.kv_heads; ++head) {
      keys[static_cast<size_t>(row * shape.kv_heads + head)] = rotated(row, shape.heads + head);
    }
  }
  std::vector<float> expected;
  for (int row = 0; row < count; ++row) {
    const DeviceRow& r = rows[static_cast<size_t>(row)];
    for (int head = 0; head < shape.heads; ++head) {
      std::vector<double> sum(static_cast<size_t>(dim), 0.0);
      double total = 0;
      const std::vector<double> query = rotated(row, head);
      const int kv_head = head / (shape.heads / shape.kv_heads);
      for (int token = 0; r.sequence >= 0 && token <= r.position; ++token) {
        const int other = row_of[static_cast<size_t>(r.sequence * 256 + token)];
        const std::vector<double>& key =
            keys[static_cast<size_t>(other * shape.kv_heads + kv_head)];
        double score = 0;
        for (size_t d = 0; d < key.size(); ++d) score += query[d] * key[d];
        const double weight = std::exp(score / std::sqrt(static_cast<double>(dim)));
        const float* value = &products[static_cast<size_t>(
            other * width + (shape.heads + shape.kv_heads + kv_head) * dim)];
        for (size_t d = 0; d < sum.size(); ++d) sum[d] += weight * static_cast<double>(value[d]);
        total += weight;
      }
      for (const double value : sum) {
        expected.push_back(total > 0 ? static_cast<float>(value / total) : 0.0f);
      }
    }
  }
  // Keys and values rounded to bf16 (2^-9) or e4m3 (2^-5 and a scale of 2^-9), scores of up to ten.
  const double tolerance = shape.fp8 ? 0.5 : 0.06;
  const double least_snr_db = shape.fp8 ? 22 : 44;
  for (const int splits : {1, 2, 4, 8}) {
    SCOPED_TRACE(std::to_string(splits) + " splits");
    const cuda::DeviceMemory out =
        on_device(std::vector<uint16_t>(static_cast<size_t>(count * pitch), 0x7FC0));
    cuda::attend(queue,
                 {device_rows.as<DeviceRow>(), count, queries.as<float>(), shape.heads, kv,
                  out.data(), pitch, splits},
                 100);
    ASSERT_TRUE(queue.finish().ok()) << queue.status().error().message;
    const auto all = from_device<uint16_t>(out, int64_t{count} * pitch);
    std::vector<float> actual;
    for (int row = 0; row < count; ++row) {
      for (int i = 0; i < shape.heads * dim; ++i) {
        actual.push_back(from_bf16(all[static_cast<size_t>(row * pitch + i)]));
      }
    }
    EXPECT_TRUE(all_close(actual, expected, tolerance));
    EXPECT_GT(difference(actual, expected).snr_db, least_snr_db);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(Shape{24, 8, 128, false}, Shape{24, 8, 128, true},
                                         Shape{4, 2, 64, false}, Shape{8, 8, 64, true},
                                         Shape{8, 2, 128, false}, Shape{5, 1, 64, false},
                                         Shape{2, 1, 32, false}, Shape{2, 2, 256, true}),
                         name_of);

}  // namespace
}  // namespace lyre::test
