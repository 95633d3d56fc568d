// step() allocates nothing: every replaceable allocation function of this binary counts.

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "lm/generate.h"
#include "lm/random_model.h"
#include "lyre/lm/open_language_model.h"
#include "support/sanitizers.h"

namespace {

std::atomic<int64_t> g_allocations{0};

[[maybe_unused]] void* counted(std::size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  std::abort();
}

}  // namespace

#if !LYRE_TEST_THREAD_SANITIZER
void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
#endif

namespace lyre::test {
namespace {

TEST(Allocation, TheCounterCounts) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const int64_t before = g_allocations.load();
  delete new std::vector<int>(3);
  EXPECT_GE(g_allocations.load() - before, 2);
}

TEST(Allocation, NoneInAStepNorInClose) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const TempFolder folder;
  write_random_model(folder, small_config(), DType::kBF16);
  for (const WeightFormat weights : {WeightFormat::kAsStored, WeightFormat::kInt8}) {
    ThreadPool threads(2);
    threads.run([](int /*thread*/) {});  // a thread may allocate when it starts
    LanguageModelOptions options;
    options.folder = folder.path();
    options.weights = weights;
    options.max_sequences = 4;
    options.max_sequence_tokens = 256;
    auto model = open_language_model(options, threads);
    ASSERT_TRUE(model.ok());
    std::vector<SequenceId> ids;
    for (int i = 0; i < 4; ++i) {
      SequenceOptions wanted;
      wanted.sampling.top_k = i == 1 ? 5 : 0;
      wanted.sampling.min_p = i == 2 ? 0.1f : 0.0f;
      wanted.sampling.legal_slots = i != 3;
      wanted.layout = small_layout();
      wanted.max_tokens = 200;
      ids.push_back(*(*model)->open(wanted));
    }
    const std::vector<TokenId> prompt(60, 3);
    std::vector<Slice> batch;
    for (const SequenceId id : ids) batch.push_back({id, prompt, 1});
    std::vector<SliceResult> results(batch.size());
    const int64_t before = g_allocations.load();
    for (int step = 0; step < 100; ++step) {
      ASSERT_TRUE((*model)->step(batch, results).ok());
      for (Slice& slice : batch) slice.prompt = {};
    }
    for (const SequenceId id : ids) (*model)->close(id);
    EXPECT_EQ(g_allocations.load() - before, 0);
  }
}

}  // namespace
}  // namespace lyre::test
