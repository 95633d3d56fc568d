#include "lyre/lm/model_info.h"

#include <algorithm>
#include <limits>
#include <string>

namespace lyre {

Result<LanguageModelOptions> settle_options(const LanguageModelOptions& options,
                                            const LlamaConfig& config) {
  const auto check = [](const char* name, int64_t value, int64_t least, int64_t most) -> Status {
    if (value >= least && value <= most) return ok_status();
    return Error{ErrorCode::kInvalidArgument,
                 std::string(name) + ": expected " + std::to_string(least) + " to " +
                     std::to_string(most) + ", found " + std::to_string(value)};
  };
  constexpr int kMostSequences = 4096, kMostTokens = 1 << 20;
  LYRE_RETURN_IF_ERROR(check("max_sequences", options.max_sequences, 1, kMostSequences));
  LYRE_RETURN_IF_ERROR(check("max_sequence_tokens", options.max_sequence_tokens, 2, kMostTokens));
  LYRE_RETURN_IF_ERROR(
      check("max_batch_tokens", options.max_batch_tokens, options.max_sequences, kMostTokens));
  LanguageModelOptions settled = options;
  settled.max_sequence_tokens = std::min(options.max_sequence_tokens, config.max_positions);
  const int64_t page = SequenceTable::kPageTokens;
  const int64_t sequence = SequenceTable::pages_for(settled.max_sequence_tokens) * page;
  if (options.kv_tokens == 0) settled.kv_tokens = settled.max_sequences * sequence;
  LYRE_RETURN_IF_ERROR(check("kv_tokens", settled.kv_tokens, page,
                             int64_t{std::numeric_limits<int32_t>::max()} * page));
  return settled;
}

SequenceTable::Limits table_limits(const LlamaConfig& config, const LanguageModelOptions& options) {
  return {config.vocabulary, options.max_sequences, options.max_sequence_tokens,
          options.max_batch_tokens, options.kv_tokens};
}

LanguageModelInfo model_info(const LlamaConfig& config, const LanguageModelOptions& options) {
  LanguageModelInfo info;
  info.vocabulary = config.vocabulary;
  info.layers = config.layers;
  info.hidden = config.hidden;
  info.heads = config.heads;
  info.kv_heads = config.kv_heads;
  info.head_dim = config.head_dim;
  info.ffn = config.ffn;
  info.max_sequences = options.max_sequences;
  info.max_sequence_tokens = options.max_sequence_tokens;
  info.max_batch_tokens = options.max_batch_tokens;
  return info;
}

}  // namespace lyre
