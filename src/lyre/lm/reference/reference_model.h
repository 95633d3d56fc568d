#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lyre/lm/language_model.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/lm/sequence_table.h"

namespace lyre {

/// The oracle of all other backends: obvious loops in fp32 over weights converted to fp32, one
/// token at a time, one thread, every output row. Needs four bytes a parameter.
class ReferenceModel final : public LanguageModel {
 public:
  static Result<std::unique_ptr<ReferenceModel>> open(const LanguageModelOptions& options);

  const LanguageModelInfo& info() const noexcept override { return info_; }
  Result<SequenceId> open(const SequenceOptions& options) override;
  void close(SequenceId sequence) noexcept override;
  int free_sequences() const noexcept override { return table_.free_sequences(); }
  int64_t free_kv_tokens() const noexcept override;
  int64_t kv_tokens_for(int max_tokens) const noexcept override;
  Status step(std::span<const Slice> batch, std::span<SliceResult> results) override;
  std::span<const float> last_logits(SequenceId sequence) const noexcept override;

  /// Called for every token with what layer `layer` takes in, (H,): layer 0 the embedding, layer L
  /// what the output matrix takes in, after the final norm. For tests.
  using Tap = std::function<void(int layer, int position, std::span<const float> hidden)>;
  void set_tap(Tap tap) { tap_ = std::move(tap); }

 private:
  struct Layer {
    std::vector<float> input_norm, post_attention_norm;      // (H,)
    std::vector<float> query, key, value, attention_output;  // as LlamaLayerWeights
    std::vector<float> gate, up, down;
  };
  // Keys and values of one sequence, contiguous: [layer][position][kv_heads * D].
  struct Cache {
    std::vector<float> keys, values;
    int64_t positions = 0;
    std::vector<float> logits;  // (V,) of the last token
  };

  ReferenceModel(const LlamaConfig& config, const LanguageModelOptions& options);
  Status load(const LlamaWeights& weights);
  void forward(TokenId token, int position, Cache& cache);
  void attention(int layer, int position, const Cache& cache);
  void rotate(std::span<float> head, int position) const;

  LlamaConfig config_;
  LanguageModelInfo info_;
  SequenceTable table_;
  std::vector<float> embedding_, output_;  // (V, H); output_ empty where tied
  std::vector<float> final_norm_;          // (H,)
  std::vector<float> frequencies_;         // (D / 2,)
  std::vector<Layer> layers_;
  std::vector<Cache> caches_;  // by SequenceId
  DrawScratch scratch_;
  // One token's activations.
  std::vector<float> hidden_, normed_, query_, attended_, gate_, up_;
  std::vector<float> scores_;  // (max_sequence_tokens,)
  Tap tap_;
};

}  // namespace lyre
