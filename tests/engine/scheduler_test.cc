#include "lyre/engine/scheduler.h"

#include <gtest/gtest.h>

namespace lyre {
namespace {

using std::chrono::milliseconds;
using Rank = Scheduler::Rank;

constexpr TimePoint kStart{};
constexpr Capacity kPlenty = {16, 256, 16, 100'000};

std::vector<std::pair<TaskId, int>> slices(const StepPlan& plan) {
  std::vector<std::pair<TaskId, int>> result;
  for (const PlannedSlice& slice : plan.slices) {
    result.emplace_back(slice.task, slice.prompt_tokens);
  }
  return result;
}
using Slices = std::vector<std::pair<TaskId, int>>;

Scheduler::Task task(TaskId id, int prompt_tokens = 10, int64_t kv_tokens = 100,
                     milliseconds arrived = {}, Rank rank = Rank::kSpeech) {
  return {id, prompt_tokens, kv_tokens, kStart + arrived, kStart + arrived, rank};
}

class SchedulerTest : public testing::Test {
 protected:
  const StepPlan& plan(const Capacity& capacity = kPlenty, milliseconds now = milliseconds(1000)) {
    scheduler_.plan(capacity, kStart + now, plan_);
    return plan_;
  }
  /// A task whose prompt is taken in.
  void add_decoding(TaskId id, milliseconds arrived = {}, Rank rank = Rank::kSpeech) {
    scheduler_.add(task(id, 10, 100, arrived, rank));
    scheduler_.on_admitted(id);
    scheduler_.on_prompt(id, 10);
  }

  Scheduler scheduler_{Scheduler::Policy{}, 64};
  StepPlan plan_;
};

TEST_F(SchedulerTest, NothingToDoIsAnEmptyPlan) {
  EXPECT_TRUE(plan().admissions.empty());
  EXPECT_TRUE(plan().slices.empty());
}

TEST_F(SchedulerTest, AdmitsAndBeginsInTheSamePlan) {
  scheduler_.add(task(1, 48));
  EXPECT_EQ(plan().admissions, std::vector<TaskId>{1});
  EXPECT_EQ(slices(plan()), (Slices{{1, 48}}));
  EXPECT_EQ(scheduler_.waiting(), 1);
  scheduler_.on_admitted(1);
  EXPECT_EQ(scheduler_.waiting(), 0);
  scheduler_.on_prompt(1, 48);
  EXPECT_TRUE(plan().admissions.empty());
  EXPECT_EQ(slices(plan()), (Slices{{1, 0}}));
}

TEST_F(SchedulerTest, AdmitsInOrderOfArrivalAndNobodyOvertakes) {
  scheduler_.add(task(1, 10, 500, milliseconds(20)));
  scheduler_.add(task(2, 10, 100, milliseconds(10)));
  scheduler_.add(task(3, 10, 100, milliseconds(30)));
  EXPECT_EQ(plan({16, 256, 16, 10'000}).admissions, (std::vector<TaskId>{2, 1, 3}));
  EXPECT_EQ(plan({16, 256, 2, 10'000}).admissions, (std::vector<TaskId>{2, 1}));
  // Task 3 would fit in the 400 tokens that are left, but task 1 waits before it.
  EXPECT_EQ(plan({16, 256, 16, 500}).admissions, (std::vector<TaskId>{2}));
  EXPECT_TRUE(plan({16, 256, 16, 99}).admissions.empty());
  EXPECT_TRUE(plan({16, 256, 0, 10'000}).admissions.empty());
}

TEST_F(SchedulerTest, LookaheadIsAdmittedOnlyIfNobodyWaits) {
  scheduler_.add(task(1, 10, 100, milliseconds(0), Rank::kLookahead));
  scheduler_.add(task(2, 10, 500, milliseconds(50)));
  EXPECT_TRUE(plan({16, 256, 16, 400}).admissions.empty());
  EXPECT_EQ(plan({16, 256, 16, 600}).admissions, (std::vector<TaskId>{2, 1}));
}

TEST_F(SchedulerTest, ALookaheadIsNobodyWhoWaits) {
  EXPECT_FALSE(scheduler_.somebody_waits());
  scheduler_.add(task(1, 10, 100, milliseconds(0), Rank::kLookahead));
  EXPECT_EQ(scheduler_.waiting(), 1);
  EXPECT_FALSE(scheduler_.somebody_waits());
  scheduler_.promote(1, kStart);
  EXPECT_TRUE(scheduler_.somebody_waits());
  scheduler_.on_admitted(1);
  EXPECT_FALSE(scheduler_.somebody_waits());
}

TEST_F(SchedulerTest, EarliestToRunDryComesFirstWhenTheBatchIsLimited) {
  for (TaskId id = 1; id <= 3; ++id) add_decoding(id);
  scheduler_.on_audio(1, kStart + milliseconds(900));
  scheduler_.on_audio(2, kStart + milliseconds(300));
  scheduler_.on_audio(3, kStart + milliseconds(600));
  EXPECT_EQ(slices(plan({2, 256, 0, 0})), (Slices{{2, 0}, {3, 0}}));
}

TEST_F(SchedulerTest, WhoHasHeardNothingIsBeforeWhoHasALead) {
  add_decoding(1);
  scheduler_.on_audio(1, kStart + milliseconds(5000));
  scheduler_.add(task(2, 30, 100, milliseconds(900)));
  EXPECT_EQ(slices(plan({1, 256, 4, 1000})), (Slices{{2, 30}}));
}

TEST_F(SchedulerTest, PromptsLeaveATokenToEachDecode) {
  for (TaskId id = 1; id <= 4; ++id) add_decoding(id, milliseconds(100));
  scheduler_.add(task(5, 1000));  // the oldest: first in the batch
  scheduler_.on_admitted(5);
  EXPECT_EQ(slices(plan({16, 100, 0, 0})), (Slices{{5, 96}, {1, 0}, {2, 0}, {3, 0}, {4, 0}}));
  // With room for two sequences one decode is left in the batch.
  EXPECT_EQ(slices(plan({2, 100, 0, 0})), (Slices{{5, 99}, {1, 0}}));
}

TEST_F(SchedulerTest, APromptAdvancesEvenWhereDecodesFillTheStep) {
  for (TaskId id = 1; id <= 4; ++id) add_decoding(id, milliseconds(100));
  scheduler_.add(task(5, 1000));
  scheduler_.on_admitted(5);
  EXPECT_EQ(slices(plan({16, 3, 0, 0})), (Slices{{5, 1}, {1, 0}, {2, 0}}));
}

TEST_F(SchedulerTest, ChunksAreSmallWhileAListenerIsAboutToRunDry) {
  add_decoding(1);
  scheduler_.on_audio(1, kStart + milliseconds(1000));
  scheduler_.add(task(2, 200));
  scheduler_.on_admitted(2);
  EXPECT_EQ(slices(plan(kPlenty, milliseconds(600))), (Slices{{2, 200}, {1, 0}}));
  EXPECT_EQ(slices(plan(kPlenty, milliseconds(800))), (Slices{{2, 64}, {1, 0}}));
  scheduler_.on_prompt(2, 190);
  EXPECT_EQ(slices(plan(kPlenty, milliseconds(800))), (Slices{{2, 10}, {1, 0}}));
  scheduler_.set_paused(1, true);
  scheduler_.add(task(3, 200));
  scheduler_.on_admitted(3);
  EXPECT_EQ(slices(plan(kPlenty, milliseconds(800))), (Slices{{2, 10}, {3, 200}}));
}

TEST_F(SchedulerTest, PausedIsLeftOutAndItsPlaceIsUsed) {
  for (TaskId id = 1; id <= 3; ++id) add_decoding(id);
  scheduler_.set_paused(1, true);
  EXPECT_EQ(slices(plan({2, 256, 0, 0})), (Slices{{2, 0}, {3, 0}}));
  scheduler_.set_paused(1, false);
  EXPECT_EQ(slices(plan({2, 256, 0, 0})), (Slices{{1, 0}, {2, 0}}));
}

TEST_F(SchedulerTest, LookaheadStepsBehindEverybodyUntilItsTurn) {
  add_decoding(1, milliseconds(0), Rank::kLookahead);
  add_decoding(2, milliseconds(900));
  scheduler_.on_audio(2, kStart + milliseconds(5000));
  EXPECT_EQ(slices(plan({1, 256, 0, 0})), (Slices{{2, 0}}));
  EXPECT_EQ(slices(plan({2, 256, 0, 0})), (Slices{{2, 0}, {1, 0}}));
  scheduler_.promote(1, kStart + milliseconds(100));
  EXPECT_EQ(slices(plan({1, 256, 0, 0})), (Slices{{1, 0}}));
}

TEST_F(SchedulerTest, RemovedIsNeverPlanned) {
  scheduler_.add(task(1));
  add_decoding(2);
  scheduler_.remove(1);
  scheduler_.remove(2);
  scheduler_.remove(2);
  scheduler_.remove(77);
  EXPECT_EQ(scheduler_.waiting(), 0);
  EXPECT_TRUE(plan().admissions.empty());
  EXPECT_TRUE(plan().slices.empty());
}

}  // namespace
}  // namespace lyre
