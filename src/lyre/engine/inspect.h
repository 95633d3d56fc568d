#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre {

struct LanguageModelReport {
  std::filesystem::path folder;
  std::string architecture;  // "LlamaForCausalLM"
  int layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, vocabulary = 0;
  bool tied_embeddings = false;
  int64_t parameters = 0;
  std::string dtype;         // of the matrices in the files, "bf16"
  int64_t weight_bytes = 0;  // as stored
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;  // at the defaults of EngineConfig

  std::string tokenizer;  // "byte-level BPE, 1024 entries"
  int tokenizer_entries = 0;
  std::string family;  // empty: none fits, see `family_problem`
  std::string family_problem;
  std::vector<std::pair<std::string, int>> special_ids;  // "first code <custom_token_10>" -> 522
  std::vector<VoiceInfo> voices;
  std::string default_voice;
};

struct CodecReport {
  std::filesystem::path folder;
  int sample_rate_hz = 0;
  int codebooks = 0, codebook_size = 0;
  std::vector<int> vq_strides, decoder_rates;
  int samples_per_frame = 0;
  int64_t parameters = 0;  // decoder
  std::string dtype;       // in the file
  int64_t weight_bytes = 0;
  int64_t stream_state_bytes = 0;
  int final_delay_samples = 0;
  bool has_encoder = false;
};

/// What lies in a folder.
struct ModelReport {
  std::optional<LanguageModelReport> language_model;
  std::optional<CodecReport> codec;
};

/// Looks into a language model folder, a codec folder, or a voice folder that holds lm/ and codec/.
/// kNotFound if it is none of these, saying which file is missing.
Result<ModelReport> inspect_model(const std::filesystem::path& folder);

}  // namespace lyre
