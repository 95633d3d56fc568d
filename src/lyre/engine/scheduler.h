#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "lyre/base/clock.h"

namespace lyre {

/// One segment of one request, spoken by one sequence of the language model. Ids are chosen by the
/// caller and never used twice.
using TaskId = int64_t;

/// What a step may use.
struct Capacity {
  int max_batch = 0;           // sequences in one step
  int max_batch_tokens = 0;    // tokens in one step, prompts and decodes together
  int free_sequences = 0;      // that can be opened now
  int64_t free_kv_tokens = 0;  // that can be reserved now
};

struct PlannedSlice {
  TaskId task = 0;
  int prompt_tokens = 0;  // the next so many ids of the prompt; 0: decode
};

/// Admissions come before the slices, which may name tasks admitted by the same plan.
struct StepPlan {
  std::vector<TaskId> admissions;  // open a sequence for each, in this order
  std::vector<PlannedSlice> slices;
};

/// Decides what the next step does. Pure: no clock, no device, no lock; time and capacity are
/// arguments. Not thread-safe.
///
/// The policy. Speech, unlike chat, is consumed at a fixed rate, so what counts is the moment at
/// which a listener runs dry (engine/playback_clock.h). The earliest such moment is served first
/// (earliest deadline first). Who has heard nothing yet runs dry at his arrival. Deadlines stand
/// still while a task waits and new ones begin later, so everybody is served in the end.
///
/// Admission is in order of arrival, by sequence slots and KV pages, and nobody overtakes: a
/// request that needs many pages is not starved by small ones.
///
/// Prompts are taken in by chunks next to the decodes of a step. While a listener is about to run
/// dry the chunks are small, so that a newcomer does not stall him.
class Scheduler {
 public:
  struct Policy {
    Clock::duration tight_lead = std::chrono::milliseconds(300);  // less is "about to run dry"
    int tight_prompt_tokens = 64;                                 // a step, while somebody is
  };

  enum class Rank : uint8_t {
    kSpeech,    // somebody listens to this segment now
    kLookahead  // the segment after it, begun early: only from what nobody else wants
  };

  struct Task {
    TaskId id = 0;
    int prompt_tokens = 0;
    int64_t kv_tokens = 0;  // that its sequence will reserve
    TimePoint arrived{};    // of the request
    TimePoint dry_at{};     // when its listener runs dry; `arrived` while he has heard nothing
    Rank rank = Rank::kSpeech;
  };

  /// most_tasks: known at once; memory for so many is taken here, more allocate.
  Scheduler(const Policy& policy, int most_tasks);

  /// The task waits for its admission. The id must be larger than all before it.
  void add(const Task& task);
  /// Its sequence is open.
  void on_admitted(TaskId id);
  /// So many prompt ids were taken in.
  void on_prompt(TaskId id, int tokens);
  /// Audio was sent: its listener runs dry later now.
  void on_audio(TaskId id, TimePoint dry_at);
  /// A paused task is left out of the steps: its listener has no room for what would come.
  void set_paused(TaskId id, bool paused);
  /// A lookahead whose turn has come: it takes over the listener.
  void promote(TaskId id, TimePoint dry_at);
  void remove(TaskId id) noexcept;  // of an unknown id: nothing

  int waiting() const noexcept { return waiting_; }  // not admitted
  /// One of those is of a listener, and not begun early.
  bool somebody_waits() const noexcept;

  /// Overwrites `plan`. Allocates nothing once its vectors have grown to the batch.
  void plan(const Capacity& capacity, TimePoint now, StepPlan& plan) const;

 private:
  struct Entry {
    Task task;
    int prompt_left = 0;
    bool admitted = false;
    bool paused = false;
  };
  const Entry* find(TaskId id) const noexcept;
  Entry& at(TaskId id);
  void plan_admissions(const Capacity& capacity, StepPlan& plan) const;

  Policy policy_;
  std::vector<Entry> entries_;  // by id, ascending
  int waiting_ = 0;
  mutable std::vector<const Entry*> order_;  // scratch of plan()
};

}  // namespace lyre
