#include "lyre/lm/cpu/cpu_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/memory.h"
#include "lyre/base/trace.h"
#include "lyre/lm/cpu/elementwise.h"
#include "lyre/lm/cpu/matmul.h"
#include "lyre/lm/cpu/page_steps.h"
#include "lyre/lm/cpu/simd_target.h"
#include "lyre/lm/model_info.h"

namespace lyre {

using cpu::AttentionTask;
using cpu::CpuLayer;
using cpu::CpuWeights;
using cpu::WeightMatrix;

namespace {

// Of each thread that takes part, its wait for the others at the end of the phase included.
constinit trace::Operation kEmbed("lm.embed"), kQkv("lm.qkv"), kAttention("lm.attention"),
    kOutput("lm.output"), kFfnIn("lm.ffn_in"), kFfnDown("lm.ffn_down"), kLogits("lm.logits"),
    kDraw("lm.draw");

size_t product(int64_t a, int64_t b) { return static_cast<size_t>(a * b); }

}  // namespace

Result<std::unique_ptr<CpuModel>> CpuModel::open(const LanguageModelOptions& options,
                                                 ThreadPool& threads) {
  if (options.weights == WeightFormat::kFp8) {
    return Error{ErrorCode::kInvalidArgument,
                 "weights: the cpu backend computes with the weights as stored or int8, found fp8"};
  }
  if (options.kv == KvFormat::kBf16 || options.kv == KvFormat::kFp8) {
    return Error{ErrorCode::kInvalidArgument,
                 "kv: the cpu backend keeps fp16 or fp32, found a format of the cuda backend"};
  }
  LYRE_ASSIGN_OR_RETURN(CpuWeights weights,
                        CpuWeights::open(options.folder, options.weights,
                                         WeightCache(options.cache_folder), threads));
  LYRE_ASSIGN_OR_RETURN(const LanguageModelOptions settled,
                        settle_options(options, weights.config));
  std::unique_ptr<CpuModel> model(new CpuModel(std::move(weights), settled, threads));
  LYRE_RETURN_IF_ERROR(model->allocate(settled));
  return model;
}

CpuModel::CpuModel(CpuWeights weights, const LanguageModelOptions& options, ThreadPool& threads)
    : weights_(std::move(weights)),
      config_(weights_.config),
      info_(model_info(config_, options)),
      table_(table_limits(config_, options)),
      threads_(threads) {
  kv_.type = options.kv == KvFormat::kF32 ? cpu::KvType::kF32 : cpu::KvType::kF16;
  kv_.head_dim = config_.head_dim;
  kv_layer_bytes_ = kv_.bytes() * config_.kv_heads;
  kv_page_bytes_ = kv_layer_bytes_ * config_.layers;
  info_.every_shape_pays = false;
  info_.backend = "cpu " + cpu::simd_target();
  info_.weights = weights_.description;
  info_.parameters = weights_.parameters;
  info_.weight_bytes = weights_.size_bytes;
  info_.kv_bytes_per_token = kv_page_bytes_ / cpu::KvGeometry::kPageTokens;
  info_.kv_bytes = kv_page_bytes_ * table_.pages();
}

Status CpuModel::allocate(const LanguageModelOptions& options) {
  LYRE_ASSIGN_OR_RETURN(kv_pool_, cpu::PageMemory::allocate(info_.kv_bytes, "KV pool"));
  const std::vector<float> frequencies = rope_frequencies(config_);
  for (int position = 0; position < options.max_sequence_tokens; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      cosines_.push_back(std::cos(angle));
      sines_.push_back(std::sin(angle));
    }
  }
  const int64_t tokens = options.max_batch_tokens, heads = options.max_sequences;
  logits_.resize(product(heads, config_.vocabulary));
  hidden_.resize(product(tokens, config_.hidden));
  weighted_.resize(hidden_.size());
  queries_.resize(product(tokens, config_.query_rows()));
  attended_.resize(queries_.size());
  activations_.resize(product(tokens, config_.ffn));
  head_hidden_.resize(product(heads, config_.hidden));
  head_weighted_.resize(head_hidden_.size());
  rows_.reserve(static_cast<size_t>(tokens));
  heads_.reserve(static_cast<size_t>(heads));
  const size_t products = std::max(product(tokens, std::max<int64_t>(kMostBlock, config_.head_dim)),
                                   product(kStreamedTokens, kMostStreamedBlock));
  const int64_t positions =
      int64_t{SequenceTable::pages_for(options.max_sequence_tokens)} * SequenceTable::kPageTokens;
  for (int thread = 0; thread < threads_.size(); ++thread) {
    ThreadScratch& scratch =
        scratch_.emplace_back(ThreadScratch{.first = {},
                                            .second = {},
                                            .scales = {},
                                            .scores = {},
                                            .sums = {},
                                            .draw = DrawScratch(config_.vocabulary)});
    scratch.first.resize(products);
    scratch.second.resize(products);
    scratch.scales.resize(static_cast<size_t>(tokens));
    scratch.scores.resize(product(AttentionTask::kHeadsAtOnce, positions));
    scratch.sums.resize(product(AttentionTask::kHeadsAtOnce, kv_.width()));
  }
  return ok_status();
}

