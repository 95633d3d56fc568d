// What a running stream costs: nothing is allocated for a piece of audio, neither on the engine's
// thread, which wakes the connection, nor on the io thread, which sends it.

#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

#include <gtest/gtest.h>

#include "server/running_server.h"
#include "support/sanitizers.h"

namespace {
std::atomic<int64_t> allocations{0};  // of all threads
}

#if !LYRE_TEST_THREAD_SANITIZER
// Asio takes memory from here, not from operator new.
extern "C" void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return ::memalign(alignment, bytes);
}
// Not inlined: g++ would see malloc and free only, and take them for a mismatch of new and free.
[[gnu::noinline]] void* operator new(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
// Which std::stable_sort calls; the sanitizer's own would not match the deletes below.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace lyre::server::test {
namespace {

class StreamAllocation : public RunningServer {};

TEST_F(StreamAllocation, TheCounterCounts) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const int64_t before = allocations;
  // Volatile, so that no compiler removes what is not used.
  std::vector<float>* volatile floats = new std::vector<float>();
  void* volatile aligned = ::aligned_alloc(64, 64);
  EXPECT_EQ(allocations, before + 2);
  delete floats;
  std::free(aligned);
}

TEST_F(StreamAllocation, APieceOfAudioAllocatesNothing) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  config.io_threads = 1;
  open();
  TestClient client(port());
  ASSERT_TRUE(client.send(post("/v1/audio/speech/stream", R"({"input": "hi"})")));
  FakeSpeech::Call* const call = speech.next();
  ASSERT_NE(call, nullptr);
  const std::vector<float> frame(2048, 0.25f);
  std::vector<char> received(16'384);
  const auto send_frame = [&](size_t framing_bytes) {
    ASSERT_EQ(call->sink.push(frame), PushStatus::kAccepted);
    for (size_t missing = 2 * frame.size() + framing_bytes; missing > 0;) {
      const ssize_t count =
          ::recv(client.descriptor(), received.data(), std::min(missing, received.size()), 0);
      ASSERT_GT(count, 0);
      missing -= static_cast<size_t>(count);
    }
  };
  // "1000\r\n" before and "\r\n" after each chunk.
  constexpr size_t kFraming = 8;
  WireResponse response;
  ASSERT_EQ(call->sink.push(frame), PushStatus::kAccepted);
  response = client.read_head();
  ASSERT_EQ(client.read_chunk(response).size(), 2 * frame.size());
  // The first frames fill the memory that is used again for all that follow; the pauses let the
  // connection come to every kind of wait.
  for (int i = 0; i < 50; ++i) {
    ASSERT_NO_FATAL_FAILURE(send_frame(kFraming));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // Threads that meet in an order in which they have not met before may still add to it, once. An
  // allocation that belongs to the pieces would be in every batch.
  int64_t fewest = std::numeric_limits<int64_t>::max();
  for (int batch = 0; batch < 6 && fewest > 0; ++batch) {
    const int64_t before = allocations;
    for (int i = 0; i < 500; ++i) ASSERT_NO_FATAL_FAILURE(send_frame(kFraming));
    fewest = std::min<int64_t>(fewest, allocations - before);
  }
  EXPECT_EQ(fewest, 0);
  call->sink.finish(summary());
}

}  // namespace
}  // namespace lyre::server::test
