#include "lyre/server/api_keys.h"

#include <gtest/gtest.h>

#include <string>

#include "support/temp_folder.h"

namespace lyre::server {
namespace {

std::string error_of(std::string_view text) {
  const auto keys = ApiKeys::parse(text, "keys");
  return keys ? "none" : keys.error().message;
}

TEST(ApiKeys, NamesCommentsAndBlankLines) {
  const auto keys = ApiKeys::parse(
      "# ours\n\n  anna  key-of-anna # since May\r\nkey-of-somebody\nanna second-of-anna", "keys");
  ASSERT_TRUE(keys.ok()) << keys.error().message;
  EXPECT_EQ(keys->size(), 3u);
  EXPECT_EQ(keys->name_of("key-of-anna"), "anna");
  EXPECT_EQ(keys->name_of("second-of-anna"), "anna");
  EXPECT_EQ(keys->name_of("key-of-somebody"), "key2");
  for (const char* wrong : {"", "anna", "key-of-ann", "key-of-anna ", "KEY-OF-ANNA"}) {
    EXPECT_EQ(keys->name_of(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(keys->name_of(std::string(100'000, 'x')), std::nullopt);
}

TEST(ApiKeys, ErrorsNameTheLineAndNeverTheKey) {
  EXPECT_EQ(error_of("\na b c\n"), "keys:2: expected NAME KEY or KEY, found more words");
  EXPECT_EQ(error_of("secret"),
            "keys:1: expected a key of 8 to 512 ASCII characters, found one of 6 bytes");
  EXPECT_EQ(error_of("a long-secret\nb long-secret\n"), "keys:2: the key is already that of 'a'");
  EXPECT_EQ(error_of("long-secr\xc3\xa9t").find("secr"), std::string::npos);
  EXPECT_EQ(error_of("# nothing\n"), "keys: expected at least one key, found none");
}

TEST(ApiKeys, AFileIsReadAndItsPermissionsAreSeen) {
  const lyre::test::TempFolder folder;
  const auto file = folder.write("keys", "anna key-of-anna\n");
  const auto keys = ApiKeys::read(file);
  ASSERT_TRUE(keys.ok()) << keys.error().message;
  EXPECT_EQ(keys->name_of("key-of-anna"), "anna");
  using std::filesystem::perms;
  std::filesystem::permissions(file, perms::owner_read | perms::others_read);
  EXPECT_TRUE(readable_by_everybody(file));
  std::filesystem::permissions(file, perms::owner_read);
  EXPECT_FALSE(readable_by_everybody(file));
  EXPECT_FALSE(ApiKeys::read(folder.path() / "none").ok());
}

}  // namespace
}  // namespace lyre::server