std::vector<WarmupStep> CpuModel::warmup_steps() {
  std::vector<WarmupStep> steps;
  std::vector<std::span<const std::byte>> mapped = weights_.mapped_ranges();
  if (!mapped.empty()) {
    steps.push_back(cpu::read_pages_step("lm.weights", std::move(mapped), threads_));
  }
  // What a sequence of full length holds: the lowest pages, which the table hands out first and
  // again. The rest comes when it is used, a huge page in a tenth of a millisecond, and is not held
  // by servers that never need it.
  const int64_t first_bytes = kv_page_bytes_ * SequenceTable::pages_for(info_.max_sequence_tokens);
  const std::span<std::byte> first(
      kv_pool_.data(), static_cast<size_t>(std::min(first_bytes, kv_pool_.size_bytes())));
  steps.push_back(cpu::write_pages_step("lm.kv_pages", first, threads_,
                                        [] { return available_memory_bytes(); }));
  return steps;
}

int64_t CpuModel::free_kv_tokens() const noexcept {
  return int64_t{table_.free_pages()} * SequenceTable::kPageTokens;
}

int64_t CpuModel::kv_tokens_for(int max_tokens) const noexcept {
  return int64_t{SequenceTable::pages_for(max_tokens)} * SequenceTable::kPageTokens;
}

std::span<const float> CpuModel::last_logits(SequenceId sequence) const noexcept {
  LYRE_CHECK(table_.is_open(sequence));
  const auto vocabulary = static_cast<size_t>(config_.vocabulary);
  return std::span(logits_).subspan(static_cast<size_t>(sequence) * vocabulary, vocabulary);
}

Status CpuModel::step(std::span<const Slice> batch, std::span<SliceResult> results) {
  LYRE_ASSIGN_OR_RETURN(const std::span<const SliceWork> work, table_.plan(batch, results));
  collect_rows(batch, work);
  if (rows_.empty()) return ok_status();
  // A chunk is a way through all phases: who comes late finds less to do, and a thread that does
  // not come at all is not waited for.
  clock_.begin_region();
  threads_.deal(threads_.size(), [this, results](int /*way*/, int thread) {
    Worker worker = {scratch_[static_cast<size_t>(thread)], clock_.start()};
    run_step(worker, results);
  });
  return ok_status();
}

void CpuModel::collect_rows(std::span<const Slice> batch, std::span<const SliceWork> work) {
  rows_.clear();
  heads_.clear();
  for (size_t i = 0; i < work.size(); ++i) {
    const SliceWork& slice = work[i];
    int position = slice.first_position;
    for (const TokenId token : slice.tokens) rows_.push_back({token, position++, slice.sequence});
    if (slice.draws) {
      heads_.push_back({rows_.size() - 1, i, batch[i].sequence, slice.sequence,
                        LegalRows(*slice.sequence, config_.vocabulary)});
    }
  }
  // Sequences that choose from the same rows become neighbours: they are multiplied together.
  std::sort(heads_.begin(), heads_.end(), [](const Head& a, const Head& b) {
    const TokenId first = a.legal.ranges().front().begin, second = b.legal.ranges().front().begin;
    return first != second ? first < second : a.row < b.row;
  });
}

