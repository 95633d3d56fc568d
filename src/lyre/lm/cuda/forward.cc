#include "lyre/lm/cuda/forward.h"

#include <algorithm>
#include <cmath>

#include "lyre/lm/cuda/attention.h"

namespace lyre::cuda {
namespace {

// Of products by cuBLASLt; other counts are rounded up to the next.
constexpr int kRowSteps[] = {16, 32, 48, 64, 96, 128, 160, 192, 224, 256};
constexpr int kRowStep = 64;  // beyond them

// Blocks that share a row's context, so that few rows occupy the whole device, too.
int splits_for(int rows) {
  if (rows <= kMostStreamedTokens) return 8;
  if (rows <= 16) return 4;
  return rows <= 32 ? 2 : 1;
}

int pitch_of(int columns) { return round_up(columns, kPadColumns); }

int64_t products_bytes(const DeviceWeights& weights) {  // of one row
  const DeviceLayer& layer = weights.layers.front();
  return std::max<int64_t>(int64_t{layer.qkv.padded_rows()} * 4,
                           int64_t{layer.gate_up.padded_rows()} * 2);
}

int widest_pitch(const LlamaConfig& config) {
  return std::max({pitch_of(config.hidden), pitch_of(config.query_rows()), pitch_of(config.ffn)});
}

}  // namespace

int Forward::padded_rows(int rows) noexcept {
  if (rows <= kMostStreamedTokens) return rows;
  for (const int step : kRowSteps) {
    if (rows <= step) return step;
  }
  return round_up(rows, kRowStep);
}

int64_t Forward::page_bytes(const LlamaConfig& config, bool fp8_kv) {
  const int64_t elements =
      int64_t{2} * config.layers * config.kv_heads * config.head_dim * kKvPageTokens;
  return fp8_kv ? elements + elements / kKvGroup * 2 : elements * 2;
}

int64_t Forward::work_bytes(const LlamaConfig& config, const DeviceWeights& weights,
                            const Limits& limits) {
  const int64_t row = int64_t{config.hidden} * 4 + pitch_of(config.hidden) * 2 +
                      int64_t{config.query_rows()} * 4 + pitch_of(config.query_rows()) * 2 +
                      pitch_of(config.ffn) * 2 + products_bytes(weights) + widest_pitch(config) + 4;
  return row * padded_rows(limits.most_rows) +
         int64_t{padded_rows(limits.most_heads)} *
             (config.vocabulary + CodeRange::kAlignment + config.hidden) * 4 +
         int64_t{limits.max_sequences} * limits.max_pages * 4 +
         int64_t{limits.max_sequence_tokens} * config.head_dim * 4 + (int64_t{48} << 20);
}

Result<Forward> Forward::create(const LlamaConfig& config, DeviceWeights weights,
                                const Limits& limits, Queue& queue) {
  LYRE_RETURN_IF_ERROR(prepare_streamed_matmul());
  LYRE_RETURN_IF_ERROR(prepare_attention());
  LYRE_ASSIGN_OR_RETURN(Gemm gemm, Gemm::create());
  Forward forward(config, std::move(weights), limits, std::move(gemm));
  LYRE_RETURN_IF_ERROR(forward.allocate(queue));
  LYRE_RETURN_IF_ERROR(forward.prepare_products());
  LYRE_RETURN_IF_ERROR(forward.prepare_streams());
  return forward;
}

Status Forward::allocate(Queue& queue) {
  const int64_t rows = padded_rows(limits_.most_rows);
  const auto zeroed = [&](DeviceMemory& memory, int64_t bytes, const char* what) -> Status {
    LYRE_ASSIGN_OR_RETURN(memory, DeviceMemory::allocate(bytes, what));
    queue.fill_bytes(memory.data(), 0, bytes);
    return queue.status();
  };
  const int64_t elements =
      limits_.pages * 2 * config_.layers * config_.kv_heads * config_.head_dim * kKvPageTokens;
  LYRE_ASSIGN_OR_RETURN(kv_,
                        DeviceMemory::allocate(elements * (limits_.fp8_kv ? 1 : 2), "KV pool"));
  if (limits_.fp8_kv) {
    LYRE_ASSIGN_OR_RETURN(kv_scales_,
                          DeviceMemory::allocate(elements / kKvGroup * 2, "scales of the KV pool"));
  }
  const char* const kWork = "activations";
  LYRE_RETURN_IF_ERROR(
      zeroed(page_table_, int64_t{limits_.max_sequences} * limits_.max_pages * 4, "page table"));
  LYRE_RETURN_IF_ERROR(zeroed(hidden_, rows * config_.hidden * 4, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(weighted_, rows * pitch_of(config_.hidden) * 2, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(square_sums_, rows * residual().parts() * 4, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(queries_, rows * config_.query_rows() * 4, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(attended_, rows * pitch_of(config_.query_rows()) * 2, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(activations_, rows * pitch_of(config_.ffn) * 2, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(products_, rows * products_bytes(weights_), kWork));
  const int64_t heads = padded_rows(limits_.most_heads);
  LYRE_RETURN_IF_ERROR(zeroed(gathered_, heads * pitch_of(config_.hidden) * 2, kWork));
  LYRE_RETURN_IF_ERROR(zeroed(logits_, heads * logits_pitch() * 4, "logits"));
  if (weights_.layers.front().qkv.format == MatrixFormat::kFp8) {
    LYRE_RETURN_IF_ERROR(zeroed(quantized_, rows * widest_pitch(config_), kWork));
    LYRE_RETURN_IF_ERROR(zeroed(quantized_scales_, rows * 4, kWork));
  }

  std::vector<float> cosines, sines;
  const std::vector<float> frequencies = rope_frequencies(config_);
  for (int position = 0; position < limits_.max_sequence_tokens; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
  }
  const auto bytes = static_cast<int64_t>(cosines.size() * sizeof(float));
  LYRE_ASSIGN_OR_RETURN(cosines_, DeviceMemory::allocate(bytes, "angles"));
  LYRE_ASSIGN_OR_RETURN(sines_, DeviceMemory::allocate(bytes, "angles"));
  queue.copy_to_device(cosines_.data(), cosines.data(), bytes);
  queue.copy_to_device(sines_.data(), sines.data(), bytes);
  return queue.finish();
}

// Every count of rows that a step can have.
Status Forward::prepare_products() {
  const DeviceLayer& layer = weights_.layers.front();
  const int most = padded_rows(limits_.most_rows);
  for (int rows = padded_rows(kMostStreamedTokens + 1); rows <= most;
       rows = padded_rows(rows + 1)) {
    LYRE_RETURN_IF_ERROR(gemm_.prepare(layer.qkv, rows, Gemm::Out::kF32, layer.qkv.padded_rows()));
    LYRE_RETURN_IF_ERROR(
        gemm_.prepare(layer.attention_output, rows, Gemm::Out::kAddF32, config_.hidden));
    LYRE_RETURN_IF_ERROR(
        gemm_.prepare(layer.gate_up, rows, Gemm::Out::kBf16, layer.gate_up.padded_rows()));
    LYRE_RETURN_IF_ERROR(gemm_.prepare(layer.down, rows, Gemm::Out::kAddF32, config_.hidden));
  }
  return ok_status();
}

Status Forward::prepare_streams() {
  for (const DeviceLayer& layer : weights_.layers) {
    LayerStreams& streams = streams_.emplace_back();
    LYRE_ASSIGN_OR_RETURN(streams.qkv, streamed_weights(layer.qkv));
    LYRE_ASSIGN_OR_RETURN(streams.attention_output, streamed_weights(layer.attention_output));
    LYRE_ASSIGN_OR_RETURN(streams.gate_up, streamed_weights(layer.gate_up));
    LYRE_ASSIGN_OR_RETURN(streams.down, streamed_weights(layer.down));
  }
  LYRE_ASSIGN_OR_RETURN(output_stream_, streamed_weights(weights_.output));
  const int rows = padded_rows(limits_.most_rows);
  const DeviceLayer& layer = weights_.layers.front();
  const auto tiles = [rows](const DeviceMemory& values, const DeviceMatrix& matrix, int tokens) {
    return streamed_tiles(values.data(), rows, matrix.pitch, tokens, matrix.format);
  };
  for (int tokens = 1; tokens <= std::min(rows, kMostStreamedTokens); ++tokens) {
    const auto i = static_cast<size_t>(tokens - 1);
    LYRE_ASSIGN_OR_RETURN(weighted_tiles_[i], tiles(weighted_, layer.qkv, tokens));
    LYRE_ASSIGN_OR_RETURN(attended_tiles_[i], tiles(attended_, layer.attention_output, tokens));
    LYRE_ASSIGN_OR_RETURN(activation_tiles_[i], tiles(activations_, layer.down, tokens));
  }
  LYRE_ASSIGN_OR_RETURN(head_tiles_, tiles(weighted_, weights_.output, 1));
  return ok_status();
}

KvLayer Forward::kv_layer(int layer) const {
  const int64_t elements = limits_.pages * 2 * config_.kv_heads * config_.head_dim * kKvPageTokens;
  KvLayer kv;
  kv.data = kv_.as<std::byte>() + layer * elements * (limits_.fp8_kv ? 1 : 2);
  if (limits_.fp8_kv) kv.scales = kv_scales_.as<std::byte>() + layer * (elements / kKvGroup) * 2;
  kv.pages = page_table_.as<int32_t>();
  kv.max_pages = limits_.max_pages;
  kv.kv_heads = config_.kv_heads;
  kv.head_dim = config_.head_dim;
  return kv;
}

QkvOutlet Forward::qkv_outlet(const DeviceRow* rows, int layer) const {
  return {rows,          cosines_.as<float>(), sines_.as<float>(), queries_.as<float>(),
          config_.heads, kv_layer(layer)};
}

ResidualStream Forward::residual() const {
  return {hidden_.as<float>(), weighted_.data(), square_sums_.as<float>(), config_.hidden,
          pitch_of(config_.hidden)};
}

const float* Forward::norm_after(int layer) const {
  const auto next = static_cast<size_t>(layer) + 1;
  return next < weights_.layers.size() ? weights_.layers[next].input_norm : weights_.final_norm;
}

void Forward::attend_layer(Queue& queue, const DeviceRow* rows, int count, int layer) {
  AttentionTask task;
  task.rows = rows;
  task.count = count;
  task.queries = queries_.as<float>();
  task.heads = config_.heads;
  task.kv = kv_layer(layer);
  task.out = attended_.data();
  task.out_pitch = pitch_of(config_.query_rows());
  task.splits = splits_for(count);
  attend(queue, task, 0);
}

void Forward::run(Queue& queue, const DeviceRow* rows, int count) {
  streamed_ = count <= kMostStreamedTokens;
  embed(queue, weights_.embedding, rows, count, residual(), weights_.layers.front().input_norm);
  if (streamed_) {
    run_streamed(queue, rows, count);
  } else {
    run_gemm(queue, rows, count);
  }
}

void Forward::run_streamed(Queue& queue, const DeviceRow* rows, int count) {
  const ResidualStream stream = residual();
  const auto epsilon = static_cast<float>(config_.rms_norm_eps);
  const auto tiles = static_cast<size_t>(count - 1);
  const StreamedInput normed = {
      weighted_tiles_[tiles], stream.square_sums, stream.parts(), stream.width, epsilon, count};
  const StreamedInput attended = {attended_tiles_[tiles], nullptr, 0, 0, 0, count};
  const StreamedInput activations = {activation_tiles_[tiles], nullptr, 0, 0, 0, count};
  for (int l = 0; l < config_.layers; ++l) {
    const LayerStreams& layer = streams_[static_cast<size_t>(l)];
    streamed_qkv(queue, layer.qkv, normed, qkv_outlet(rows, l));
    attend_layer(queue, rows, count, l);
    streamed_residual(queue, "lm.output", layer.attention_output, attended, stream,
                      weights_.layers[static_cast<size_t>(l)].post_attention_norm);
    streamed_gate_up(queue, layer.gate_up, normed, activations_.data(), pitch_of(config_.ffn));
    streamed_residual(queue, "lm.down", layer.down, activations, stream, norm_after(l));
  }
}

void Forward::multiply(Queue& queue, const char* name, const DeviceMatrix& matrix,
                       const void* values, int count, Gemm::Out out, void* to, int ld) {
  const float* scales = nullptr;
  if (matrix.format == MatrixFormat::kFp8) {
    quantize_rows(queue, values, matrix.pitch, count, quantized_.data(),
                  quantized_scales_.as<float>());
    values = quantized_.data();
    scales = quantized_scales_.as<float>();
  }
  gemm_.run(queue, name, matrix, values, scales, count, out, to, ld);
}

void Forward::run_gemm(Queue& queue, const DeviceRow* rows, int count) {
  const ResidualStream stream = residual();
  const auto epsilon = static_cast<float>(config_.rms_norm_eps);
  for (int l = 0; l < config_.layers; ++l) {
    const DeviceLayer& layer = weights_.layers[static_cast<size_t>(l)];
    normalise(queue, stream, count, layer.input_norm, epsilon);
    const int qkv_width = layer.qkv.padded_rows(), gate_up_width = layer.gate_up.padded_rows();
    multiply(queue, "lm.qkv", layer.qkv, stream.weighted, count, Gemm::Out::kF32, products_.data(),
             qkv_width);
    distribute_qkv(queue, products_.as<float>(), qkv_width, count, qkv_outlet(rows, l));
    attend_layer(queue, rows, count, l);
    multiply(queue, "lm.output", layer.attention_output, attended_.data(), count,
             Gemm::Out::kAddF32, stream.hidden, config_.hidden);
    normalise(queue, stream, count, layer.post_attention_norm, epsilon);
    multiply(queue, "lm.gate_up", layer.gate_up, stream.weighted, count, Gemm::Out::kBf16,
             products_.data(), gate_up_width);
    multiply_gate(queue, products_.data(), gate_up_width, count, activations_.data(),
                  pitch_of(config_.ffn));
    multiply(queue, "lm.down", layer.down, activations_.data(), count, Gemm::Out::kAddF32,
             stream.hidden, config_.hidden);
  }
  normalise(queue, stream, count, weights_.final_norm, epsilon);
}

int64_t Forward::logits_pitch() const noexcept {
  return round_up(config_.vocabulary, CodeRange::kAlignment);
}

void Forward::logits(Queue& queue, const Heads& heads, const DeviceSequence* sequences) {
  const ResidualStream stream = residual();
  if (heads.legal_only && heads.codes && prefers_range(heads.count)) {
    // Not after a streamed run: with more heads than it has rows there is none.
    const void* values = stream.weighted;
    if (!heads.in_order) {
      gather_heads(queue, values, stream.pitch, heads.heads, heads.count, gathered_.data());
      values = gathered_.data();
    }
    DeviceMatrix codes = weights_.output;
    codes.data =
        static_cast<const std::byte*>(codes.data) + int64_t{heads.codes->first} * codes.pitch * 2;
    codes.rows = heads.codes->end - heads.codes->first;
    gemm_.run(queue, "lm.logits", codes, values, nullptr, padded_rows(heads.count), Gemm::Out::kF32,
              logits_.as<float>() + heads.codes->first, static_cast<int>(logits_pitch()));
    return;
  }
  StreamedInput input;
  input.tiles = head_tiles_;
  if (streamed_) {
    input.square_sums = stream.square_sums;
    input.parts = stream.parts();
    input.hidden = stream.width;
    input.epsilon = static_cast<float>(config_.rms_norm_eps);
  }
  LogitsTask task;
  task.heads = heads.heads;
  task.count = heads.count;
  task.sequences = sequences;
  task.logits = logits_.as<float>();
  task.logits_pitch = logits_pitch();
  task.vocabulary = config_.vocabulary;
  task.all_ids = !heads.legal_only;
  legal_logits(queue, output_stream_, input, task);
}

}  // namespace lyre::cuda
