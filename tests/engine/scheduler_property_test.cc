#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "lyre/engine/playback_clock.h"
#include "lyre/engine/scheduler.h"

namespace lyre {
namespace {

using std::chrono::milliseconds;

/// A machine with pages and slots that does what the plans say and checks each of them.
class Machine {
 public:
  explicit Machine(uint32_t seed) : random_(seed) {
    limits_ = {draw(1, 6), draw(1, 40), draw(1, 8), draw(200, 1000)};
  }

  void arrive() {
    const TaskId id = ++last_id_;
    Running task;
    task.prompt_left = draw(1, 60);
    task.decodes_left = draw(1, 80);
    task.kv_tokens = draw(1, 200);
    task.rank = draw(0, 5) == 0 ? Scheduler::Rank::kLookahead : Scheduler::Rank::kSpeech;
    task.arrived = now_;
    task.clock = PlaybackClock(now_);
    tasks_[id] = task;
    scheduler_.add({id, task.prompt_left, task.kv_tokens, now_, now_, task.rank});
  }

  void cancel_any() {
    if (tasks_.empty()) return;
    finish(std::next(tasks_.begin(), draw(0, static_cast<int>(tasks_.size()) - 1))->first);
  }

  void pause_any() {
    for (auto& [id, task] : tasks_) {
      task.paused = draw(0, 3) == 0;
      scheduler_.set_paused(id, task.paused);
    }
  }
  void resume_all() {
    for (auto& [id, task] : tasks_) {
      task.paused = false;
      scheduler_.set_paused(id, false);
    }
  }
  void promote_all() {
    for (auto& [id, task] : tasks_) {
      if (task.rank != Scheduler::Rank::kLookahead) continue;
      task.rank = Scheduler::Rank::kSpeech;
      scheduler_.promote(id, task.clock.dry_at());
    }
  }

  void step() {
    now_ += milliseconds(draw(1, 40));
    Capacity capacity = limits_;
    capacity.free_sequences -= open_;
    capacity.free_kv_tokens -= reserved_;
    scheduler_.plan(capacity, now_, plan_);
    admit();
    check_slices();
    run();
  }

  size_t unfinished() const { return tasks_.size(); }
  int64_t longest_wait_ms() const { return longest_wait_ms_; }

 private:
  struct Running {
    int prompt_left = 0, decodes_left = 0;
    int64_t kv_tokens = 0;
    Scheduler::Rank rank = Scheduler::Rank::kSpeech;
    TimePoint arrived;
    PlaybackClock clock;
    bool admitted = false, paused = false;
  };

  int draw(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }

  void admit() {
    for (const TaskId id : plan_.admissions) {
      ASSERT_TRUE(tasks_.contains(id)) << "admits a removed task";
      Running& task = tasks_[id];
      ASSERT_FALSE(task.admitted) << "admits twice";
      for (const auto& [other, waiting] : tasks_) {
        if (waiting.admitted || other == id) continue;
        const bool before =
            std::tie(waiting.rank, waiting.arrived, other) < std::tie(task.rank, task.arrived, id);
        ASSERT_FALSE(before) << id << " overtakes " << other;
      }
      task.admitted = true;
      ++open_;
      reserved_ += task.kv_tokens;
      scheduler_.on_admitted(id);
    }
    ASSERT_LE(open_, limits_.free_sequences);
    ASSERT_LE(reserved_, limits_.free_kv_tokens) << "more pages than there are";
  }

  void check_slices() {
    std::set<TaskId> planned;
    int tokens = 0;
    for (const PlannedSlice& slice : plan_.slices) {
      ASSERT_TRUE(tasks_.contains(slice.task)) << "plans a removed task";
      const Running& task = tasks_[slice.task];
      ASSERT_TRUE(task.admitted);
      ASSERT_FALSE(task.paused) << "plans a paused task";
      ASSERT_TRUE(planned.insert(slice.task).second) << "plans a task twice";
      ASSERT_EQ(slice.prompt_tokens > 0, task.prompt_left > 0);
      ASSERT_LE(slice.prompt_tokens, task.prompt_left);
      tokens += std::max(1, slice.prompt_tokens);
    }
    ASSERT_LE(static_cast<int>(planned.size()), limits_.max_batch);
    ASSERT_LE(tokens, limits_.max_batch_tokens);
    // The batch is used in full: nobody who could decode is left out while there is room.
    const bool full =
        static_cast<int>(planned.size()) == limits_.max_batch || tokens == limits_.max_batch_tokens;
    for (const auto& [id, task] : tasks_) {
      const bool decodes = task.admitted && !task.paused && task.prompt_left == 0;
      ASSERT_TRUE(full || !decodes || planned.contains(id)) << "leaves room unused";
    }
  }