void CpuModel::run_step(Worker& worker, std::span<SliceResult> results) {
  Stream stream = {hidden_.data(), weighted_.data(), static_cast<int64_t>(rows_.size())};
  embed(worker, stream);
  for (int l = 0; l < config_.layers; ++l) {
    const CpuLayer& layer = weights_.layers[static_cast<size_t>(l)];
    const bool last = l + 1 == config_.layers;
    project_heads(worker, l, stream);
    if (last) {
      // Beyond the last keys and values only the tokens that draw matter.
      if (heads_.empty()) return;
      const Stream kept = {head_hidden_.data(), head_weighted_.data(),
                           static_cast<int64_t>(heads_.size())};
      keep_head_rows(worker, stream, kept);
      stream = kept;
    }
    attend_rows(worker, l, stream.rows, last);
    {
      const trace::Span span(kOutput);
      project_residual(worker, layer.attention_output, attended_.data(), layer.post_attention_norm,
                       stream);
    }
    feed_forward_in(worker, layer, stream);
    const std::vector<float>& next_norm =
        last ? weights_.final_norm : weights_.layers[static_cast<size_t>(l) + 1].input_norm;
    const trace::Span span(kFfnDown);
    project_residual(worker, layer.down, activations_.data(), next_norm, stream);
  }
  compute_logits(worker, stream);
  draw_tokens(worker, results);
}

// At least two blocks a thread where the matrix has them, so that no thread waits long for another.
int64_t CpuModel::block_of(int64_t rows, int64_t tokens) const noexcept {
  constexpr int64_t kGrain = 16;
  const int64_t share = rows / (2 * threads_.size()) / kGrain * kGrain;
  return std::clamp(share, kGrain, tokens <= kStreamedTokens ? kMostStreamedBlock : kMostBlock);
}

void CpuModel::embed(Worker& worker, const Stream& stream) {
  const trace::Span span(kEmbed);
  const int64_t width = config_.hidden;
  const std::vector<float>& norm = weights_.layers.front().input_norm;
  worker.phases.run(stream.rows, [&](int64_t t) {
    float* hidden = stream.hidden + t * width;
    float* weighted = stream.weighted + t * width;
    cpu::decode_row(weights_.embedding, rows_[static_cast<size_t>(t)].token, hidden);
    for (int64_t i = 0; i < width; ++i) weighted[i] = hidden[i] * norm[static_cast<size_t>(i)];
  });
}

void CpuModel::measure_scales(const Stream& stream, ThreadScratch& scratch) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  for (int64_t t = 0; t < stream.rows; ++t) {
    scratch.scales[static_cast<size_t>(t)] =
        cpu::inverse_rms(stream.hidden + t * config_.hidden, config_.hidden, eps);
  }
}

std::byte* CpuModel::kv_head(const Sequence& sequence, int position, int layer,
                             int head) const noexcept {
  const int32_t page = sequence.pages[static_cast<size_t>(position / SequenceTable::kPageTokens)];
  return kv_pool_.data() + page * kv_page_bytes_ + layer * kv_layer_bytes_ + head * kv_.bytes();
}

