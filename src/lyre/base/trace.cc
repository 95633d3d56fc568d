#include "lyre/base/trace.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace lyre::trace {
namespace internal {
constinit std::atomic<uint32_t> recording{0};
}

namespace {

constexpr int kMostOperations = 256;
constexpr int kOther = kMostOperations - 1;  // all that came after the table was full
constexpr size_t kMostEndedThreads = 32;     // whose events are kept
constexpr size_t kMostNameBytes = 31;
constexpr uint64_t kDetached = uint64_t{1} << 32;

int64_t to_ns(TimePoint time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

int64_t now_ns() noexcept { return to_ns(Clock::now()); }

/// One operation's totals of one thread. Written by that thread, read by snapshots. A reader that
/// sees a value of an update also sees that update's odd version, for all stores release and all
/// loads acquire; so equal even versions before and after mean values of one moment. No fences:
/// TSan does not know them.
class alignas(64) Totals {
 public:
  struct Values {
    int64_t count = 0, total = 0, self = 0, min = 0, max = 0, argument0 = 0, argument1 = 0;
  };

  void add(int64_t duration, int64_t self, int64_t argument0, int64_t argument1) noexcept {
    const uint64_t version = version_.load(std::memory_order_relaxed);
    version_.store(version + 1, std::memory_order_relaxed);
    const int64_t count = own(count_);
    const int64_t min = count == 0 ? duration : std::min(own(min_), duration);
    put(count_, count + 1);
    put(total_, own(total_) + duration);
    put(self_, own(self_) + self);
    put(min_, min);
    put(max_, std::max(own(max_), duration));
    if (argument0 != 0) put(argument0_, own(argument0_) + argument0);
    if (argument1 != 0) put(argument1_, own(argument1_) + argument1);
    version_.store(version + 2, std::memory_order_release);
  }

  Values read() const noexcept {
    for (;;) {
      const uint64_t before = version_.load(std::memory_order_acquire);
      const Values values = {get(count_), get(total_),     get(self_),     get(min_),
                             get(max_),   get(argument0_), get(argument1_)};
      if (before % 2 == 0 && version_.load(std::memory_order_relaxed) == before) return values;
      std::this_thread::yield();  // the writer may have lost its core in the midst
    }
  }

 private:
  using Word = std::atomic<int64_t>;
  static int64_t own(const Word& word) noexcept { return word.load(std::memory_order_relaxed); }
  static int64_t get(const Word& word) noexcept { return word.load(std::memory_order_acquire); }
  static void put(Word& word, int64_t value) noexcept {
    word.store(value, std::memory_order_release);
  }

  std::atomic<uint64_t> version_{0};
  Word count_{0}, total_{0}, self_{0}, min_{0}, max_{0}, argument0_{0}, argument1_{0};
};

/// The latest events of one thread; written by that thread, read by snapshots. Stores and loads as
/// in Totals: a reader that has seen a word of event i sees also that `written` is at least i.
class Ring {
 public:
  static constexpr size_t kWords = 5;
  using Words = std::array<uint64_t, kWords>;

  // Zero pages that cost nothing until they are written.
  explicit Ring(size_t events)
      : mask_(events - 1),
        words_(static_cast<uint64_t*>(std::calloc(events * kWords, sizeof(uint64_t)))) {}
  bool ok() const noexcept { return words_ != nullptr; }
  size_t size() const noexcept { return mask_ + 1; }
  void clear() noexcept { written_.store(0, std::memory_order_relaxed); }

  void put(const Words& event) noexcept {
    const uint64_t index = written_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < kWords; ++i) word(index, i).store(event[i], std::memory_order_release);
    written_.store(index + 1, std::memory_order_release);
  }

  /// Appends what is there, oldest first; returns how many are not.
  int64_t read(std::vector<Words>& out) const {
    const uint64_t end = written_.load(std::memory_order_acquire);
    const uint64_t begin = end > size() ? end - size() : 0;
    const size_t before = out.size();
    out.resize(before + (end - begin));
    for (uint64_t index = begin; index < end; ++index) {
      Words& event = out[before + (index - begin)];
      for (size_t i = 0; i < kWords; ++i) event[i] = word(index, i).load(std::memory_order_acquire);
    }
    // The writer has been at these meanwhile, and may be at one more just now.
    const uint64_t now = written_.load(std::memory_order_acquire);
    const uint64_t whole = now + 1 > size() ? now + 1 - size() : 0;
    const uint64_t torn = whole > begin ? std::min(whole, end) - begin : 0;
    out.erase(out.begin() + static_cast<ptrdiff_t>(before),
              out.begin() + static_cast<ptrdiff_t>(before + torn));
    return static_cast<int64_t>(begin + torn);
  }

 private:
  struct Free {
    void operator()(uint64_t* words) const noexcept { std::free(words); }
  };
  std::atomic_ref<uint64_t> word(uint64_t index, size_t i) const noexcept {
    return std::atomic_ref<uint64_t>(words_.get()[(index & mask_) * kWords + i]);
  }

  const size_t mask_;
  const std::unique_ptr<uint64_t[], Free> words_;
  std::atomic<uint64_t> written_{0};
};

struct ThreadLog {
  explicit ThreadLog(size_t events) : ring(events) {}

