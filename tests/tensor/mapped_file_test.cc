#include "lyre/tensor/mapped_file.h"

#include <sys/stat.h>

#include <utility>

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temp_folder.h"

namespace lyre::test {
namespace {

TEST(MappedFile, WholeContents) {
  const TempFolder folder;
  const auto file = MappedFile::open(folder.write("f", "contents"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->text(), "contents");
}

TEST(MappedFile, EmptyFileIsAnEmptySpan) {
  const TempFolder folder;
  const auto file = MappedFile::open(folder.write("f", ""));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->bytes().empty());
}

TEST(MappedFile, MovesItsMapping) {
  const TempFolder folder;
  auto first = MappedFile::open(folder.write("a", "first"));
  auto second = MappedFile::open(folder.write("b", "second"));
  ASSERT_TRUE(first.ok() && second.ok());
  MappedFile moved = *std::move(first);
  EXPECT_EQ(moved.text(), "first");
  EXPECT_TRUE(first->bytes().empty());
  moved = *std::move(second);
  EXPECT_EQ(moved.text(), "second");
}

TEST(MappedFile, StaysAfterTheNameIsGone) {
  const TempFolder folder;
  const auto path = folder.write("f", "contents");
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::remove(path);
  EXPECT_EQ(file->text(), "contents");
}

TEST(MappedFile, NamesWhatCannotBeRead) {
  const TempFolder folder;
  const auto path = folder.path() / "f";
  EXPECT_TRUE(is_error(MappedFile::open(path), ErrorCode::kNotFound, {path.string(), "No such"}));
  EXPECT_TRUE(is_error(MappedFile::open(path / "below"), ErrorCode::kNotFound, {path.string()}));
  EXPECT_TRUE(is_error(MappedFile::open(folder.path()), ErrorCode::kInvalidArgument,
                       {folder.path().string(), "found a folder"}));
  // Opening a pipe without a writer must not hang.
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(is_error(MappedFile::open(path), ErrorCode::kInvalidArgument, {"special file"}));
}

}  // namespace
}  // namespace lyre::test
