#include "lyre/lm/reference/reference_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/lm/model_info.h"

namespace lyre {
namespace {

// Eight interleaved partial sums, so that compilers may vectorise without being told to reassociate
// floating-point sums.
float dot(const float* a, const float* b, int64_t n) {
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  float tail = 0;
  for (; i < n; ++i) tail += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) +
         tail;
}

// out (N,) = matrix (N, K) * x (K,)
void multiply(std::span<const float> matrix, std::span<const float> x, std::span<float> out) {
  LYRE_CHECK(matrix.size() == x.size() * out.size());
  for (size_t row = 0; row < out.size(); ++row) {
    out[row] = dot(&matrix[row * x.size()], x.data(), static_cast<int64_t>(x.size()));
  }
}

// out (H,) = x / rms(x) * weight
void rms_norm(std::span<const float> x, std::span<const float> weight, double eps,
              std::span<float> out) {
  double squares = 0;
  for (const float value : x) squares += double{value} * value;
  const auto scale =
      static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(x.size()) + eps));
  for (size_t i = 0; i < x.size(); ++i) out[i] = x[i] * scale * weight[i];
}

void add(std::span<const float> x, std::span<float> sum) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += x[i];
}

Status convert(const TensorView& view, std::vector<float>& out) {
  out.resize(static_cast<size_t>(view.shape.elements()));
  return convert_to_f32(view, out);
}

}  // namespace

Result<std::unique_ptr<ReferenceModel>> ReferenceModel::open(const LanguageModelOptions& options) {
  LYRE_ASSIGN_OR_RETURN(const LlamaWeights weights, open_llama_weights(options.folder));
  LYRE_ASSIGN_OR_RETURN(const LanguageModelOptions settled,
                        settle_options(options, weights.config));
  std::unique_ptr<ReferenceModel> model(new ReferenceModel(weights.config, settled));
  LYRE_RETURN_IF_ERROR(model->load(weights));
  return model;
}

ReferenceModel::ReferenceModel(const LlamaConfig& config, const LanguageModelOptions& options)
    : config_(config),
      info_(model_info(config, options)),
      table_(table_limits(config, options)),
      frequencies_(rope_frequencies(config)),
      layers_(static_cast<size_t>(config.layers)),
      caches_(static_cast<size_t>(options.max_sequences)),
      scratch_(config.vocabulary) {
  const auto hidden = static_cast<size_t>(config.hidden);
  hidden_.resize(hidden);
  normed_.resize(hidden);
  query_.resize(static_cast<size_t>(config.query_rows()));
  attended_.resize(query_.size());
  gate_.resize(static_cast<size_t>(config.ffn));
  up_.resize(gate_.size());
  scores_.resize(static_cast<size_t>(options.max_sequence_tokens));
}

Status ReferenceModel::load(const LlamaWeights& weights) {
  LYRE_RETURN_IF_ERROR(convert(weights.embedding, embedding_));
  LYRE_RETURN_IF_ERROR(convert(weights.final_norm, final_norm_));
  if (!config_.tied_embeddings) LYRE_RETURN_IF_ERROR(convert(weights.output, output_));
  for (size_t l = 0; l < layers_.size(); ++l) {
    const LlamaLayerWeights& from = weights.layers[l];
    Layer& to = layers_[l];
    for (const auto& [view, values] : {std::pair{&from.input_norm, &to.input_norm},
                                       {&from.post_attention_norm, &to.post_attention_norm},
                                       {&from.query, &to.query},
                                       {&from.key, &to.key},
                                       {&from.value, &to.value},
                                       {&from.attention_output, &to.attention_output},
                                       {&from.gate, &to.gate},
                                       {&from.up, &to.up},
                                       {&from.down, &to.down}}) {
      LYRE_RETURN_IF_ERROR(convert(*view, *values));
    }
  }
  info_.backend = "reference";
  info_.weights = "f32";
  info_.parameters = weights.parameters();
  info_.weight_bytes = info_.parameters * static_cast<int64_t>(sizeof(float));
  info_.kv_bytes_per_token =
      int64_t{2} * config_.layers * config_.kv_rows() * static_cast<int64_t>(sizeof(float));
  info_.kv_bytes = info_.kv_bytes_per_token * table_.pages() * int64_t{SequenceTable::kPageTokens};
  return ok_status();
}

Result<SequenceId> ReferenceModel::open(const SequenceOptions& options) {
  LYRE_ASSIGN_OR_RETURN(const SequenceId id, table_.open(options));
  Cache& cache = caches_[static_cast<size_t>(id)];
  cache.positions = options.max_tokens;
  const auto values =
      static_cast<size_t>(int64_t{config_.layers} * cache.positions * config_.kv_rows());
  cache.keys.assign(values, 0.0f);
  cache.values.assign(values, 0.0f);
  cache.logits.assign(static_cast<size_t>(config_.vocabulary), 0.0f);
  return id;
}

void ReferenceModel::close(SequenceId sequence) noexcept {
  table_.close(sequence);
  caches_[static_cast<size_t>(sequence)] = Cache{};
}

