#include "lyre/server/warmup_key.h"

#include <gtest/gtest.h>

#include <set>

namespace lyre::server {
namespace {

TEST(WarmupKey, IsLongAndNewEachTime) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.insert(new_warmup_key());
  EXPECT_EQ(keys.size(), 100u);
  for (const std::string& key : keys) {
    EXPECT_EQ(key.size(), 32u);
    EXPECT_EQ(key.find_first_not_of("0123456789abcdef"), key.npos) << key;
  }
}

TEST(WarmupKey, OnlyTheSameIsTheSame) {
  const std::string key = new_warmup_key();
  EXPECT_TRUE(same_key(key, key));
  EXPECT_FALSE(same_key("", key));
  EXPECT_FALSE(same_key(key + "0", key));
  EXPECT_FALSE(same_key(key.substr(1), key));
  for (size_t i = 0; i < key.size(); ++i) {
    std::string other = key;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_FALSE(same_key(other, key)) << i;
  }
}

}  // namespace
}  // namespace lyre::server
