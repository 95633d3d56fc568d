#include "lyre/lm/sequence_table.h"

#include <algorithm>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/philox.h"
#include "support/expect_error.h"

namespace lyre::test {
namespace {

constexpr int kVocabulary = 100;
constexpr int64_t kPage = SequenceTable::kPageTokens;

SequenceTable small_table() {
  return SequenceTable({.vocabulary = kVocabulary,
                        .max_sequences = 4,
                        .max_sequence_tokens = 256,
                        .max_batch_tokens = 50,
                        .kv_tokens = 6 * kPage});
}

// Seven slots of ten codes from 20 on; stops before, inside and behind them.
SequenceOptions options(int max_tokens, bool legal_slots = true) {
  SequenceOptions result;
  result.layout = {.first_code = 20, .codebook_size = 10, .stop_ids = {95, 3, 3, 25}};
  result.max_tokens = max_tokens;
  result.sampling.legal_slots = legal_slots;
  result.sampling.temperature = 0;
  result.sampling.repetition_penalty = 1;
  return result;
}

SequenceId opened(SequenceTable& table, const SequenceOptions& wanted) {
  auto id = table.open(wanted);
  EXPECT_TRUE(id.ok());
  return id.ok() ? *id : -1;
}

std::span<const SliceWork> planned(SequenceTable& table, std::span<const Slice> batch,
                                   std::vector<SliceResult>& results) {
  results.assign(batch.size(), {});
  auto work = table.plan(batch, results);
  EXPECT_TRUE(work.ok());
  return work.ok() ? *work : std::span<const SliceWork>{};
}

TEST(SequenceTable, ReservesWholePagesAndReturnsThemAtOnce) {
  SequenceTable table = small_table();
  EXPECT_EQ(table.free_pages(), 6);
  const SequenceId one = opened(table, options(1));
  EXPECT_EQ(table.free_pages(), 5);
  const SequenceId two = opened(table, options(65));
  EXPECT_EQ(table.free_pages(), 3);
  const SequenceId three = opened(table, options(64));
  EXPECT_EQ(table.free_pages(), 2);
  table.close(two);
  EXPECT_EQ(table.free_pages(), 4);
  table.close(one);
  table.close(three);
  EXPECT_EQ(table.free_pages(), 6);
  EXPECT_EQ(table.free_sequences(), 4);
}

TEST(SequenceTable, ExhaustedPoolLeaksNothing) {
  SequenceTable table = small_table();
  const SequenceId big = opened(table, options(256));
  EXPECT_EQ(table.free_pages(), 2);
  EXPECT_TRUE(is_error(table.open(options(129)), ErrorCode::kResourceExhausted,
                       {"KV pages", "3 needed", "2 of 6 free"}));
  EXPECT_EQ(table.free_pages(), 2);
  EXPECT_EQ(table.free_sequences(), 3);
  const SequenceId fits = opened(table, options(128));
  table.close(big);
  table.close(fits);
  EXPECT_EQ(table.free_pages(), 6);
}

TEST(SequenceTable, ExhaustedSequences) {
  SequenceTable table = small_table();
  for (int i = 0; i < 4; ++i) opened(table, options(10));
  EXPECT_TRUE(is_error(table.open(options(10)), ErrorCode::kResourceExhausted, {"4 sequences"}));
  EXPECT_EQ(table.free_pages(), 2);
}

TEST(SequenceTable, RefusesImpossibleOptions) {
  SequenceTable table = small_table();
  const auto refused = [&](auto change, std::initializer_list<std::string_view> words) {
    SequenceOptions wanted = options(10);
    change(wanted);
    return is_error(table.open(wanted), ErrorCode::kInvalidArgument, words);
  };
  EXPECT_TRUE(refused([](auto& o) { o.max_tokens = 0; }, {"max_tokens", "[1, 256]", "found 0"}));
  EXPECT_TRUE(refused([](auto& o) { o.max_tokens = 257; }, {"max_tokens", "257"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.first_code = 31; }, {"code layout", "31", "100"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.first_code = -1; }, {"code layout"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.codebook_size = 0; }, {"code layout"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.codebook_size = 400'000'000; }, {"code layout"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.stop_ids = {100}; }, {"stop_ids", "99", "found 100"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.stop_ids = {-1}; }, {"stop_ids"}));
  EXPECT_TRUE(refused([](auto& o) { o.layout.stop_ids.assign(16, 1); }, {"stop_ids", "15"}));
  EXPECT_TRUE(refused([](auto& o) { o.sampling.top_p = 0; }, {"top_p"}));
  EXPECT_EQ(table.free_pages(), 6);
  // Without legal slots nobody needs to know where the codes lie.
  EXPECT_TRUE(
      table.open({.sampling = options(1, false).sampling, .layout = {}, .max_tokens = 5}).ok());
}

TEST(SequenceTable, LegalRowsOfEverySlot) {
  Sequence sequence;
  sequence.options = options(10);
  const auto rows = [&](int drawn) {
    sequence.drawn_tokens = drawn;
    const LegalRows legal(sequence, kVocabulary);
    return std::vector<TokenRange>(legal.ranges().begin(), legal.ranges().end());
  };
  sequence.options.layout.stop_ids = {3, 25, 95};  // as open() leaves them: sorted, each once
  EXPECT_EQ(rows(0), (std::vector<TokenRange>{{3, 4}, {20, 30}, {95, 96}}));
  EXPECT_EQ(rows(7), rows(0));
  for (int slot = 1; slot < 7; ++slot) {
    EXPECT_EQ(rows(slot), (std::vector<TokenRange>{{20 + 10 * slot, 30 + 10 * slot}}));
    EXPECT_EQ(rows(slot + 70), rows(slot));
  }
  sequence.options.layout.stop_ids = {};
  EXPECT_EQ(rows(0), (std::vector<TokenRange>{{20, 30}}));
  sequence.options.sampling.legal_slots = false;
  EXPECT_EQ(rows(3), (std::vector<TokenRange>{{0, 100}}));
}

TEST(SequenceTable, PlansPromptsDecodesAndTheirEnd) {
  SequenceTable table = small_table();
  const SequenceId id = opened(table, options(4));
  const std::vector<TokenId> prompt = {1, 2};
  std::vector<SliceResult> results;
  DrawScratch scratch(kVocabulary);

  Slice slice = {id, std::span(prompt).first(1), 0};
  auto work = planned(table, {&slice, 1}, results);
  EXPECT_EQ(work[0].tokens.size(), 1u);
  EXPECT_FALSE(work[0].draws);

  slice = {id, std::span(prompt).subspan(1), 1};
  work = planned(table, {&slice, 1}, results);
  EXPECT_EQ(work[0].first_position, 1);
  EXPECT_TRUE(work[0].draws);
  std::vector<float> logits(kVocabulary, 0.0f);
  logits[24] = 1;
  table.draw(*work[0].sequence, logits, scratch, results[0]);
  EXPECT_EQ(results[0].count, 1);
  EXPECT_EQ(results[0].tokens[0], 24);
  EXPECT_FALSE(results[0].stopped);

  slice = {id, {}, 1};
  work = planned(table, {&slice, 1}, results);
  ASSERT_EQ(work[0].tokens.size(), 1u);
  EXPECT_EQ(work[0].tokens[0], 24);
  EXPECT_EQ(work[0].first_position, 2);
  table.draw(*work[0].sequence, logits, scratch, results[0]);
  EXPECT_EQ(results[0].tokens[0], 30);  // slot 1: its first code among equals, not id 24

  // Two prompt and two drawn tokens: the limit.
  work = planned(table, {&slice, 1}, results);
  EXPECT_TRUE(work[0].tokens.empty());
  EXPECT_FALSE(work[0].draws);
  EXPECT_EQ(results[0].count, 0);
  EXPECT_FALSE(results[0].stopped);
}

TEST(SequenceTable, StopsAtAnyStopIdAndStaysStopped) {
  SequenceTable table = small_table();
  const SequenceId id = opened(table, options(100));
  const std::vector<TokenId> prompt = {1};
  std::vector<SliceResult> results;
  DrawScratch scratch(kVocabulary);
  Slice slice = {id, prompt, 1};
  const auto work = planned(table, {&slice, 1}, results);
  std::vector<float> logits(kVocabulary, 0.0f);
  logits[95] = 2;
  table.draw(*work[0].sequence, logits, scratch, results[0]);
  EXPECT_EQ(results[0].tokens[0], 95);
  EXPECT_TRUE(results[0].stopped);
  slice = {id, {}, 1};
  EXPECT_TRUE(planned(table, {&slice, 1}, results)[0].tokens.empty());
  EXPECT_EQ(results[0].count, 0);
  EXPECT_TRUE(results[0].stopped);
}

TEST(SequenceTable, ABadBatchChangesNothing) {
  SequenceTable table = small_table();
  const SequenceId good = opened(table, options(100)), small = opened(table, options(3));
  const std::vector<TokenId> prompt = {1, 2, 3, 4}, outside = {1, 100}, negative = {-1};
  const std::vector<TokenId> many(51, 1);
  const auto refused = [&](Slice bad, std::initializer_list<std::string_view> words) {
    const Slice batch[] = {{good, std::span(prompt).first(1), 1}, bad};
    SliceResult results[2];
    return is_error(table.plan(batch, results), ErrorCode::kInvalidArgument, words);
  };
  EXPECT_TRUE(refused({7, prompt, 1}, {"sequence 7", "not open"}));
  EXPECT_TRUE(refused({-1, prompt, 1}, {"not open"}));
  EXPECT_TRUE(refused({3, prompt, 1}, {"sequence 3", "not open"}));
  EXPECT_TRUE(refused({small, {}, 1}, {"needs prompt ids"}));
  EXPECT_TRUE(refused({small, prompt, 1}, {"max_tokens = 3", "found 4"}));
  EXPECT_TRUE(refused({small, outside, 1}, {"[0, 99]", "found 100"}));
  EXPECT_TRUE(refused({small, negative, 1}, {"found -1"}));
  EXPECT_TRUE(refused({good, prompt, 1}, {"two slices"}));
  const SequenceId large = opened(table, options(100));
  EXPECT_TRUE(refused({large, many, 1}, {"at most 50 tokens", "found 52"}));
  // The good sequence has still taken nothing in.
  const Slice slice = {good, prompt, 1};
  std::vector<SliceResult> results;
  EXPECT_EQ(planned(table, {&slice, 1}, results)[0].first_position, 0);
}

TEST(SequenceTable, PromptIdsAfterADrawAreRefused) {
  SequenceTable table = small_table();
  const SequenceId id = opened(table, options(10));
  const std::vector<TokenId> prompt = {1};
  const Slice slice = {id, prompt, 1};
  std::vector<SliceResult> results;
  DrawScratch scratch(kVocabulary);
  const auto work = planned(table, {&slice, 1}, results);
  table.draw(*work[0].sequence, std::vector<float>(kVocabulary), scratch, results[0]);
  EXPECT_TRUE(is_error(table.plan({&slice, 1}, results), ErrorCode::kInvalidArgument,
                       {"after the first draw"}));
}

TEST(SequenceTable, AReusedSequenceRemembersNothing) {
  SequenceTable table = small_table();
  const std::vector<TokenId> prompt = {24};
  std::vector<float> logits(kVocabulary, 0.0f);
  logits[24] = 1.0f;
  logits[26] = 0.9f;
  DrawScratch scratch(kVocabulary);
  for (const TokenId first : {24, 30}) {
    // With a penalty of 2 the second best wins where the prompt holds the best.
    SequenceOptions wanted = options(10);
    wanted.sampling.repetition_penalty = 2;
    const SequenceId id = opened(table, wanted);
    const std::vector<TokenId> ids = {first};
    const Slice slice = {id, ids, 1};
    std::vector<SliceResult> results;
    const auto work = planned(table, {&slice, 1}, results);
    table.draw(*work[0].sequence, logits, scratch, results[0]);
    EXPECT_EQ(results[0].tokens[0], first == 24 ? 26 : 24);
    table.close(id);
  }
}

// Opens and closes at random against a count of its own; pages are never shared.
TEST(SequenceTable, RandomOpensAndClosesNeverLoseOrShareAPage) {
  SequenceTable table({.vocabulary = kVocabulary,
                       .max_sequences = 9,
                       .max_sequence_tokens = 512,
                       .max_batch_tokens = 600,
                       .kv_tokens = 20 * kPage + 17});
  struct Open {
    SequenceId id;
    int pages;
    const Sequence* sequence;
  };
  std::vector<Open> open;
  int used = 0;
  for (uint32_t step = 0; step < 3000; ++step) {
    const auto random = philox4x32({step, 0, 0, 0}, {99, 0});
    if (random[0] % 2 == 0 && !open.empty()) {
      const size_t victim = random[1] % open.size();
      table.close(open[victim].id);
      used -= open[victim].pages;
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(victim));
    } else {
      const int tokens = 1 + static_cast<int>(random[1] % 512);
      const int pages = SequenceTable::pages_for(tokens);
      const auto id = table.open(options(tokens));
      const bool fits = open.size() < 9 && used + pages <= 20;
      ASSERT_EQ(id.ok(), fits);
      if (fits) {
        const std::vector<TokenId> prompt = {1};
        const Slice slice = {*id, prompt, 0};
        std::vector<SliceResult> results;
        open.push_back({*id, pages, planned(table, {&slice, 1}, results)[0].sequence});
        used += pages;
      }
    }
    ASSERT_EQ(table.free_pages(), 20 - used);
    ASSERT_EQ(table.free_sequences(), 9 - static_cast<int>(open.size()));
    std::set<int32_t> pages;
    for (const Open& one : open) {
      for (const int32_t page : one.sequence->pages) {
        ASSERT_TRUE(pages.insert(page).second);
        ASSERT_TRUE(page >= 0 && page < 20);
      }
    }
  }
}

}  // namespace
}  // namespace lyre::test
