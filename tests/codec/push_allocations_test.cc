#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "codec/golden_file.h"
#include "codec/streaming.h"
#include "lyre/codec/cpu/cpu_codec.h"
#include "support/sanitizers.h"

// Counts what this program allocates, on any thread. Not inlined: the compiler would take malloc
// and delete for a mismatch.
namespace {
std::atomic<int64_t> allocations{0};
}
#if !LYRE_TEST_THREAD_SANITIZER
[[gnu::noinline]] void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
#endif

namespace lyre {
namespace {

// The engine may allocate between pushes; a push itself never does.
TEST(CpuCodec, PushAllocatesNothing) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  ThreadPool threads(2);
  threads.run([](int /*thread*/) {});  // a thread may allocate when it starts
  const auto codec =
      make_cpu_codec(*load_snac_decoder(test::codec_folder("tiny")), {2, 4}, threads);
  const auto all_frames = test::random_frames(8, codec->info().codebook_size, 3);
  const std::span<const CodeFrame> frames = all_frames;
  const StreamId a = *codec->open({1, true}), b = *codec->open({2, true});
  const CodecWork steps[][2] = {
      {{a, frames.first(1), false, true}, {b, frames.first(4), false, false}},
      {{a, frames.subspan(1, 2), false, true}, {b, {}, false, true}},
      {{a, frames.subspan(3, 1), false, false}, {b, frames.subspan(4, 1), false, true}},
      {{a, frames.subspan(4, 4), true, false}, {b, {}, true, true}},
  };
  PcmSpan pcm[2];
  for (const auto& step : steps) {
    const int64_t before = allocations.load();
    const Status status = codec->push(step, pcm);
    const int64_t after = allocations.load();
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_EQ(after, before);
  }
  // The counter does count.
  const int64_t before = allocations.load();
  auto* p = ::operator new(1);
  EXPECT_GT(allocations.load(), before);
  ::operator delete(p);
}

}  // namespace
}  // namespace lyre
