#include "lyre/lm/cpu/page_steps.h"

#include <sys/mman.h>

#include <cstddef>
#include <fstream>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/lm/cpu/page_memory.h"
#include "lyre/tensor/mapped_file.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"

namespace lyre::cpu {
namespace {

using test::is_error;
using Progress = WarmupStep::Progress;

constexpr int64_t kMiB = int64_t{1} << 20;

// Pages of a range that are in memory.
int64_t resident_pages(std::span<const std::byte> range) {
  constexpr size_t kPage = 4096;
  const auto begin = reinterpret_cast<uintptr_t>(range.data()) / kPage * kPage;
  const auto end = reinterpret_cast<uintptr_t>(range.data()) + range.size();
  std::vector<unsigned char> pages((end - begin + kPage - 1) / kPage);
  EXPECT_EQ(::mincore(reinterpret_cast<void*>(begin), end - begin, pages.data()), 0);
  int64_t count = 0;
  for (const unsigned char page : pages) count += page & 1;
  return count;
}

// What of a mapped file stands in the page table.
int64_t mapped_kib(std::span<const std::byte> mapping) {
  std::ostringstream begin;
  begin << std::hex << reinterpret_cast<uintptr_t>(mapping.data()) << '-';
  std::ifstream smaps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    here = here || line.starts_with(begin.str());
    if (here && line.starts_with("Rss:")) return std::stoll(line.substr(4));
  }
  return -1;
}

// Runs the step to its end; how many parts it had.
int parts_of(const WarmupStep& step) {
  for (int parts = 1;; ++parts) {
    const Result<Progress> progress = step.run();
    EXPECT_TRUE(progress.ok());
    if (!progress.ok() || *progress == Progress::kDone) return parts;
  }
}

class WritePagesStep : public testing::Test {
 protected:
  std::span<std::byte> memory(int64_t bytes) {
    auto memory = PageMemory::allocate(bytes, "test");
    EXPECT_TRUE(memory.ok());
    memory_ = *std::move(memory);
    return {memory_.data(), static_cast<size_t>(memory_.size_bytes())};
  }
  WarmupStep step(std::span<std::byte> range) {
    return write_pages_step("pages", range, threads_, [this] { return available_; });
  }

  ThreadPool threads_{2};
  PageMemory memory_;
  std::optional<int64_t> available_ = int64_t{1} << 50;
};

TEST_F(WritePagesStep, TakesAllInPartsAndKeepsWhatIsThere) {
  const std::span<std::byte> range = memory(130 * kMiB);
  range[5] = std::byte{7};
  const WarmupStep pages = step(range);
  EXPECT_EQ(pages.name, "pages");
  EXPECT_EQ(pages.lane, WarmupLane::kModels);
  EXPECT_EQ(parts_of(pages), 2);  // of 64 MiB for each of two threads
  EXPECT_EQ(resident_pages(range), 130 * kMiB / 4096);
  EXPECT_EQ(range[5], std::byte{7});
  EXPECT_EQ(range[6], std::byte{0});
  EXPECT_EQ(parts_of(pages), 1);  // again: nothing is left to do
}

TEST_F(WritePagesStep, OddRangesAreTakenToTheEnd) {
  const std::span<std::byte> range = memory(9 * kMiB).subspan(1234, 5 * static_cast<size_t>(kMiB));
  EXPECT_EQ(parts_of(step(range)), 1);
  EXPECT_GE(resident_pages(range), 5 * kMiB / 4096);
}

TEST_F(WritePagesStep, StopsBeforeMemoryIsShortAndGoesOnLater) {
  const std::span<std::byte> range = memory(256 * kMiB);
  const WarmupStep pages = step(range);
  available_ = kSpareMemoryBytes + 128 * kMiB;
  ASSERT_TRUE(pages.run().ok());
  available_ = kSpareMemoryBytes + 127 * kMiB;
  EXPECT_TRUE(is_error(pages.run(), ErrorCode::kResourceExhausted,
                       {"expected 128 MiB", "found 255 MiB", "128 MiB of 256 MiB"}));
  EXPECT_LT(resident_pages(range.subspan(128 * static_cast<size_t>(kMiB))), 1);
  available_ = kSpareMemoryBytes + 128 * kMiB;
  EXPECT_EQ(parts_of(pages), 1);
  EXPECT_EQ(resident_pages(range), 256 * kMiB / 4096);
}

TEST_F(WritePagesStep, TakesNothingIfTheSystemDoesNotSay) {
  const std::span<std::byte> range = memory(kMiB);
  available_ = std::nullopt;
  EXPECT_TRUE(is_error(step(range).run(), ErrorCode::kResourceExhausted, {"no word"}));
  EXPECT_EQ(resident_pages(range), 0);
}

TEST(ReadPagesStep, ReadsEveryRangeAndCanBeRunAgain) {
  const test::TempFolder folder;
  const auto file = MappedFile::open(folder.write("file", std::string(3 * kMiB + 17, 'x')));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const std::span<const std::byte> all = file->bytes();
  ThreadPool threads(2);
  const WarmupStep pages = read_pages_step(
      "pages", {all.first(5), {}, all.subspan(4096, 100'000), all.last(17)}, threads);
  EXPECT_EQ(mapped_kib(all), 0);
  for (int turn = 0; turn < 2; ++turn) EXPECT_EQ(parts_of(pages), 1);
  EXPECT_GE(mapped_kib(all), 100);  // and what the system brings in beside it
}

}  // namespace
}  // namespace lyre::cpu
