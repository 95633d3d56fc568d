#include "lyre/tensor/content_hash.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace lyre {
namespace {

std::vector<std::byte> pattern(size_t bytes) {
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 2654435761u >> 13);
  return data;
}

TEST(ContentHash, IsTheSameForAnyNumberOfThreadsAndAlone) {
  constexpr size_t kBlock = size_t{4} << 20;
  const std::vector<std::byte> data = pattern(2 * kBlock + 17);
  const std::span<const std::byte> all(data);
  const std::vector<std::span<const std::byte>> ranges = {
      all, {}, all.first(1), all.first(kBlock), all.first(kBlock + 1), all.subspan(1)};
  ThreadPool one(1), three(3);
  const std::vector<ContentHash> hashes = hash_contents(ranges, one);
  EXPECT_EQ(hashes, hash_contents(ranges, three));
  ASSERT_EQ(hashes.size(), ranges.size());
  for (size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_EQ(hashes[i], hash_content(ranges[i])) << i;
    for (size_t j = 0; j < i; ++j) EXPECT_NE(hashes[i].to_string(), hashes[j].to_string());
  }
}

TEST(ContentHash, SeesEveryBlock) {
  std::vector<std::byte> data = pattern((size_t{8} << 20) + 100);
  const ContentHash before = hash_content(data);
  for (const size_t at : {size_t{0}, (size_t{4} << 20) - 1, size_t{4} << 20, data.size() - 1}) {
    data[at] ^= std::byte{1};
    EXPECT_FALSE(hash_content(data) == before) << at;
    data[at] ^= std::byte{1};
  }
  EXPECT_EQ(hash_content(data), before);
}

TEST(ContentHash, GoesThroughText) {
  const ContentHash hash = hash_text("lyre");
  ContentHash read;
  ASSERT_TRUE(parse_content_hash(hash.to_string(), read));
  EXPECT_EQ(read, hash);
  EXPECT_EQ(hash.to_string().size(), 32u);
  EXPECT_TRUE(parse_content_hash("0123456789abcdef00000000000000ff", read));
  EXPECT_EQ(read.high, 0x0123456789abcdefu);
  EXPECT_EQ(read.low, 0xffu);
  for (const char* bad :
       {"", "0123", "0123456789ABCDEF00000000000000ff", "0123456789abcdef00000000000000fg",
        "0123456789abcdef00000000000000ff0"}) {
    EXPECT_FALSE(parse_content_hash(bad, read)) << bad;
  }
}

}  // namespace
}  // namespace lyre