  uint32_t recording = 0;  // written by its thread with the recorder's lock held
  std::array<Totals, kMostOperations> totals;
  Ring ring;
  // With the recorder's lock.
  int64_t id = 0;
  std::string name;
  bool ended = false;
};

// Of each thread. Trivial, so that it outlives everything else of the thread.
struct ThreadState {
  ThreadLog* log = nullptr;
  Span* innermost = nullptr;
  char name[kMostNameBytes + 1] = {};
  bool ended = false;
};
constinit thread_local ThreadState this_thread_state;

/// Tells the recorder that a thread ends.
struct ThreadEnd {
  ~ThreadEnd();
  bool armed = false;
};
thread_local ThreadEnd this_thread_end;

struct NamedOperation {
  explicit NamedOperation(std::string_view text) : name(text), operation(name.c_str()) {}
  const std::string name;
  const Operation operation;
};

}  // namespace

/// The process's one. Never destroyed: threads may record until the very end.
class Recorder {
 public:
  static Recorder& instance() {
    static Recorder& recorder = *new Recorder;
    return recorder;
  }

  void start(const Options& options) {
    const std::lock_guard lock(mutex_);
    const uint32_t last = internal::recording.load(std::memory_order_relaxed);
    ring_events_ = std::bit_ceil(static_cast<size_t>(std::max(options.events_per_thread, 1)));
    origin_ns_.store(options.origin == TimePoint{} ? now_ns() : to_ns(options.origin),
                     std::memory_order_relaxed);
    retired_.clear();
    std::erase_if(logs_, [](const auto& log) { return log->ended; });
    recording_ = (last | 1) + ((last & 1) != 0 ? 2 : 0);
    internal::recording.store(recording_, std::memory_order_release);
  }

  void stop() noexcept {
    const std::lock_guard lock(mutex_);
    const uint32_t last = internal::recording.load(std::memory_order_relaxed);
    if ((last & 1) == 0) return;
    stopped_ns_ = now_ns();
    internal::recording.store(last + 1, std::memory_order_release);
  }

  static void begin(Span& span, int64_t argument0, int64_t argument1) noexcept {
    span.recording_ = internal::recording.load(std::memory_order_acquire);
    span.inside_ns_ = 0;
    span.arguments_[0] = argument0;
    span.arguments_[1] = argument1;
    span.outer_ = this_thread_state.innermost;
    this_thread_state.innermost = &span;
    span.begin_ns_ = now_ns();
  }

  void end(Span& span) noexcept {
    const int64_t duration = now_ns() - span.begin_ns_;
    this_thread_state.innermost = span.outer_;
    if (span.outer_ != nullptr) span.outer_->inside_ns_ += duration;
    put(*span.operation_, span.recording_, 0, span.begin_ns_, duration, duration - span.inside_ns_,
        span.arguments_);
  }

  void record(const Operation& operation, TimePoint begin, TimePoint end, int64_t argument0,
              int64_t argument1) noexcept {
    const uint32_t recording = internal::recording.load(std::memory_order_acquire);
    const int64_t begin_ns = to_ns(begin);
    if (begin_ns < origin_ns_.load(std::memory_order_relaxed)) return;
    const int64_t arguments[2] = {argument0, argument1};
    const int64_t duration = to_ns(end) - begin_ns;
    put(operation, recording, kDetached, begin_ns, duration, 0, arguments);
  }

  const Operation& named(std::string_view name) {
    const std::lock_guard lock(mutex_);
    for (const NamedOperation& known : named_) {
      if (known.name == name) return known.operation;
    }
    if (named_.size() >= kOther) return other_;
    return named_.emplace_back(name).operation;
  }

  void name_thread(std::string_view name) noexcept {
    ThreadState& state = this_thread_state;
    const size_t bytes = std::min(name.size(), kMostNameBytes);
    const std::lock_guard lock(mutex_);
    std::memcpy(state.name, name.data(), bytes);
    state.name[bytes] = '\0';
    if (state.log != nullptr) state.log->name = state.name;
  }

  void end_thread() noexcept {
    const std::lock_guard lock(mutex_);
    if (this_thread_state.log != nullptr) this_thread_state.log->ended = true;
    this_thread_state.log = nullptr;
    this_thread_state.ended = true;
  }

