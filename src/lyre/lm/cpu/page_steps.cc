#include "lyre/lm/cpu/page_steps.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/base/log.h"
#include "lyre/lm/cpu/page_memory.h"
#include "lyre/tensor/mapped_file.h"

namespace lyre::cpu {
namespace {

using Progress = WarmupStep::Progress;

// What a thread takes at a time; whole huge pages.
constexpr int64_t kPieceBytes = int64_t{4} << 20;

/// Calls body(piece) for the pieces of a range, shared among the threads. They end at multiples of
/// their size in memory, so that no two touch one huge page.
template <class Byte, class Body>
void for_each_piece(std::span<Byte> range, ThreadPool& threads, Body body) {
  const auto first = static_cast<int64_t>(reinterpret_cast<uintptr_t>(range.data()) %
                                          static_cast<uintptr_t>(kPieceBytes));
  const auto size = static_cast<int64_t>(range.size());
  const int64_t pieces = (first + size + kPieceBytes - 1) / kPieceBytes;
  threads.deal(static_cast<int>(pieces), [&](int piece, int /*thread*/) {
    const int64_t begin = std::max<int64_t>(0, piece * kPieceBytes - first);
    const int64_t end = std::min(size, (piece + 1) * kPieceBytes - first);
    body(range.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  });
}

void log_speed(const std::string& name, int64_t bytes, Clock::duration busy) {
  const double seconds = std::chrono::duration<double>(busy).count();
  log_debug("pages are there", {{"step", name},
                                {"bytes", bytes},
                                {"ms", 1e3 * seconds},
                                {"gb_per_s", static_cast<double>(bytes) / 1e9 / seconds}});
}

std::string megabytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

/// Where a step is, between its parts.
struct ReadState {
  std::vector<std::span<const std::byte>> ranges;
  size_t range = 0;
  size_t offset = 0;
  int64_t bytes = 0;
  Clock::duration busy{};
};

struct WriteState {
  size_t taken = 0;
  Clock::duration busy{};
};

}  // namespace

WarmupStep read_pages_step(std::string name, std::vector<std::span<const std::byte>> ranges,
                           ThreadPool& threads) {
  auto state = std::make_shared<ReadState>();
  state->ranges = std::move(ranges);
  WarmupStep step;
  step.name = name;
  step.run = [state, name = std::move(name), &threads]() -> Result<Progress> {
    const TimePoint start = Clock::now();
    const auto most = static_cast<size_t>(kPageStepBytes * threads.size());
    for (size_t left = most; left > 0 && state->range < state->ranges.size();) {
      const std::span<const std::byte> all = state->ranges[state->range];
      const auto part = all.subspan(state->offset, std::min(left, all.size() - state->offset));
      for_each_piece(part, threads, [](std::span<const std::byte> piece) { make_resident(piece); });
      left -= part.size();
      state->bytes += static_cast<int64_t>(part.size());
      state->offset += part.size();
      if (state->offset == all.size()) ++state->range, state->offset = 0;
    }
    state->busy += Clock::now() - start;
    if (state->range < state->ranges.size()) return Progress::kMore;
    log_speed(name, state->bytes, state->busy);
    state->range = state->offset = 0;
    state->bytes = 0;
    state->busy = {};
    return Progress::kDone;
  };
  return step;
}

WarmupStep write_pages_step(std::string name, std::span<std::byte> memory, ThreadPool& threads,
                            std::function<std::optional<int64_t>()> available) {
  auto state = std::make_shared<WriteState>();
  WarmupStep step;
  step.name = name;
  step.run = [state, name = std::move(name), memory, &threads,
              available = std::move(available)]() -> Result<Progress> {
    const TimePoint start = Clock::now();
    const size_t left = memory.size() - state->taken;
    const size_t part = std::min(left, static_cast<size_t>(kPageStepBytes * threads.size()));
    if (part == 0) return Progress::kDone;
    const std::optional<int64_t> there = available();
    if (!there || *there - kSpareMemoryBytes < static_cast<int64_t>(part)) {
      const auto bytes = static_cast<int64_t>(memory.size());
      return Error{ErrorCode::kResourceExhausted,
                   "expected " + megabytes(static_cast<int64_t>(left)) + " of memory and " +
                       megabytes(kSpareMemoryBytes) + " to spare, found " +
                       (there ? megabytes(*there) : "no word of the system about its memory") +
                       "; " + megabytes(static_cast<int64_t>(state->taken)) + " of " +
                       megabytes(bytes) + " have been taken, the rest comes when it is used"};
    }
    Status status = ok_status();
    std::mutex mutex;
    for_each_piece(memory.subspan(state->taken, part), threads, [&](std::span<std::byte> piece) {
      Status one = make_writable(piece);
      if (one.ok()) return;
      const std::lock_guard lock(mutex);
      status = std::move(one);
    });
    LYRE_RETURN_IF_ERROR(std::move(status));
    state->taken += part;
    state->busy += Clock::now() - start;
    if (state->taken < memory.size()) return Progress::kMore;
    log_speed(name, static_cast<int64_t>(memory.size()), state->busy);
    return Progress::kDone;
  };
  return step;
}

}  // namespace lyre::cpu
