#include "lyre/tensor/weight_cache.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/log.h"
#include "lyre/tensor/file_hash_index.h"
#include "lyre/tensor/published_file.h"
#include "support/expect_error.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

namespace lyre {
namespace {

namespace fs = std::filesystem;
using test::is_error;

class WeightCacheTest : public testing::Test {
 protected:
  // Damage is reported to the log, some thousand times here.
  void SetUp() override { configure_logging({.level = LogLevel::kOff}); }
  void TearDown() override { configure_logging({}); }

  std::vector<NamedTensor> tensors() const {
    return {{"bytes", {bytes_.data(), {5, 1}, DType::kI8, Device{}}},
            {"floats", {floats_.data(), {3}, DType::kF32, Device{}}}};
  }
  Status store() const { return cache_.store(key_, tensors(), {{"description", "two of them"}}); }
  fs::path stored() const { return folder_.path() / (key_.to_string() + ".safetensors"); }

  bool is_whole(const std::optional<TensorArchive>& archive) const {
    if (!archive || archive->tensors().size() != 2) return false;
    for (const NamedTensor& tensor : tensors()) {
      const TensorView* view = archive->find(tensor.name);
      if (view == nullptr || view->shape != tensor.view.shape ||
          std::memcmp(view->data, tensor.view.data,
                      static_cast<size_t>(tensor.view.size_bytes())) != 0) {
        return false;
      }
    }
    return archive->metadata().size() == 1 &&
           archive->metadata().at("description") == "two of them";
  }

  static std::string read(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void overwrite(std::string_view contents) const {
    folder_.write(stored().filename().string(), contents);
  }
  std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      all.insert(entry.path().filename().string());
    }
    return all;
  }
  static void age(const fs::path& file, int days) {
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(24 * days));
  }

  test::TempFolder folder_;
  const WeightCache cache_{folder_.path()};
  const ContentHash key_ = hash_text("key");
  const std::vector<int8_t> bytes_ = {1, 2, 3, 4, 5};
  const std::vector<float> floats_ = {1.5f, 0.0f, -2.0f};
  ThreadPool threads_{2};
};

TEST_F(WeightCacheTest, GivesBackWhatWasStored) {
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  ASSERT_TRUE(store().ok());
  EXPECT_TRUE(is_whole(cache_.find(key_, threads_)));
  EXPECT_EQ(cache_.find(hash_text("another"), threads_), std::nullopt);
  EXPECT_EQ(names(), std::set<std::string>{stored().filename().string()});
}

TEST_F(WeightCacheTest, OffItKeepsNothing) {
  const WeightCache off;
  EXPECT_FALSE(off.enabled());
  EXPECT_TRUE(off.store(key_, tensors(), {}).ok());
  EXPECT_EQ(off.find(key_, threads_), std::nullopt);
}

TEST_F(WeightCacheTest, CreatesItsFolder) {
  const WeightCache deep(folder_.path() / "a" / "b");
  ASSERT_TRUE(deep.store(key_, tensors(), {{"description", "two of them"}}).ok());
  EXPECT_TRUE(is_whole(deep.find(key_, threads_)));
}

TEST_F(WeightCacheTest, EveryDamagedByteIsNoticedAndTheFileMadeAnew) {
  ASSERT_TRUE(store().ok());
  const std::string whole = read(stored());
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    overwrite(damaged);
    ASSERT_EQ(cache_.find(key_, threads_), std::nullopt) << "byte " << at;
    ASSERT_FALSE(fs::exists(stored())) << "byte " << at;
  }
  ASSERT_TRUE(store().ok());
  EXPECT_TRUE(is_whole(cache_.find(key_, threads_)));
}

TEST_F(WeightCacheTest, EveryTruncationIsNoticed) {
  ASSERT_TRUE(store().ok());
  const std::string whole = read(stored());
  for (size_t size = 0; size < whole.size(); ++size) {
    overwrite(whole.substr(0, size));
    ASSERT_EQ(cache_.find(key_, threads_), std::nullopt) << size;
  }
  overwrite(whole + '\0');
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  overwrite(whole);
  EXPECT_TRUE(is_whole(cache_.find(key_, threads_)));
}

// A file that is sound in itself, but not of this version or not under its name.
TEST_F(WeightCacheTest, ForeignFilesAreNotUsed) {
  const auto signed_file = [&](const std::string& format, const ContentHash& key) {
    const std::string zeros(32, '0');
    std::string header = R"({"__metadata__":{"lyre.format":")" + format + R"(","lyre.head":")" +
                         zeros + R"(","lyre.key":")" + key.to_string() + R"("}})";
    std::string bytes = test::safetensors_bytes(header, "");
    bytes.replace(bytes.find(zeros), 32, hash_text(bytes).to_string());
    return bytes;
  };
  const std::string version = std::to_string(WeightCache::kFormatVersion);
  overwrite(signed_file(version, key_));
  EXPECT_NE(cache_.find(key_, threads_), std::nullopt);  // this test signs as it should
  overwrite(signed_file("0", key_));
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  overwrite(signed_file(version, hash_text("another")));
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  overwrite(test::safetensors_bytes("{}", ""));
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  fs::create_directory(stored());
  EXPECT_EQ(cache_.find(key_, threads_), std::nullopt);
  EXPECT_TRUE(fs::is_directory(stored()));  // not ours to remove
}

