#include "lyre/engine/benchmark.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "lyre/base/clock.h"
#include "lyre/base/thread_pool.h"
#include "lyre/engine/measurement.h"
#include "lyre/engine/open_models.h"
#include "lyre/engine/open_prompts.h"
#include "lyre/lm/llama_config.h"

namespace lyre {
namespace {

/// Bytes that one decode step must read: the weights once, of the embedding and output matrices
/// only the rows of one slot's codes, and the KV cache of every sequence.
int64_t bytes_per_step(const LanguageModelInfo& info, const LlamaConfig& config,
                       WeightChoice weights, int codebook_size, int batch, int64_t context_tokens) {
  // Beside fp8 layers these two matrices are bf16; else all have one format.
  const double bytes_per_weight =
      weights == WeightChoice::kFp8
          ? 2.0
          : static_cast<double>(info.weight_bytes) / static_cast<double>(info.parameters);
  const int64_t matrices = config.tied_embeddings ? 1 : 2;
  const int64_t unread_rows = matrices * config.vocabulary - codebook_size;
  const auto unread_bytes =
      static_cast<int64_t>(static_cast<double>(unread_rows * config.hidden) * bytes_per_weight);
  return info.weight_bytes - unread_bytes + info.kv_bytes_per_token * context_tokens * batch;
}

/// A batch of sequences that speak for as long as they are asked to.
class Decode {
 public:
  Decode(LanguageModel& model, const CodeLayout& layout, int batch) : model_(model) {
    options_.layout = layout;
    // Without stop ids nothing ends the speech before the measurement does.
    options_.layout.stop_ids.clear();
    slices_.resize(static_cast<size_t>(batch));
    results_.resize(slices_.size());
  }
  ~Decode() {
    for (const Slice& slice : slices_) {
      if (slice.sequence >= 0) model_.close(slice.sequence);
    }
  }
  Decode(const Decode&) = delete;
  Decode& operator=(const Decode&) = delete;

  /// Opens the sequences and takes the prompt into each; the seconds of the quickest.
  Result<double> prefill(int prompt_tokens, int decode_tokens) {
    const std::vector<TokenId> prompt(static_cast<size_t>(prompt_tokens),
                                      options_.layout.first_code);
    const auto chunk = static_cast<size_t>(model_.info().max_batch_tokens);
    options_.max_tokens = prompt_tokens + decode_tokens;
    double best_s = 0;
    for (size_t i = 0; i < slices_.size(); ++i) {
      options_.sampling.seed = i;
      LYRE_ASSIGN_OR_RETURN(slices_[i].sequence, model_.open(options_));
      const TimePoint start = Clock::now();
      for (size_t at = 0; at < prompt.size(); at += chunk) {
        Slice slice = slices_[i];
        slice.prompt = std::span(prompt).subspan(at, std::min(chunk, prompt.size() - at));
        slice.most_tokens = at + chunk < prompt.size() ? 0 : 1;
        LYRE_RETURN_IF_ERROR(model_.step({&slice, 1}, {results_.data(), 1}));
      }
      const double seconds = milliseconds_since(start) / 1000.0;
      if (i == 0 || seconds < best_s) best_s = seconds;
    }
    return best_s;
  }

  /// Seconds of each step.
  Result<std::vector<double>> decode(int steps) {
    std::vector<double> seconds;
    for (int i = 0; i < steps; ++i) {
      const TimePoint start = Clock::now();
      LYRE_RETURN_IF_ERROR(model_.step(slices_, results_));
      seconds.push_back(milliseconds_since(start) / 1000.0);
    }
    return seconds;
  }

 private:
  LanguageModel& model_;
  SequenceOptions options_;
  std::vector<Slice> slices_;
  std::vector<SliceResult> results_;
};

}  // namespace

Result<LanguageModelSpeed> measure_language_model(const EngineConfig& config,
                                                  const LanguageModelBenchmark& benchmark) {
  LYRE_RETURN_IF_ERROR(require_positive("batch", benchmark.batch));
  LYRE_RETURN_IF_ERROR(require_positive("prompt_tokens", benchmark.prompt_tokens));
  LYRE_RETURN_IF_ERROR(require_positive("decode_tokens", benchmark.decode_tokens));
  EngineConfig sized = config;
  sized.max_batch = benchmark.batch;
  ThreadPool threads(config.threads);
  LYRE_ASSIGN_OR_RETURN(const auto codec, open_configured_codec(sized, threads));
  LYRE_ASSIGN_OR_RETURN(VoiceSetup setup, open_voice_setup(config));
  LYRE_ASSIGN_OR_RETURN(const SpeechPrompts prompts,
                        bind_prompts(std::move(setup), codec->info().codebook_size));
  LYRE_ASSIGN_OR_RETURN(const auto model, open_configured_model(sized, threads));

  constexpr int kWarmUpSteps = 4;
  Decode decode(*model, prompts.layout, benchmark.batch);
  const int steps = kWarmUpSteps + benchmark.decode_tokens;
  LYRE_ASSIGN_OR_RETURN(const double prefill_s, decode.prefill(benchmark.prompt_tokens, steps + 1));
  LYRE_RETURN_IF_ERROR(decode.decode(kWarmUpSteps));
  LYRE_ASSIGN_OR_RETURN(const std::vector<double> step_s, decode.decode(benchmark.decode_tokens));

  const LanguageModelInfo& info = model->info();
  LanguageModelSpeed speed;
  speed.batch = benchmark.batch;
  speed.context_tokens = benchmark.prompt_tokens + kWarmUpSteps;
  speed.prefill_tokens_per_s = benchmark.prompt_tokens / prefill_s;
  double total_s = 0;
  for (const double seconds : step_s) total_s += seconds;
  speed.decode_tokens_per_s = benchmark.batch * static_cast<double>(step_s.size()) / total_s;
  const double median_s = median(step_s);
  speed.step_ms_p50 = 1000 * median_s;
  LYRE_ASSIGN_OR_RETURN(const LlamaConfig llama, read_llama_config(config.model));
  const int64_t middle_tokens = speed.context_tokens + benchmark.decode_tokens / 2;
  speed.bytes_per_step = bytes_per_step(info, llama, config.weights, prompts.layout.codebook_size,
                                        benchmark.batch, middle_tokens);
  speed.gb_per_s = static_cast<double>(speed.bytes_per_step) / median_s / 1e9;
  speed.backend = info.backend;
  speed.weights = info.weights;
  return speed;
}

}  // namespace lyre