int64_t ReferenceModel::free_kv_tokens() const noexcept {
  return int64_t{table_.free_pages()} * SequenceTable::kPageTokens;
}

int64_t ReferenceModel::kv_tokens_for(int max_tokens) const noexcept {
  return int64_t{SequenceTable::pages_for(max_tokens)} * SequenceTable::kPageTokens;
}

Status ReferenceModel::step(std::span<const Slice> batch, std::span<SliceResult> results) {
  LYRE_ASSIGN_OR_RETURN(const std::span<const SliceWork> work, table_.plan(batch, results));
  for (size_t i = 0; i < work.size(); ++i) {
    Cache& cache = caches_[static_cast<size_t>(batch[i].sequence)];
    int position = work[i].first_position;
    for (const TokenId token : work[i].tokens) forward(token, position++, cache);
    if (work[i].draws) table_.draw(*work[i].sequence, cache.logits, scratch_, results[i]);
  }
  return ok_status();
}

std::span<const float> ReferenceModel::last_logits(SequenceId sequence) const noexcept {
  LYRE_CHECK(table_.is_open(sequence));
  return caches_[static_cast<size_t>(sequence)].logits;
}

void ReferenceModel::forward(TokenId token, int position, Cache& cache) {
  const std::span<const float> embedding = embedding_;
  const auto width = static_cast<size_t>(config_.hidden);
  const auto kv = static_cast<size_t>(config_.kv_rows());
  const auto dim = static_cast<size_t>(config_.head_dim);
  std::ranges::copy(embedding.subspan(static_cast<size_t>(token) * width, width), hidden_.begin());

  for (int l = 0; l < config_.layers; ++l) {
    const Layer& layer = layers_[static_cast<size_t>(l)];
    if (tap_) tap_(l, position, hidden_);
    const auto row = static_cast<size_t>(l * cache.positions + position) * kv;
    const std::span<float> key = std::span(cache.keys).subspan(row, kv);
    rms_norm(hidden_, layer.input_norm, config_.rms_norm_eps, normed_);
    multiply(layer.query, normed_, query_);
    multiply(layer.key, normed_, key);
    multiply(layer.value, normed_, std::span(cache.values).subspan(row, kv));
    for (size_t at = 0; at < query_.size(); at += dim) {
      rotate(std::span(query_).subspan(at, dim), position);
    }
    for (size_t at = 0; at < kv; at += dim) rotate(key.subspan(at, dim), position);
    attention(l, position, cache);
    multiply(layer.attention_output, attended_, normed_);
    add(normed_, hidden_);

    rms_norm(hidden_, layer.post_attention_norm, config_.rms_norm_eps, normed_);
    multiply(layer.gate, normed_, gate_);
    multiply(layer.up, normed_, up_);
    for (size_t i = 0; i < gate_.size(); ++i) {
      gate_[i] = gate_[i] / (1.0f + std::exp(-gate_[i])) * up_[i];
    }
    multiply(layer.down, gate_, normed_);
    add(normed_, hidden_);
  }
  rms_norm(hidden_, final_norm_, config_.rms_norm_eps, normed_);
  if (tap_) tap_(config_.layers, position, normed_);
  multiply(config_.tied_embeddings ? embedding_ : output_, normed_, cache.logits);
}

void ReferenceModel::attention(int layer, int position, const Cache& cache) {
  const int64_t dim = config_.head_dim, kv = config_.kv_rows();
  const int group = config_.heads / config_.kv_heads;  // query heads that share one key head
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int head = 0; head < config_.heads; ++head) {
    const int64_t base = layer * cache.positions * kv + (head / group) * dim;
    const float* query = &query_[static_cast<size_t>(head * dim)];
    float* out = &attended_[static_cast<size_t>(head * dim)];
    const std::span<float> scores = std::span(scores_).first(static_cast<size_t>(position) + 1);
    for (size_t j = 0; j < scores.size(); ++j) {
      const auto at = static_cast<size_t>(base + static_cast<int64_t>(j) * kv);
      scores[j] = scale * dot(query, &cache.keys[at], dim);
    }
    const float highest = *std::max_element(scores.begin(), scores.end());
    float sum = 0;
    for (float& score : scores) sum += score = std::exp(score - highest);
    std::fill(out, out + dim, 0.0f);
    for (size_t j = 0; j < scores.size(); ++j) {
      const auto at = static_cast<size_t>(base + static_cast<int64_t>(j) * kv);
      const float weight = scores[j] / sum;
      for (int64_t d = 0; d < dim; ++d) {
        out[d] += weight * cache.values[at + static_cast<size_t>(d)];
      }
    }
  }
}

void ReferenceModel::rotate(std::span<float> head, int position) const {
  const size_t half = head.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const float angle = static_cast<float>(position) * frequencies_[i];
    const float cosine = std::cos(angle), sine = std::sin(angle);
    const float a = head[i], b = head[i + half];
    head[i] = a * cosine - b * sine;
    head[i + half] = b * cosine + a * sine;
  }
}

}  // namespace lyre
