#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"
#include "lyre/base/warmup.h"

namespace lyre {

/// Index of an open sequence, reused after close.
using SequenceId = int32_t;

struct SequenceOptions {
  SamplingParams sampling;
  CodeLayout layout;   // where the codes and the stop ids lie
  int max_tokens = 0;  // prompt + generated: KV pages for so many are reserved at open
};

/// What one sequence does in one step.
struct Slice {
  SequenceId sequence = -1;
  std::span<const TokenId>
      prompt;  // the next prompt ids (prefill, in chunks of any size); empty while decoding
  int most_tokens = 1;  // 0: only take the prompt chunk in; else draw up to so many tokens
};

/// What a step did for one slice.
struct SliceResult {
  static constexpr int kMostTokens = 8;
  TokenId tokens[kMostTokens];  // drawn tokens, the stop id included
  int count = 0;
  bool stopped = false;  // the last token is a stop id
};

struct LanguageModelInfo {
  int vocabulary = 0;
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn = 0;
  int64_t parameters = 0;
  int64_t weight_bytes = 0;        // as held by this backend
  int64_t kv_bytes_per_token = 0;  // as held by this backend
  int64_t kv_bytes = 0;            // the whole pool
  int max_sequences = 0;
  int max_sequence_tokens = 0;  // of one sequence: as asked for, but not more than the model allows
  int max_batch_tokens = 0;     // most tokens of one step, prompt chunks and decodes together
  /// A step of a new shape pays at its first run (graphs, tuned kernels): the warm-up runs them
  /// all. False: the same few code paths serve every size.
  bool every_shape_pays = true;
  /// begin_step() returns while the device works: the caller has time for something else.
  bool steps_in_background = false;
  /// One step may draw several tokens of a sequence (Slice::most_tokens) for less than as many
  /// steps cost. False: it draws one, whatever is asked for.
  bool draws_several = false;
  std::string backend;  // "reference", "cpu avx512", ...
  std::string weights;  // "bf16", "int8 (error 0.4 %)", ...
};

/// Seam: reference | cpu | cuda. Engine thread only. All memory is taken at open of the model;
/// open() of a sequence reserves pages, step() allocates nothing. The tokens of a sequence depend
/// on its prompt, options and seed only: not on its neighbours, nor on how the prompt was cut.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const LanguageModelInfo& info() const noexcept = 0;

  /// Reserves KV pages. kResourceExhausted if none are left, kInvalidArgument for impossible
  /// options.
  virtual Result<SequenceId> open(const SequenceOptions& options) = 0;
  /// Returns the pages at once.
  virtual void close(SequenceId sequence) noexcept = 0;
  /// Sequences and tokens that could be opened now.
  virtual int free_sequences() const noexcept = 0;
  virtual int64_t free_kv_tokens() const noexcept = 0;
  /// KV tokens that open() really reserves for max_tokens (whole pages).
  virtual int64_t kv_tokens_for(int max_tokens) const noexcept = 0;

  /// Runs all slices as one batch; results.size() == batch.size(). An error concerns the whole
  /// batch (a device fault, a bug): input was checked before. A sequence that has reached its
  /// max_tokens draws nothing (count 0).
  virtual Status step(std::span<const Slice> batch, std::span<SliceResult> results) = 0;

  /// The same in two halves. Between them only info() may be called, and both spans, with the
  /// prompts that they name, stay as they are; end_step() returns what step() would have. A backend
  /// that has no background does everything in the second half.
  virtual Status begin_step(std::span<const Slice> batch, std::span<SliceResult> results) {
    begun_batch_ = batch;
    begun_results_ = results;
    return ok_status();
  }
  virtual Status end_step() { return step(begun_batch_, begun_results_); }

  /// Logits (V,) of the last step's last token of that sequence, for tests and tools; only rows
  /// that the backend computed are valid (all, if legal_slots is off). Empty when the backend
  /// cannot tell.
  virtual std::span<const float> last_logits(SequenceId sequence) const noexcept = 0;

  /// What this backend would pay for once, beside the shapes of steps, which the engine runs
  /// itself (engine/warmup_steps.h): pages of weights and KV; on a GPU context, modules, graphs.
  /// The steps refer to the model; they run in order, on the engine thread, with sequences open.
  virtual std::vector<WarmupStep> warmup_steps() { return {}; }

 private:
  std::span<const Slice> begun_batch_;
  std::span<SliceResult> begun_results_;
};

}  // namespace lyre
