#pragma once

#include <array>
#include <optional>
#include <vector>

#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/device_types.h"
#include "lyre/lm/cuda/gemm.h"
#include "lyre/lm/cuda/kv_pool.h"
#include "lyre/lm/cuda/rows.h"
#include "lyre/lm/cuda/streamed_matmul.h"
#include "lyre/lm/llama_config.h"

namespace lyre::cuda {

/// The way of a step's rows through the layers, as work put into a queue. Up to
/// kMostStreamedTokens rows by our own products, which give each row the same bits in any company;
/// more by cuBLASLt, which does not promise that. Owns activations and the KV pool.
///
/// Letters: T rows, H hidden, D head_dim, F ffn, V vocabulary.
class Forward {
 public:
  struct Limits {
    int most_rows = 0;   // T
    int most_heads = 0;  // of a step, padding included
    int max_sequences = 0;
    int max_sequence_tokens = 0;
    int64_t pages = 0;  // of the KV pool
    int max_pages = 0;  // of one sequence
    bool fp8_kv = false;
  };
  /// Bytes that create() takes beside the KV pool, and those of one page of it.
  static int64_t work_bytes(const LlamaConfig& config, const DeviceWeights& weights,
                            const Limits& limits);
  static int64_t page_bytes(const LlamaConfig& config, bool fp8_kv);

  static Result<Forward> create(const LlamaConfig& config, DeviceWeights weights,
                                const Limits& limits, Queue& queue);

  /// Rows that products are made for, at least `rows`: what is more must be rows of no sequence.
  static int padded_rows(int rows) noexcept;

  /// All layers; the keys and values of the rows are kept, and their last hidden states until the
  /// next call. count == padded_rows(count).
  void run(Queue& queue, const DeviceRow* rows, int count);
  /// Of the last run: logits (count, logits_pitch()) of the heads' legal ids.
  struct Heads {
    const DeviceHead* heads = nullptr;  // (count)
    int count = 0;
    bool in_order = false;           // the row of head i is i
    bool legal_only = false;         // none wants the ids beyond its legal slots
    std::optional<CodeRange> codes;  // where the legal slots of all lie together
  };
  void logits(Queue& queue, const Heads& heads, const DeviceSequence* sequences);
  /// Whether logits() is faster with a range of codes for so many.
  static bool prefers_range(int count) noexcept { return count > kMostStreamedTokens; }

  const float* logits_data() const noexcept { return logits_.as<float>(); }
  int64_t logits_pitch() const noexcept;
  int32_t* pages_data() const noexcept { return page_table_.as<int32_t>(); }
  const DeviceWeights& weights() const noexcept { return weights_; }

 private:
  Forward(const LlamaConfig& config, DeviceWeights weights, const Limits& limits, Gemm gemm)
      : config_(config), weights_(std::move(weights)), limits_(limits), gemm_(std::move(gemm)) {}
  Status allocate(Queue& queue);
  Status prepare_products();
  Status prepare_streams();
  KvLayer kv_layer(int layer) const;
  QkvOutlet qkv_outlet(const DeviceRow* rows, int layer) const;
  ResidualStream residual() const;
  void run_streamed(Queue& queue, const DeviceRow* rows, int count);
  void run_gemm(Queue& queue, const DeviceRow* rows, int count);
  void attend_layer(Queue& queue, const DeviceRow* rows, int count, int layer);
  void multiply(Queue& queue, const char* name, const DeviceMatrix& matrix, const void* values,
                int count, Gemm::Out out, void* to, int ld);
  const float* norm_after(int layer) const;

  LlamaConfig config_;
  DeviceWeights weights_;
  Limits limits_;
  Gemm gemm_;
  bool streamed_ = false;  // the last run

  // For the streamed products; by layer, and by number of rows - 1.
  struct LayerStreams {
    StreamedWeights qkv, attention_output, gate_up, down;
  };
  std::vector<LayerStreams> streams_;
  StreamedWeights output_stream_ = {};
  std::array<CUtensorMap, kMostStreamedTokens> weighted_tiles_ = {}, attended_tiles_ = {},
                                               activation_tiles_ = {};
  CUtensorMap head_tiles_ = {};  // of weighted_, row by row

  DeviceMemory kv_, kv_scales_, page_table_;
  DeviceMemory cosines_, sines_;               // (max_sequence_tokens, D / 2)
  DeviceMemory hidden_;                        // (T, H) fp32
  DeviceMemory weighted_;                      // (T, pitch of H) bf16
  DeviceMemory square_sums_;                   // (kMostStreamedTokens, tiles of H)
  DeviceMemory queries_;                       // (T, heads * D) fp32
  DeviceMemory attended_;                      // (T, pitch of heads * D) bf16
  DeviceMemory activations_;                   // (T, pitch of F) bf16
  DeviceMemory products_;                      // (T, widest of qkv fp32 and gate_up bf16)
  DeviceMemory quantized_, quantized_scales_;  // (T, widest pitch) e4m3, (T)
  DeviceMemory gathered_;                      // (most heads, pitch of H) bf16
  DeviceMemory logits_;                        // (most heads, logits_pitch()) fp32
};

}  // namespace lyre::cuda
