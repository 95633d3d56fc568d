#pragma once

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/lm/language_model.h"

namespace lyre::test {

/// Greedy decoding over all rows, with a penalty.
inline SequenceOptions greedy_options(const CodeLayout& layout, float penalty, bool legal_slots,
                                      int max_tokens) {
  SequenceOptions options;
  options.sampling.temperature = 0;
  options.sampling.top_p = 1;
  options.sampling.repetition_penalty = penalty;
  options.sampling.legal_slots = legal_slots;
  options.layout = layout;
  options.max_tokens = max_tokens;
  return options;
}

/// One step of one sequence; nothing is drawn where it fails, which fails the test.
inline SliceResult step_one(LanguageModel& model, SequenceId id, std::span<const TokenId> prompt,
                            int most_tokens = 1) {
  const Slice slice = {id, prompt, most_tokens};
  SliceResult result;
  const Status stepped = model.step({&slice, 1}, {&result, 1});
  EXPECT_TRUE(stepped.ok()) << stepped.error().message;
  return result;
}

/// Takes the prompt in, in chunks of at most `chunk` ids, and draws until the stop or until
/// `most` tokens.
inline std::vector<TokenId> generate(LanguageModel& model, SequenceId id,
                                     std::span<const TokenId> prompt, size_t most,
                                     size_t chunk = SIZE_MAX) {
  std::vector<TokenId> drawn;
  for (; prompt.size() > chunk; prompt = prompt.subspan(chunk)) {
    LYRE_CHECK(step_one(model, id, prompt.first(chunk), 0).count == 0);
  }
  while (drawn.size() < most) {
    const SliceResult result = step_one(model, id, prompt);
    for (int i = 0; i < result.count; ++i) drawn.push_back(result.tokens[i]);
    prompt = {};
    if (result.stopped || result.count == 0) break;
  }
  return drawn;
}

}  // namespace lyre::test
