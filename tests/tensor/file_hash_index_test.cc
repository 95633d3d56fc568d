#include "lyre/tensor/file_hash_index.h"

#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace lyre {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class FileHashIndexTest : public testing::Test {
 protected:
  FileIdentity file() const {
    return {.device = 1,
            .inode = 2,
            .size_bytes = 3,
            .modified_ns = 1000 * kSecond + 5,
            .changed_ns = 1001 * kSecond + 7};
  }
  std::filesystem::path only_entry() const {
    return std::filesystem::directory_iterator(folder_.path())->path();
  }

  test::TempFolder folder_;
  const FileHashIndex index_{folder_.path()};
  const ContentHash hash_ = hash_text("contents");
  const int64_t long_after_ = 2000 * kSecond;
};

TEST_F(FileHashIndexTest, RemembersAFileThatIsNotChanged) {
  EXPECT_EQ(index_.find(file()), std::nullopt);
  index_.remember(file(), hash_, long_after_);
  EXPECT_EQ(index_.find(file()), hash_);
  for (int field = 0; field < 5; ++field) {
    FileIdentity other = file();
    if (field == 0) ++other.device;
    if (field == 1) ++other.inode;
    if (field == 2) ++other.size_bytes;
    if (field == 3) ++other.modified_ns;
    if (field == 4) ++other.changed_ns;
    EXPECT_EQ(index_.find(other), std::nullopt) << field;
  }
}

TEST_F(FileHashIndexTest, WhatWasWrittenAMomentAgoIsNotTrusted) {
  const FileIdentity changed = file();
  index_.remember(changed, hash_, changed.changed_ns + FileHashIndex::kRacyNs - 1);
  EXPECT_EQ(index_.find(changed), std::nullopt);
  index_.remember(changed, hash_, changed.changed_ns + FileHashIndex::kRacyNs);
  EXPECT_EQ(index_.find(changed), hash_);

  FileIdentity modified = file();  // a time stamp of the future
  modified.modified_ns = long_after_ - kSecond;
  index_.remember(modified, hash_, long_after_);
  EXPECT_EQ(index_.find(modified), std::nullopt);
}

TEST_F(FileHashIndexTest, TimesOfWholeSecondsProveNothing) {
  FileIdentity image = file();
  image.changed_ns = 1001 * kSecond;
  index_.remember(image, hash_, long_after_);
  EXPECT_EQ(index_.find(image), std::nullopt);
}

TEST_F(FileHashIndexTest, ADamagedEntryIsNone) {
  index_.remember(file(), hash_, long_after_);
  std::string text;
  {
    std::ifstream stream(only_entry(), std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(stream), {});
  }
  const std::string name = only_entry().filename().string();
  for (size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    folder_.write(name, damaged);
    EXPECT_EQ(index_.find(file()), std::nullopt) << at;
    folder_.write(name, text.substr(0, at));
    EXPECT_EQ(index_.find(file()), std::nullopt) << at;
  }
  folder_.write(name, text + "x");
  EXPECT_EQ(index_.find(file()), std::nullopt);
  index_.remember(file(), hash_, long_after_);
  EXPECT_EQ(index_.find(file()), hash_);
}

TEST_F(FileHashIndexTest, AFolderThatCannotBeWrittenRemembersNothing) {
  const FileHashIndex nowhere("/proc/self/lyre");
  nowhere.remember(file(), hash_, long_after_);
  EXPECT_EQ(nowhere.find(file()), std::nullopt);
}

}  // namespace
}  // namespace lyre