TEST_F(WeightCacheTest, WhereNothingCanBeWrittenItSaysSo) {
  folder_.write("file", "");
  EXPECT_TRUE(is_error(WeightCache(folder_.path() / "file").store(key_, tensors(), {}),
                       ErrorCode::kInternal, {"file", "cannot create the folder"}));
  // Not even root may.
  EXPECT_TRUE(is_error(WeightCache("/proc/self/lyre").store(key_, tensors(), {}),
                       ErrorCode::kInternal, {"/proc/self/lyre"}));
  EXPECT_TRUE(is_error(WeightCache("/proc/self/fdinfo").store(key_, tensors(), {}),
                       ErrorCode::kInternal, {"/proc/self/fdinfo", "cannot create"}));
}

TEST_F(WeightCacheTest, ALimitOnFilesIsAnErrorAndNotTheEnd) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const Status status = store();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(is_error(status, ErrorCode::kResourceExhausted, {key_.to_string(), "larger"}));
  EXPECT_TRUE(names().empty());
}

TEST_F(WeightCacheTest, AFullDiskIsAnErrorAndLeavesNothing) {
  constexpr int kNotPermitted = 77;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // A mount that nobody else sees.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", folder_.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      ::_exit(kNotPermitted);
    }
    const std::vector<float> many(100'000);
    const Status status = cache_.store(
        key_, std::vector<NamedTensor>{{"many", {many.data(), {100'000}, DType::kF32, Device{}}}},
        {});
    const bool right = is_error(status, ErrorCode::kResourceExhausted, {"No space"}) &&
                       fs::is_empty(folder_.path()) && store().ok();
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotPermitted) {
    GTEST_SKIP() << "no file system may be mounted here";
  }
  EXPECT_EQ(status, 0);
}

TEST_F(WeightCacheTest, ClearsAwayWhatIsLeftOrIdle) {
  const std::string other = hash_text("other").to_string();
  const auto dead = folder_.write(other + ".safetensors.123-0.tmp", "half of it");
  const auto dead_entry = folder_.write(other + ".source.123-0.tmp", "");
  const auto idle = folder_.write(other + ".safetensors", "idle");
  const auto idle_entry = folder_.write(other + ".source", "idle");
  const auto recent = folder_.write(hash_text("recent").to_string() + ".safetensors", "");
  for (const auto& file : {idle, idle_entry}) age(file, WeightCache::kMostIdleDays + 1);
  age(recent, WeightCache::kMostIdleDays - 1);
  // Not ours.
  const auto notes = folder_.write("notes.txt", "");
  const auto model = folder_.write("model.safetensors", "");
  const auto draft = folder_.write("draft.tmp", "");
  for (const auto& file : {notes, model, draft}) age(file, 1000);
  {
    const auto writing = PublishedFile::create(folder_.path() / (other + ".source"), 0);
    ASSERT_TRUE(writing.ok());
    const size_t before = names().size();
    ASSERT_TRUE(store().ok());
    for (const auto& file : {dead, dead_entry, idle, idle_entry}) {
      EXPECT_FALSE(fs::exists(file)) << file;
    }
    for (const auto& file : {recent, notes, model, draft}) EXPECT_TRUE(fs::exists(file)) << file;
    EXPECT_EQ(names().size(), before - 4 + 1);  // the one that is being written lives
  }
}

TEST_F(WeightCacheTest, WhatIsInUseIsNeverClearedAway) {
  ASSERT_TRUE(store().ok());
  age(stored(), 1000);
  auto archive = cache_.find(key_, threads_);
  ASSERT_TRUE(is_whole(archive));
  EXPECT_LT(fs::file_time_type::clock::now() - fs::last_write_time(stored()),
            std::chrono::hours(1));  // now it has been used
  age(stored(), 1000);
  ASSERT_TRUE(cache_.store(hash_text("second"), tensors(), {}).ok());
  EXPECT_TRUE(fs::exists(stored()));
  archive.reset();
  ASSERT_TRUE(cache_.store(hash_text("third"), tensors(), {}).ok());
  EXPECT_FALSE(fs::exists(stored()));
}

TEST_F(WeightCacheTest, ManyThreadsStoreAndFindAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ThreadPool alone(1);
      for (int round = 0; round < 20; ++round) {
        EXPECT_TRUE(store().ok());
        EXPECT_TRUE(is_whole(cache_.find(key_, alone)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(names(), std::set<std::string>{stored().filename().string()});
}

TEST_F(WeightCacheTest, ManyProcessesStoreFindAndDamageAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ThreadPool alone(1);
      bool right = true;
      for (int round = 0; round < 20; ++round) {
        // What is found is whole, or there is nothing: never a part.
        const auto found = cache_.find(key_, alone);
        right = right && (!found || is_whole(found)) && store().ok();
        if (i == 0) {
          const int file = ::open(stored().c_str(), O_WRONLY);
          if (file >= 0) {
            right = right && ::pwrite(file, "#", 1, 100) == 1;
            ::close(file);
          }
        }
      }
      ::_exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  (void)cache_.find(key_, threads_);  // the last one may be a damaged one
  ASSERT_TRUE(store().ok());
  EXPECT_TRUE(is_whole(cache_.find(key_, threads_)));
  EXPECT_EQ(names(), std::set<std::string>{stored().filename().string()});
}

TEST_F(WeightCacheTest, StoresInTheBackground) {
  store_in_background(cache_, key_, tensors(), {{"description", "two of them"}}).join();
  EXPECT_TRUE(is_whole(cache_.find(key_, threads_)));
  store_in_background(WeightCache("/proc/self/lyre"), key_, tensors(), {}).join();  // a warning
}

class WeightCacheKey : public WeightCacheTest {
 protected:
  // Tensors "a" and "b" of two bytes each.
  fs::path source(const std::string& name, std::string_view data) const {
    return sources_.write(
        name, test::safetensors_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                      R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                                      data));
  }
  ContentHash key(const fs::path& file, std::string_view form = "form") {
    const auto archive = open_safetensors(file);
    EXPECT_TRUE(archive.ok());
    return cache_.key(*archive, form, threads_);
  }

  test::TempFolder sources_;
};

TEST_F(WeightCacheKey, IsOfTheContentsAndTheForm) {
  const fs::path file = source("x.safetensors", "1234");
  const ContentHash first = key(file);
  EXPECT_EQ(key(file), first);
  EXPECT_FALSE(key(file, "another form") == first);
  EXPECT_FALSE(key(source("y.safetensors", "1235")) == first);
  EXPECT_EQ(key(source("z.safetensors", "1234")), first);  // wherever it lies
  // Touched, and written again: the same contents still have their key.
  age(file, 3);
  EXPECT_EQ(key(file), first);
  source("x.safetensors", "1234");
  EXPECT_EQ(key(file), first);
  source("x.safetensors", "4321");
  EXPECT_FALSE(key(file) == first);
}

TEST_F(WeightCacheKey, SeesWhichShardATensorIsTakenFrom) {
  const auto index = [&](const char* a, const char* b) {
    sources_.write("model.safetensors.index.json",
                   std::string(R"({"weight_map":{"a":")") + a + R"(","b":")" + b + R"("}})");
    const auto archive = open_safetensors_folder(sources_.path());
    EXPECT_TRUE(archive.ok());
    return cache_.key(*archive, "form", threads_);
  };
  source("s1.safetensors", "1234");
  source("s2.safetensors", "5678");
  const ContentHash first = index("s1.safetensors", "s2.safetensors");
  EXPECT_FALSE(index("s2.safetensors", "s1.safetensors") == first);
  EXPECT_FALSE(index("s1.safetensors", "s1.safetensors") == first);
  EXPECT_EQ(index("s1.safetensors", "s2.safetensors"), first);
}

TEST_F(WeightCacheKey, AFileThatWasJustWrittenIsHashedAgain) {
  key(source("x.safetensors", "1234"));
  EXPECT_TRUE(names().empty());
}

// The hash of an old file is remembered, and what is remembered is believed.
TEST_F(WeightCacheKey, AnOldFileIsHashedOnce) {
  const fs::path file = source("x.safetensors", "1234");
  const Result<FileIdentity> identity = identify_file(file);
  ASSERT_TRUE(identity.ok()) << identity.error().message;
  int64_t now_ns = 0;
  do {  // it is old in two seconds
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    now_ns = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  } while (now_ns < identity->changed_ns + FileHashIndex::kRacyNs);
  ASSERT_TRUE(FileHashIndex::is_provable(*identity, now_ns)) << "times of whole seconds here";
  const ContentHash first = key(file);
  EXPECT_EQ(names().size(), 1u);
  EXPECT_EQ(key(file), first);
  FileHashIndex(folder_.path()).remember(*identity, hash_text("something else"), now_ns);
  EXPECT_FALSE(key(file) == first);
}

}  // namespace
}  // namespace lyre
