#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/api.h"
#include "lyre/base/clock.h"

/// What the program spends its time on, recorded while it runs. One recorder for the process:
///
///   constinit trace::Operation kStep("lm.step", "tokens");
///   void step(int tokens) {
///     const trace::Span span(kStep, tokens);
///     ...
///   }
///
/// Off, which is the default, a span is one relaxed load and a branch. On, each thread writes into
/// memory of its own, without locks, and without allocation after its first span of a recording:
/// totals by operation, which stay exact, and a ring of single events, of which the oldest are
/// dropped. Everything here may be called from any thread at any time.
namespace lyre::trace {

/// A kind of work. Of static storage: it is referred to for ever.
class Operation {
 public:
  /// name: a part of lyre, a dot, and what is done, "lm.step"; "wait.WHAT" if the thread only
  /// waits. Arguments: what their integers count, "tokens"; null: none.
  constexpr explicit Operation(const char* name, const char* argument0 = nullptr,
                               const char* argument1 = nullptr) noexcept
      : name_(name), arguments_{argument0, argument1} {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  const char* name() const noexcept { return name_; }
  const char* argument(int index) const noexcept { return arguments_[index]; }

 private:
  friend class Recorder;
  const char* const name_;
  const char* const arguments_[2];
  mutable std::atomic<int32_t> id_{-1};  // given at the first use
};

namespace internal {
extern LYRE_API std::atomic<uint32_t> recording;  // its number, which is odd; even: none
}

inline bool enabled() noexcept {
  return (internal::recording.load(std::memory_order_relaxed) & 1) != 0;
}

/// From here to the end of the scope, on this thread: not across the suspension of a coroutine. It
/// counts if the same recording is on at both ends.
class LYRE_API Span {
 public:
  explicit Span(const Operation& operation, int64_t argument0 = 0, int64_t argument1 = 0) noexcept {
    if (enabled()) [[unlikely]]
      begin(operation, argument0, argument1);
  }
  ~Span() {
    if (operation_ != nullptr) [[unlikely]]
      end();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

  /// What is known only later.
  void set_argument(int index, int64_t value) noexcept {
    if (operation_ != nullptr) [[unlikely]]
      arguments_[index] = value;
  }

 protected:
  Span() noexcept = default;
  LYRE_API void begin(const Operation& operation, int64_t argument0, int64_t argument1) noexcept;

 private:
  friend class Recorder;
  LYRE_API void end() noexcept;

  const Operation* operation_ = nullptr;  // null: off
  Span* outer_;
  int64_t begin_ns_, inside_ns_;  // inside: of the spans within this one
  int64_t arguments_[2];
  uint32_t recording_;
};

/// A span whose name, "PART.NAME", is known at run time only, and copied: for what happens rarely.
class NamedSpan : public Span {
 public:
  NamedSpan(std::string_view part, std::string_view name) noexcept {
    if (enabled()) [[unlikely]]
      begin_named(part, name);
  }

 private:
  LYRE_API void begin_named(std::string_view part, std::string_view name) noexcept;
};

/// Work that has ended and was not on one thread's stack: over suspensions of a coroutine, or over
/// several threads. Counts if it began within the recording.
LYRE_API void record(const Operation& operation, TimePoint begin, TimePoint end,
                     int64_t argument0 = 0, int64_t argument1 = 0) noexcept;

/// The same until now.
inline void record_since(const Operation& operation, TimePoint begin, int64_t argument0 = 0,
                         int64_t argument1 = 0) noexcept {
  if (enabled()) [[unlikely]]
    record(operation, begin, Clock::now(), argument0, argument1);
}

/// What this thread is called in snapshots: "engine", "pool 1". The first 31 bytes.
LYRE_API void name_thread(std::string_view name) noexcept;

struct Options {
  int events_per_thread = 1 << 16;  // that are kept, about; 40 bytes each
  /// Time zero, if something is to be recorded (record()) that began before; else now.
  TimePoint origin{};
};

/// Begins a new recording; what was recorded before is forgotten.
LYRE_API void start(const Options& options = {});
/// Ends it; snapshot() still gives it.
LYRE_API void stop() noexcept;

/// Times count from the origin of the recording.
struct Event {
  int operation = 0;  // index in Snapshot::operations
  int thread = 0;     // index in Snapshot::threads
  int64_t begin_ns = 0, duration_ns = 0;
  int64_t arguments[2] = {0, 0};
  bool detached = false;  // from record(): need not nest with other events of its thread
};

struct LYRE_API OperationTotals {
  std::string name;
  std::string arguments[2];  // what they count; empty: none
  int64_t count = 0;
  int64_t total_ns = 0;
  int64_t self_ns = 0;  // without the spans within, of the same thread; 0 of record()
  int64_t min_ns = 0, max_ns = 0;
  int64_t argument_totals[2] = {0, 0};

  LYRE_API std::string_view category() const noexcept;  // the name up to its first dot
};

struct ThreadTrack {
  int64_t id = 0;  // the system's
  std::string name;
  int64_t dropped_events = 0;  // older than the ring holds
};

struct LYRE_API Snapshot {
  int64_t process_id = 0;
  bool recording = false;                   // still on when it was taken
  int64_t duration_ns = 0;                  // from the origin until now, or until it was stopped
  std::vector<OperationTotals> operations;  // those that occurred, by name
  std::vector<ThreadTrack> threads;         // those that recorded, in the order in which they came
  /// By thread and begin; of two that begin together the longer first.
  std::vector<Event> events;

  LYRE_API const OperationTotals* find(std::string_view name) const noexcept;
};

/// What has ended so far. Threads go on recording meanwhile; an operation's totals of a thread are
/// of one moment. Empty before the first start().
LYRE_API Snapshot snapshot();

}  // namespace lyre::trace