// Query, key and value heads are the chunks that threads share: a head is rotated, and keys and
// values go to their page, by the thread that made it.
void CpuModel::project_heads(Worker& worker, int l, const Stream& stream) {
  const trace::Span span(kQkv);
  const CpuLayer& layer = weights_.layers[static_cast<size_t>(l)];
  ThreadScratch& scratch = worker.scratch;
  const int dim = config_.head_dim, half = dim / 2;
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(dim));
  bool measured = false;
  worker.phases.run(config_.heads + 2 * config_.kv_heads, [&](int64_t chunk) {
    if (!std::exchange(measured, true)) measure_scales(stream, scratch);
    const bool is_query = chunk < config_.heads;
    const bool is_key = !is_query && chunk < config_.heads + config_.kv_heads;
    const auto head =
        static_cast<int>(is_query ? chunk : (chunk - config_.heads) % config_.kv_heads);
    const WeightMatrix& matrix = is_query ? layer.query : is_key ? layer.key : layer.value;
    cpu::matmul(matrix, int64_t{head} * dim, int64_t{head + 1} * dim, stream.weighted,
                config_.hidden, stream.rows, scratch.first.data(), dim);
    for (int64_t t = 0; t < stream.rows; ++t) {
      const Row& row = rows_[static_cast<size_t>(t)];
      float* values = &scratch.first[static_cast<size_t>(t * dim)];
      const float scale = scratch.scales[static_cast<size_t>(t)];
      const auto angles = static_cast<size_t>(int64_t{row.position} * half);
      const int slot = row.position % SequenceTable::kPageTokens;
      if (is_query) {
        cpu::rotate_head(values, &cosines_[angles], &sines_[angles], half, scale * query_scale);
        std::copy_n(values, dim,
                    &queries_[product(t, config_.query_rows()) + static_cast<size_t>(head * dim)]);
      } else if (is_key) {
        cpu::rotate_head(values, &cosines_[angles], &sines_[angles], half, scale);
        cpu::store_key(kv_, values, slot, kv_head(*row.sequence, row.position, l, head));
      } else {
        cpu::scale_row(values, scale, values, dim);
        cpu::store_value(kv_, values, slot, kv_head(*row.sequence, row.position, l, head));
      }
    }
  });
}

void CpuModel::keep_head_rows(Worker& worker, const Stream& from, const Stream& to) {
  const int64_t width = config_.hidden;
  worker.phases.run(to.rows, [&](int64_t i) {
    const auto row = static_cast<int64_t>(heads_[static_cast<size_t>(i)].row);
    std::copy_n(from.hidden + row * width, width, to.hidden + i * width);
  });
}

// The query heads of a KV head stay together unless that would leave threads without work.
void CpuModel::attend_rows(Worker& worker, int layer, int64_t rows, bool heads_only) {
  const trace::Span span(kAttention);
  ThreadScratch& scratch = worker.scratch;
  const int64_t dim = config_.head_dim, width = config_.query_rows();
  const int group = config_.heads / config_.kv_heads;
  const int together = rows * config_.kv_heads >= threads_.size() ? group : 1;
  const int64_t parts = config_.heads / together;  // of a row
  const int64_t positions =
      static_cast<int64_t>(scratch.scores.size()) / AttentionTask::kHeadsAtOnce;
  worker.phases.run(rows * parts, [&](int64_t chunk) {
    const int64_t out_row = chunk / parts, head = chunk % parts * together;
    const auto in_row = static_cast<int64_t>(heads_only ? heads_[static_cast<size_t>(out_row)].row
                                                        : static_cast<size_t>(out_row));
    const Row& row = rows_[static_cast<size_t>(in_row)];
    const AttentionTask task = {
        .queries = &queries_[static_cast<size_t>(in_row * width + head * dim)],
        .heads = together,
        .pool = kv_pool_.data() + layer * kv_layer_bytes_ + head / group * kv_.bytes(),
        .page_bytes = kv_page_bytes_,
        .pages = row.sequence->pages,
        .length = row.position + 1};
    cpu::attend(kv_, task, {scratch.scores.data(), positions, scratch.sums.data()},
                &attended_[static_cast<size_t>(out_row * width + head * dim)]);
  });
}

