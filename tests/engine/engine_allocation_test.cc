// "No allocation per token", counted on the engine thread over real models.

#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "engine/engine_rig.h"
#include "engine/voice_rig.h"
#include "support/sanitizers.h"

namespace {
thread_local int64_t allocations = 0;
}

#if !LYRE_TEST_THREAD_SANITIZER
// Every allocation of this test program goes through here.
void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<size_t>(alignment);
  // The size must be a multiple of the alignment.
  if (void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
// Which std::stable_sort calls; the sanitizer's own would not match the deletes below.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
#endif

namespace lyre {
namespace {

TEST(EngineAllocation, TheCounterCounts) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const int64_t before = allocations;
  const std::vector<float> memory(1000);
  EXPECT_EQ(allocations, before + 1);
  EXPECT_EQ(memory.size(), 1000u);
}

TEST(EngineAllocation, NothingIsAllocatedWhileSpeechRuns) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const auto engine = test::open_engine(test::voice_config(test::tiny_voice()));
  ASSERT_NE(engine, nullptr);
  std::vector<Speech> speeches;
  for (const uint64_t seed : {1u, 2u, 6u}) {  // which speak on for 40 frames
    SynthesisRequest request =
        test::request_of("The quick brown fox jumps over the lazy dog.", seed);
    request.max_tokens = 280;
    speeches.push_back(test::submit(*engine, request));
  }
  // The wake function runs on the engine thread after every push: readings of its counter.
  constexpr size_t kReadings = 40;
  std::array<std::atomic<int64_t>, kReadings> readings;
  std::atomic<size_t> count{0};
  speeches[0].pcm.notify([&] {
    const size_t at = count++;
    if (at < kReadings) readings[at] = allocations;
  });
  for (Speech& speech : speeches) test::read_all(speech.pcm);
  speeches[0].pcm.notify({});
  // The first readings may be of this thread, or of rounds in which the others were admitted; the
  // last are of the end, where a request is taken down.
  // The engine runs while they are being set up, so a few of the 40 pushes are not seen.
  ASSERT_GE(count, 15u);
  EXPECT_EQ(readings[5], readings[count - 5]);
}

}  // namespace
}  // namespace lyre
