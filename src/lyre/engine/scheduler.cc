#include "lyre/engine/scheduler.h"

#include <algorithm>
#include <tuple>

#include "lyre/base/check.h"

namespace lyre {

Scheduler::Scheduler(const Policy& policy, int most_tasks) : policy_(policy) {
  entries_.reserve(static_cast<size_t>(most_tasks));
  order_.reserve(static_cast<size_t>(most_tasks));
}

const Scheduler::Entry* Scheduler::find(TaskId id) const noexcept {
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), id,
                                   [](const Entry& entry, TaskId i) { return entry.task.id < i; });
  return it != entries_.end() && it->task.id == id ? &*it : nullptr;
}

Scheduler::Entry& Scheduler::at(TaskId id) {
  const Entry* entry = find(id);
  LYRE_CHECK(entry != nullptr);
  return entries_[static_cast<size_t>(entry - entries_.data())];
}

void Scheduler::add(const Task& task) {
  LYRE_CHECK(entries_.empty() || entries_.back().task.id < task.id);
  LYRE_CHECK(task.prompt_tokens > 0);
  entries_.push_back({.task = task, .prompt_left = task.prompt_tokens});
  ++waiting_;
}

void Scheduler::on_admitted(TaskId id) {
  Entry& entry = at(id);
  LYRE_CHECK(!entry.admitted);
  entry.admitted = true;
  --waiting_;
}

void Scheduler::on_prompt(TaskId id, int tokens) {
  Entry& entry = at(id);
  LYRE_CHECK(tokens <= entry.prompt_left);
  entry.prompt_left -= tokens;
}

void Scheduler::on_audio(TaskId id, TimePoint dry_at) { at(id).task.dry_at = dry_at; }

void Scheduler::set_paused(TaskId id, bool paused) { at(id).paused = paused; }

void Scheduler::promote(TaskId id, TimePoint dry_at) {
  Entry& entry = at(id);
  entry.task.rank = Rank::kSpeech;
  entry.task.dry_at = dry_at;
}

void Scheduler::remove(TaskId id) noexcept {
  const Entry* entry = find(id);
  if (entry == nullptr) return;
  if (!entry->admitted) --waiting_;
  entries_.erase(entries_.begin() + (entry - entries_.data()));
}

bool Scheduler::somebody_waits() const noexcept {
  return waiting_ > 0 && std::any_of(entries_.begin(), entries_.end(), [](const Entry& entry) {
           return !entry.admitted && entry.task.rank == Rank::kSpeech;
         });
}

void Scheduler::plan_admissions(const Capacity& capacity, StepPlan& plan) const {
  if (waiting_ == 0) return;
  order_.clear();
  for (const Entry& entry : entries_) {
    if (!entry.admitted) order_.push_back(&entry);
  }
  std::sort(order_.begin(), order_.end(), [](const Entry* a, const Entry* b) {
    return std::tie(a->task.rank, a->task.arrived, a->task.id) <
           std::tie(b->task.rank, b->task.arrived, b->task.id);
  });
  int sequences = capacity.free_sequences;
  int64_t kv_tokens = capacity.free_kv_tokens;
  for (const Entry* entry : order_) {
    // The first that does not fit ends the admissions, of lookaheads too.
    if (sequences < 1 || kv_tokens < entry->task.kv_tokens) break;
    --sequences;
    kv_tokens -= entry->task.kv_tokens;
    plan.admissions.push_back(entry->task.id);
  }
}

void Scheduler::plan(const Capacity& capacity, TimePoint now, StepPlan& plan) const {
  plan.admissions.clear();
  plan.slices.clear();
  plan_admissions(capacity, plan);

  order_.clear();
  int decodes_left = 0;
  bool tight = false;
  for (const Entry& entry : entries_) {
    const bool admitted =
        entry.admitted || std::find(plan.admissions.begin(), plan.admissions.end(),
                                    entry.task.id) != plan.admissions.end();
    if (!admitted || entry.paused) continue;
    order_.push_back(&entry);
    if (entry.prompt_left > 0) continue;
    ++decodes_left;
    const bool hears = entry.task.dry_at != entry.task.arrived;
    tight = tight || (hears && entry.task.dry_at - now < policy_.tight_lead);
  }
  std::sort(order_.begin(), order_.end(), [](const Entry* a, const Entry* b) {
    return std::tie(a->task.rank, a->task.dry_at, a->task.id) <
           std::tie(b->task.rank, b->task.dry_at, b->task.id);
  });

  int sequences = capacity.max_batch;
  int tokens = capacity.max_batch_tokens;
  int prompt_tokens =
      tight ? std::min(tokens, policy_.tight_prompt_tokens) : capacity.max_batch_tokens;
  for (const Entry* entry : order_) {
    if (sequences < 1 || tokens < 1) break;
    int chunk = 0;
    if (entry->prompt_left > 0) {
      // A prompt leaves a token to each decode behind it, but takes one itself in any case: its
      // turn has come.
      const int room = std::max(1, tokens - std::min(decodes_left, sequences - 1));
      chunk = std::min({entry->prompt_left, prompt_tokens, room});
      if (chunk < 1) continue;
      prompt_tokens -= chunk;
    } else {
      --decodes_left;
    }
    plan.slices.push_back({entry->task.id, chunk});
    --sequences;
    tokens -= std::max(1, chunk);
  }
}

}  // namespace lyre