// stream.hidden += inputs (rows, K) * matrix^T; stream.weighted for the norm that follows.
void CpuModel::project_residual(Worker& worker, const WeightMatrix& matrix, const float* inputs,
                                const std::vector<float>& norm, const Stream& stream) {
  ThreadScratch& scratch = worker.scratch;
  const int64_t width = config_.hidden, block = block_of(width, stream.rows);
  worker.phases.run((width + block - 1) / block, [&](int64_t chunk) {
    const int64_t first = chunk * block, count = std::min(block, width - first);
    cpu::matmul(matrix, first, first + count, inputs, matrix.columns, stream.rows,
                scratch.first.data(), count);
    for (int64_t t = 0; t < stream.rows; ++t) {
      cpu::add_residual(&scratch.first[static_cast<size_t>(t * count)],
                        &norm[static_cast<size_t>(first)], stream.hidden + t * width + first,
                        stream.weighted + t * width + first, count);
    }
  });
}

void CpuModel::feed_forward_in(Worker& worker, const CpuLayer& layer, const Stream& stream) {
  const trace::Span span(kFfnIn);
  ThreadScratch& scratch = worker.scratch;
  const int64_t width = config_.ffn, block = block_of(width, stream.rows);
  bool measured = false;
  worker.phases.run((width + block - 1) / block, [&](int64_t chunk) {
    if (!std::exchange(measured, true)) measure_scales(stream, scratch);
    const int64_t first = chunk * block, count = std::min(block, width - first);
    cpu::matmul(layer.gate, first, first + count, stream.weighted, config_.hidden, stream.rows,
                scratch.first.data(), count);
    cpu::matmul(layer.up, first, first + count, stream.weighted, config_.hidden, stream.rows,
                scratch.second.data(), count);
    for (int64_t t = 0; t < stream.rows; ++t) {
      cpu::silu_multiply(&scratch.first[static_cast<size_t>(t * count)],
                         &scratch.second[static_cast<size_t>(t * count)],
                         scratch.scales[static_cast<size_t>(t)],
                         &activations_[static_cast<size_t>(t * width + first)], count);
    }
  });
}

void CpuModel::compute_logits(Worker& worker, const Stream& stream) {
  const trace::Span span(kLogits);
  ThreadScratch& scratch = worker.scratch;
  bool measured = false;
  for (size_t first = 0, last; first < heads_.size(); first = last) {
    last = first + 1;
    while (last < heads_.size() && heads_[last].legal == heads_[first].legal) ++last;
    const float* inputs = stream.weighted + static_cast<int64_t>(first) * config_.hidden;
    const auto tokens = static_cast<int64_t>(last - first);
    for (const TokenRange range : heads_[first].legal.ranges()) {
      const int64_t rows = range.end - range.begin, block = block_of(rows, tokens);
      worker.phases.run((rows + block - 1) / block, [&](int64_t chunk) {
        if (!std::exchange(measured, true)) measure_scales(stream, scratch);
        const int64_t row = range.begin + chunk * block;
        const int64_t count = std::min(block, range.end - row);
        cpu::matmul(weights_.output, row, row + count, inputs, config_.hidden, tokens,
                    scratch.first.data(), count);
        for (int64_t t = 0; t < tokens; ++t) {
          const size_t head = first + static_cast<size_t>(t);
          const size_t out =
              product(heads_[head].id, config_.vocabulary) + static_cast<size_t>(row);
          cpu::scale_row(&scratch.first[static_cast<size_t>(t * count)], scratch.scales[head],
                         &logits_[out], count);
        }
      });
    }
  }
}

void CpuModel::draw_tokens(Worker& worker, std::span<SliceResult> results) {
  const trace::Span span(kDraw);
  const auto vocabulary = static_cast<size_t>(config_.vocabulary);
  worker.phases.run(static_cast<int64_t>(heads_.size()), [&](int64_t chunk) {
    const Head& head = heads_[static_cast<size_t>(chunk)];
    const std::span<const float> logits =
        std::span(logits_).subspan(static_cast<size_t>(head.id) * vocabulary, vocabulary);
    table_.draw(*head.sequence, logits, worker.scratch.draw, results[head.slice]);
  });
}

}  // namespace lyre
