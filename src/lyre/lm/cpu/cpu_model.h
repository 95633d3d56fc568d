#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/attention.h"
#include "lyre/lm/cpu/cpu_weights.h"
#include "lyre/lm/cpu/page_memory.h"
#include "lyre/lm/cpu/phase_clock.h"
#include "lyre/lm/language_model.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/lm/sequence_table.h"

namespace lyre {

/// The fast backend for CPUs: weights read where they lie, fp32 activations, keys and values in
/// pages, SIMD kernels chosen at run time, one region of the thread pool a step.
///
/// Letters: T tokens of a step (all slices together), H hidden, D head_dim, F ffn, V vocabulary,
/// B sequences that draw.
class CpuModel final : public LanguageModel {
 public:
  static Result<std::unique_ptr<CpuModel>> open(const LanguageModelOptions& options,
                                                ThreadPool& threads);

  const LanguageModelInfo& info() const noexcept override { return info_; }
  Result<SequenceId> open(const SequenceOptions& options) override { return table_.open(options); }
  void close(SequenceId sequence) noexcept override { table_.close(sequence); }
  int free_sequences() const noexcept override { return table_.free_sequences(); }
  int64_t free_kv_tokens() const noexcept override;
  int64_t kv_tokens_for(int max_tokens) const noexcept override;
  Status step(std::span<const Slice> batch, std::span<SliceResult> results) override;
  std::span<const float> last_logits(SequenceId sequence) const noexcept override;
  std::vector<WarmupStep> warmup_steps() override;

 private:
  // One token of the step: a row of the activations.
  struct Row {
    TokenId token = 0;
    int position = 0;
    const Sequence* sequence = nullptr;
  };
  // A sequence that draws: the row of its last token.
  struct Head {
    size_t row = 0;
    size_t slice = 0;
    SequenceId id = -1;
    Sequence* sequence = nullptr;
    LegalRows legal;
  };
  // Activations of `rows` tokens; dense rows.
  struct Stream {
    float* hidden = nullptr;    // (rows, H) residual stream
    float* weighted = nullptr;  // (rows, H) hidden times the weight of the next norm
    int64_t rows = 0;
  };
  // What one thread needs for itself.
  struct ThreadScratch {
    std::vector<float> first, second;  // (T, block or D) products of one block of rows
    std::vector<float> scales;         // (T,) 1/rms
    std::vector<float> scores;         // (kHeadsAtOnce, max_sequence_tokens in whole pages)
    std::vector<float> sums;           // (kHeadsAtOnce, D rounded up)
    DrawScratch draw;
  };

  // Rows of a matrix that one thread multiplies at a time. A batch of tokens finds the few hundred
  // kB of a small block in the second-level cache again. For few tokens the weights stream by once,
  // and each block's start is a start of the stream: blocks are large.
  static constexpr int64_t kMostBlock = 64, kMostStreamedBlock = 256;
  static constexpr int64_t kStreamedTokens = 4;

  CpuModel(cpu::CpuWeights weights, const LanguageModelOptions& options, ThreadPool& threads);
  Status allocate(const LanguageModelOptions& options);
  void collect_rows(std::span<const Slice> batch, std::span<const SliceWork> work);

  // One thread's way through a step; the parts are phases that all threads share.
  struct Worker {
    ThreadScratch& scratch;
    cpu::PhaseClock::Cursor phases;
  };
  void run_step(Worker& worker, std::span<SliceResult> results);
  void embed(Worker& worker, const Stream& stream);
  void project_heads(Worker& worker, int layer, const Stream& stream);
  void attend_rows(Worker& worker, int layer, int64_t rows, bool heads_only);
  void keep_head_rows(Worker& worker, const Stream& from, const Stream& to);
  void project_residual(Worker& worker, const cpu::WeightMatrix& matrix, const float* inputs,
                        const std::vector<float>& norm, const Stream& stream);
  void feed_forward_in(Worker& worker, const cpu::CpuLayer& layer, const Stream& stream);
  void compute_logits(Worker& worker, const Stream& stream);
  void draw_tokens(Worker& worker, std::span<SliceResult> results);

  int64_t block_of(int64_t rows, int64_t tokens) const noexcept;
  void measure_scales(const Stream& stream, ThreadScratch& scratch) const;
  std::byte* kv_head(const Sequence& sequence, int position, int layer, int head) const noexcept;

  cpu::CpuWeights weights_;
  const LlamaConfig& config_;
  LanguageModelInfo info_;
  SequenceTable table_;
  ThreadPool& threads_;
  cpu::PhaseClock clock_;
  cpu::KvGeometry kv_;
  int64_t kv_layer_bytes_ = 0, kv_page_bytes_ = 0;  // of one page
  cpu::PageMemory kv_pool_;                         // [page][layer][kv head]
  std::vector<float> cosines_, sines_;              // (max_sequence_tokens, D / 2)
  std::vector<float> logits_;                       // (max_sequences, V)

  std::vector<float> hidden_, weighted_;            // (T, H)
  std::vector<float> queries_, attended_;           // (T, heads * D)
  std::vector<float> activations_;                  // (T, F)
  std::vector<float> head_hidden_, head_weighted_;  // (B, H)
  std::vector<ThreadScratch> scratch_;              // by thread
  std::vector<Row> rows_;                           // of the step in progress
  std::vector<Head> heads_;                         // ordered by first legal row
};

}  // namespace lyre