  void run() {
    for (const PlannedSlice& slice : plan_.slices) {
      Running& task = tasks_[slice.task];
      if (slice.prompt_tokens > 0) {
        task.prompt_left -= slice.prompt_tokens;
        scheduler_.on_prompt(slice.task, slice.prompt_tokens);
        continue;
      }
      if (--task.decodes_left == 0) {
        longest_wait_ms_ = std::max<int64_t>(
            longest_wait_ms_,
            std::chrono::duration_cast<milliseconds>(now_ - task.arrived).count());
        finish(slice.task);
      } else if (task.decodes_left % 7 == 0) {
        task.clock.on_audio(milliseconds(85), now_);
        scheduler_.on_audio(slice.task, task.clock.dry_at());
      }
    }
  }

  void finish(TaskId id) {
    const Running& task = tasks_[id];
    if (task.admitted) {
      --open_;
      reserved_ -= task.kv_tokens;
    }
    tasks_.erase(id);
    scheduler_.remove(id);
  }

  std::mt19937 random_;
  Scheduler scheduler_{Scheduler::Policy{}, 8};
  Capacity limits_;
  StepPlan plan_;
  std::map<TaskId, Running> tasks_;
  TaskId last_id_ = 0;
  TimePoint now_{};
  int open_ = 0;
  int64_t reserved_ = 0;
  int64_t longest_wait_ms_ = 0;
};

TEST(SchedulerProperty, EveryPlanIsLegalAndEverybodyFinishes) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Machine machine(seed);
    for (int round = 0; round < 200; ++round) {
      if (round % 3 == 0) machine.arrive();
      if (round % 17 == 0) machine.cancel_any();
      if (round % 11 == 0) machine.pause_any();
      if (round % 23 == 0) machine.promote_all();
      machine.step();
      if (testing::Test::HasFatalFailure()) return;
    }
    machine.resume_all();
    machine.promote_all();
    // Every step works on something, so the sum of all work bounds the number of steps.
    for (int round = 0; machine.unfinished() > 0; ++round) {
      ASSERT_LT(round, 67 * 140) << machine.unfinished() << " tasks starve";
      machine.step();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// A listener with a lead waits while newcomers come without end, more than the machine can bear.
// His deadline stands still, so he is served before those who come later.
TEST(SchedulerProperty, NobodyStarvesUnderASteadyStreamOfNewcomers) {
  Scheduler scheduler{Scheduler::Policy{}, 64};
  StepPlan plan;
  TimePoint now{};
  TaskId last_id = 0;
  std::map<TaskId, int> decodes_left;
  const auto arrive = [&](int decodes) {
    scheduler.add({++last_id, 1, 1, now, now});
    scheduler.on_admitted(last_id);
    decodes_left[last_id] = decodes;
    return last_id;
  };
  const TaskId old = arrive(200);
  scheduler.on_audio(old, now + milliseconds(500));
  for (int step = 0; decodes_left.contains(old); ++step) {
    ASSERT_LT(step, 2000) << "the old listener starves";
    now += milliseconds(10);
    if (step % 4 == 0) arrive(4);
    scheduler.plan({1, 256, 0, 0}, now, plan);
    for (const PlannedSlice& slice : plan.slices) {
      if (slice.prompt_tokens > 0) {
        scheduler.on_prompt(slice.task, slice.prompt_tokens);
      } else if (--decodes_left[slice.task] == 0) {
        decodes_left.erase(slice.task);
        scheduler.remove(slice.task);
      }
    }
  }
}

}  // namespace
}  // namespace lyre