  Snapshot snapshot();

 private:
  void put(const Operation& operation, uint32_t recording, uint64_t flags, int64_t begin,
           int64_t duration, int64_t self, const int64_t (&arguments)[2]) noexcept {
    // Off, or on anew, since it began.
    if (internal::recording.load(std::memory_order_relaxed) != recording) return;
    ThreadLog* log = this_thread_state.log;
    if (log == nullptr || log->recording != recording) [[unlikely]] {
      log = renew_log(recording);
      if (log == nullptr) return;
    }
    int32_t id = operation.id_.load(std::memory_order_acquire);
    if (id < 0) [[unlikely]]
      id = enter(operation);
    log->totals[static_cast<size_t>(id)].add(duration, self, arguments[0], arguments[1]);
    log->ring.put({static_cast<uint64_t>(begin), static_cast<uint64_t>(duration),
                   static_cast<uint64_t>(id) | flags, static_cast<uint64_t>(arguments[0]),
                   static_cast<uint64_t>(arguments[1])});
  }

  // The first span of this thread in this recording. Null: the thread ends, or there is no memory;
  // then nothing is recorded of it.
  ThreadLog* renew_log(uint32_t recording) noexcept {
    ThreadState& state = this_thread_state;
    if (state.ended) return nullptr;
    const std::lock_guard lock(mutex_);
    if (recording != recording_) return nullptr;
    try {
      if (state.log != nullptr) {
        std::erase_if(logs_, [&](const auto& log) { return log.get() == state.log; });
        state.log = nullptr;
      }
      auto log = std::make_unique<ThreadLog>(ring_events_);
      if (!log->ring.ok()) return nullptr;
      log->recording = recording;
      log->id = ::gettid();
      log->name = state.name[0] != '\0' ? state.name : "thread " + std::to_string(log->id);
      retire_ended();
      logs_.push_back(std::move(log));
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    this_thread_end.armed = true;  // the first access makes its destructor run
    state.log = logs_.back().get();
    return state.log;
  }

  /// Threads that come and go must not fill the memory: of the oldest only the totals are kept.
  void retire_ended() {
    const auto ended = [](const auto& log) { return log->ended; };
    if (std::count_if(logs_.begin(), logs_.end(), ended) <
        static_cast<ptrdiff_t>(kMostEndedThreads)) {
      return;
    }
    const auto oldest = std::find_if(logs_.begin(), logs_.end(), ended);
    if ((*oldest)->recording == recording_) {
      for (int id = 0; id < entered_; ++id) {
        retire(id, (*oldest)->totals[static_cast<size_t>(id)].read());
      }
      retire(kOther, (*oldest)->totals[kOther].read());
    }
    logs_.erase(oldest);
  }

  static void add(Totals::Values& sum, const Totals::Values& values) noexcept {
    if (values.count == 0) return;
    sum.min = sum.count == 0 ? values.min : std::min(sum.min, values.min);
    sum.max = std::max(sum.max, values.max);
    sum.count += values.count;
    sum.total += values.total;
    sum.self += values.self;
    sum.argument0 += values.argument0;
    sum.argument1 += values.argument1;
  }
  void retire(int id, const Totals::Values& values) { add(retired_[id], values); }

  int32_t enter(const Operation& operation) noexcept {
    const std::lock_guard lock(mutex_);
    int32_t id = operation.id_.load(std::memory_order_relaxed);
    if (id >= 0) return id;  // another thread was first
    id = entered_ < kOther ? entered_++ : kOther;
    if (id < kOther) operations_[static_cast<size_t>(id)] = &operation;
    operation.id_.store(id, std::memory_order_release);
    return id;
  }

  std::mutex mutex_;
  uint32_t recording_ = 0;  // the current or the last one
  std::atomic<int64_t> origin_ns_{0};
  int64_t stopped_ns_ = 0;
  size_t ring_events_ = 1;
  std::array<const Operation*, kMostOperations> operations_{};
  int entered_ = 0;
  std::deque<NamedOperation> named_;
  const Operation other_{"other"};
  std::vector<std::unique_ptr<ThreadLog>> logs_;
  std::map<int, Totals::Values> retired_;  // of threads that have ended, by operation
};

namespace {
ThreadEnd::~ThreadEnd() {
  if (armed) Recorder::instance().end_thread();
}
}  // namespace

Snapshot Recorder::snapshot() {
  const std::lock_guard lock(mutex_);
  Snapshot shot;
  if (recording_ == 0) return shot;
  shot.process_id = ::getpid();
  shot.recording = enabled();
  const int64_t origin = origin_ns_.load(std::memory_order_relaxed);

  std::map<int, Totals::Values> sums = retired_;
  std::vector<Ring::Words> words;
  for (const auto& log : logs_) {
    if (log->recording != recording_) continue;
    const auto thread = static_cast<int>(shot.threads.size());
    words.clear();
    const int64_t dropped = log->ring.read(words);
    shot.threads.push_back({log->id, log->name, dropped});
    // Outer spans end, and so are written, after those within: with the sort they stand before.
    std::reverse(words.begin(), words.end());
    for (const Ring::Words& event : words) {
      Event& out = shot.events.emplace_back();
      out.operation = static_cast<int>(static_cast<uint32_t>(event[2]));  // its id, for now
      out.thread = thread;
      out.begin_ns = static_cast<int64_t>(event[0]) - origin;
      out.duration_ns = static_cast<int64_t>(event[1]);
      out.arguments[0] = static_cast<int64_t>(event[3]);
      out.arguments[1] = static_cast<int64_t>(event[4]);
      out.detached = (event[2] & kDetached) != 0;
    }
    // After the events, so that no event is without its totals.
    for (int id = 0; id < kMostOperations; ++id) {
      add(sums[id], log->totals[static_cast<size_t>(id)].read());
    }
  }
  shot.duration_ns = (shot.recording ? now_ns() : stopped_ns_) - origin;

  // Operations of one name are one: a name may stand in several files.
  std::map<std::string_view, int> index_of_name;
  std::vector<std::pair<const Operation*, Totals::Values>> by_index;
  std::array<int, kMostOperations> index_of_id{};
  const auto operation_of = [&](int id) {
    const Operation* operation = operations_[static_cast<size_t>(id)];
    return operation != nullptr ? operation : &other_;
  };
  for (const auto& [id, values] : sums) {
    if (values.count > 0) index_of_name.emplace(operation_of(id)->name(), 0);
  }
  for (auto& [name, index] : index_of_name) {
    index = static_cast<int>(shot.operations.size());
    shot.operations.emplace_back().name = name;
  }
  by_index.resize(shot.operations.size());
  for (const auto& [id, values] : sums) {
    if (values.count == 0) continue;
    const int index = index_of_name[operation_of(id)->name()];
    index_of_id[static_cast<size_t>(id)] = index;
    by_index[static_cast<size_t>(index)].first = operation_of(id);
    add(by_index[static_cast<size_t>(index)].second, values);
  }
  for (size_t i = 0; i < by_index.size(); ++i) {
    OperationTotals& out = shot.operations[i];
    const Totals::Values& values = by_index[i].second;
    for (const int argument : {0, 1}) {
      const char* counted = by_index[i].first->argument(argument);
      if (counted != nullptr) out.arguments[argument] = counted;
    }
    out.count = values.count;
    out.total_ns = values.total;
    out.self_ns = values.self;
    out.min_ns = values.min;
    out.max_ns = values.max;
    out.argument_totals[0] = values.argument0;
    out.argument_totals[1] = values.argument1;
  }
  for (Event& event : shot.events)
    event.operation = index_of_id[static_cast<size_t>(event.operation)];
  std::stable_sort(shot.events.begin(), shot.events.end(), [](const Event& a, const Event& b) {
    if (a.thread != b.thread) return a.thread < b.thread;
    if (a.begin_ns != b.begin_ns) return a.begin_ns < b.begin_ns;
    return a.duration_ns > b.duration_ns;
  });
  return shot;
}

void Span::begin(const Operation& operation, int64_t argument0, int64_t argument1) noexcept {
  operation_ = &operation;
  Recorder::begin(*this, argument0, argument1);
}

void Span::end() noexcept { Recorder::instance().end(*this); }

void NamedSpan::begin_named(std::string_view part, std::string_view name) noexcept {
  try {
    begin(Recorder::instance().named(std::string(part).append(1, '.').append(name)), 0, 0);
  } catch (const std::bad_alloc&) {  // left out
  }
}

void record(const Operation& operation, TimePoint begin, TimePoint end, int64_t argument0,
            int64_t argument1) noexcept {
  if (enabled()) [[unlikely]]
    Recorder::instance().record(operation, begin, end, argument0, argument1);
}

void name_thread(std::string_view name) noexcept { Recorder::instance().name_thread(name); }
void start(const Options& options) { Recorder::instance().start(options); }
void stop() noexcept { Recorder::instance().stop(); }
Snapshot snapshot() { return Recorder::instance().snapshot(); }

std::string_view OperationTotals::category() const noexcept {
  const std::string_view whole = name;
  return whole.substr(0, whole.find('.'));
}

const OperationTotals* Snapshot::find(std::string_view name) const noexcept {
  for (const OperationTotals& operation : operations) {
    if (operation.name == name) return &operation;
  }
  return nullptr;
}

}  // namespace lyre::trace
