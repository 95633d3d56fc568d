#include "lyre/lm/cuda/cuda_model.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/cuda/device.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/base/cuda/status.h"
#include "lyre/lm/cuda/attention.h"
#include "lyre/lm/cuda/device_weights.h"
#include "lyre/lm/cuda/draw.h"
#include "lyre/lm/cuda/forward.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/model_info.h"
#include "lyre/lm/sequence_table.h"

namespace lyre {
namespace {

using cuda::DeviceDraws;
using cuda::DeviceHead;
using cuda::DeviceMemory;
using cuda::DeviceRow;
using cuda::DeviceSequence;
using cuda::Forward;
using cuda::Graph;
using cuda::PinnedMemory;
using cuda::Queue;

// Left free on the device when the size of the KV pool is not given: the codec's weights, streams
// and work memory, and what the driver takes for modules and graphs.
constexpr int64_t kSpareBytes = int64_t{3} << 30;

// Sequences that a captured step is for; others are rounded up: 1, 2, 4 ... 64, 96, 128, 192 ...
int bucket_of(int sequences) {
  int size = 1;
  while (size < sequences) size *= 2;
  const int half_way = size / 4 * 3;
  return half_way >= 96 && sequences <= half_way ? half_way : size;
}

// Rows of the output matrix that the sequence may choose from, if they lie together.
std::optional<cuda::CodeRange> code_range(const SequenceOptions& options) {
  constexpr int kMostSpread = 512;  // rows beside the codes
  if (!options.sampling.legal_slots) return std::nullopt;
  const CodeLayout& layout = options.layout;
  int first = layout.first_code, end = layout.end();
  for (const TokenId stop : layout.stop_ids) {
    first = std::min(first, stop);
    end = std::max(end, stop + 1);
  }
  first = first / cuda::CodeRange::kAlignment * cuda::CodeRange::kAlignment;
  if (end - first > CodeLayout::kSlots * layout.codebook_size + kMostSpread) return std::nullopt;
  return cuda::CodeRange{first, end};
}

std::string mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

class CudaModel final : public LanguageModel {
 public:
  static Result<std::unique_ptr<LanguageModel>> open(const LanguageModelOptions& asked,
                                                     ThreadPool& threads);

  const LanguageModelInfo& info() const noexcept override { return info_; }
  Result<SequenceId> open(const SequenceOptions& options) override;
  void close(SequenceId sequence) noexcept override { table_.close(sequence); }
  int free_sequences() const noexcept override { return table_.free_sequences(); }
  int64_t free_kv_tokens() const noexcept override {
    return int64_t{table_.free_pages()} * SequenceTable::kPageTokens;
  }
  int64_t kv_tokens_for(int max_tokens) const noexcept override {
    return int64_t{SequenceTable::pages_for(max_tokens)} * SequenceTable::kPageTokens;
  }
  Status step(std::span<const Slice> batch, std::span<SliceResult> results) override {
    LYRE_RETURN_IF_ERROR(begin_step(batch, results));
    return end_step();
  }
  Status begin_step(std::span<const Slice> batch, std::span<SliceResult> results) override;
  Status end_step() override;
  std::span<const float> last_logits(SequenceId sequence) const noexcept override;
  std::vector<WarmupStep> warmup_steps() override;

 private:
  struct DrawingSlice {
    size_t slice;
    Sequence* sequence;
  };
  using CodeRange = cuda::CodeRange;
  // Captured when first needed.
  struct Bucket {
    int sequences = 0;
    Graph common;  // every sequence has legal slots in codes_
    Graph any;
  };

  CudaModel(const LlamaConfig& config, const LanguageModelOptions& options, int device,
            Forward forward, Queue queue)
      : info_(model_info(config, options)),
        table_(table_limits(config, options)),
        device_(device),
        forward_(std::move(forward)),
        queue_(std::move(queue)) {}
  Status allocate();
  Status select() const { return cuda::status_of(cudaSetDevice(device_), "selecting the GPU"); }
  void put_mixed_step(std::span<const Slice> batch, std::span<const SliceWork> work);
  Status put_decode_step();
  Result<Graph*> graph_for(int sequences, bool common);
  cuda::DrawTask draw_task(const DeviceHead* heads, int count) const;

  LanguageModelInfo info_;
  SequenceTable table_;
  const int device_;
  Forward forward_;
  mutable Queue queue_;
  std::vector<Bucket> buckets_;

  // Device.
  DeviceMemory sequences_;     // (max_sequences)
  DeviceMemory seen_;          // (max_sequences, seen_words)
  DeviceMemory rows_;          // (T)
  DeviceMemory heads_;         // (most heads): of a step with prompts
  DeviceMemory decode_heads_;  // (most heads): the row of head i is i
  DeviceMemory draws_;         // (most heads)
  int seen_words_ = 0;
  int most_heads_ = 0;  // max_sequences, as a bucket

  // Pinned copies.
  PinnedMemory host_sequences_, host_pages_, host_rows_, host_heads_, host_decode_heads_,
      host_draws_;
  mutable PinnedMemory host_logits_;  // (V)

  // The step between begin_step() and end_step().
  std::vector<DrawingSlice> drawing_;
  std::span<SliceResult> results_;
  bool common_ = true;

  std::vector<int> head_of_;        // by sequence: its row of the logits in the last step
  std::optional<CodeRange> codes_;  // of the first sequence that was opened, and mostly of all
};

Result<std::unique_ptr<LanguageModel>> CudaModel::open(const LanguageModelOptions& asked,
                                                       ThreadPool& threads) {
  if (asked.weights == WeightFormat::kInt8) {
    return Error{ErrorCode::kInvalidArgument,
                 "weights: the cuda backend computes with bf16 or fp8, found int8"};
  }
  if (asked.kv == KvFormat::kF16 || asked.kv == KvFormat::kF32) {
    return Error{ErrorCode::kInvalidArgument,
                 "kv: the cuda backend keeps bf16 or fp8, found a format of the cpu backend"};
  }
  if (asked.max_sequences > cuda::kMostDrawing) {
    return Error{ErrorCode::kInvalidArgument,
                 "max_sequences: expected at most " + std::to_string(cuda::kMostDrawing) +
                     " with the cuda backend, found " + std::to_string(asked.max_sequences)};
  }
  LYRE_ASSIGN_OR_RETURN(const Gpu gpu, cuda::select_device(asked.device));
  LYRE_ASSIGN_OR_RETURN(const LlamaWeights stored, open_llama_weights(asked.folder));
  const LlamaConfig& config = stored.config;
  if (!cuda::attention_serves(config.head_dim)) {
    return Error{ErrorCode::kInvalidArgument,
                 "head_dim: the cuda backend serves 32, 64, 128 and 256, found " +
                     std::to_string(config.head_dim)};
  }
  LanguageModelOptions sized = asked;
  if (sized.kv_tokens == 0) sized.kv_tokens = SequenceTable::kPageTokens;  // settled below
  LYRE_ASSIGN_OR_RETURN(LanguageModelOptions options, settle_options(sized, config));

  LYRE_ASSIGN_OR_RETURN(Queue queue, Queue::create(Queue::Priority::kNormal));
  LYRE_ASSIGN_OR_RETURN(cuda::DeviceWeights weights,
                        cuda::upload_weights(stored, options.weights, threads, queue));
  Forward::Limits limits;
  limits.most_rows = std::max(options.max_batch_tokens, bucket_of(options.max_sequences));
  limits.most_heads = bucket_of(options.max_sequences);
  limits.max_sequences = options.max_sequences;
  limits.max_sequence_tokens = options.max_sequence_tokens;
  limits.max_pages = SequenceTable::pages_for(options.max_sequence_tokens);
  limits.fp8_kv = options.kv == KvFormat::kFp8;
  const int64_t page_bytes = Forward::page_bytes(config, limits.fp8_kv);
  if (asked.kv_tokens == 0) {
    // Full length for every sequence, or what there is room for.
    LYRE_ASSIGN_OR_RETURN(const Gpu now, cuda::select_device(asked.device));
    const int64_t room =
        now.free_bytes - Forward::work_bytes(config, weights, limits) - kSpareBytes;
    const int64_t fitting = std::max<int64_t>(room, 0) / page_bytes;
    limits.pages = std::min<int64_t>(int64_t{options.max_sequences} * limits.max_pages, fitting);
    if (limits.pages < limits.max_pages) {
      return Error{ErrorCode::kResourceExhausted,
                   "GPU memory: the KV pool needs at least " +
                       mebibytes(page_bytes * limits.max_pages) + " for one sequence of " +
                       std::to_string(options.max_sequence_tokens) + " tokens, " +
                       mebibytes(std::max<int64_t>(room, 0)) + " are left beside " +
                       mebibytes(weights.size_bytes) + " of weights, work memory and " +
                       mebibytes(kSpareBytes) + " for the codec"};
    }
    options.kv_tokens = limits.pages * SequenceTable::kPageTokens;
  } else {
    limits.pages = options.kv_tokens / SequenceTable::kPageTokens;
  }
  const int64_t weight_bytes = weights.size_bytes;
  LYRE_ASSIGN_OR_RETURN(Forward forward,
                        Forward::create(config, std::move(weights), limits, queue));
  std::unique_ptr<CudaModel> model(
      new CudaModel(config, options, asked.device, std::move(forward), std::move(queue)));
  LYRE_RETURN_IF_ERROR(model->allocate());
  model->info_.steps_in_background = true;
  model->info_.draws_several = true;
  model->info_.backend = "cuda " + gpu.name;
  model->info_.weights = options.weights == WeightFormat::kFp8
                             ? "fp8 e4m3, a scale for each row; embedding and output bf16"
                             : "bf16";
  if (limits.fp8_kv) model->info_.weights += "; kv fp8 e4m3";
  model->info_.parameters = stored.parameters();
  model->info_.weight_bytes = weight_bytes;
  model->info_.kv_bytes_per_token = page_bytes / SequenceTable::kPageTokens;
  model->info_.kv_bytes = page_bytes * limits.pages;
  return std::unique_ptr<LanguageModel>(std::move(model));
}

Status CudaModel::allocate() {
  const int64_t sequences = info_.max_sequences;
  most_heads_ = bucket_of(info_.max_sequences);
  seen_words_ = (info_.vocabulary + 31) / 32;
  const int64_t max_pages = SequenceTable::pages_for(info_.max_sequence_tokens);
  const int64_t rows = Forward::padded_rows(std::max(info_.max_batch_tokens, most_heads_));
  const auto device = [&](DeviceMemory& memory, int64_t bytes) -> Status {
    LYRE_ASSIGN_OR_RETURN(memory, DeviceMemory::allocate(bytes, "state of the sequences"));
    queue_.fill_bytes(memory.data(), 0, bytes);
    return queue_.status();
  };
  const auto pinned = [&](PinnedMemory& memory, int64_t bytes) -> Status {
    LYRE_ASSIGN_OR_RETURN(memory, PinnedMemory::allocate(bytes, "state of the sequences"));
    return ok_status();
  };
  const int64_t head_bytes = most_heads_ * int64_t{sizeof(DeviceHead)};
  const int64_t draw_bytes = most_heads_ * int64_t{sizeof(DeviceDraws)};
  LYRE_RETURN_IF_ERROR(device(sequences_, sequences * int64_t{sizeof(DeviceSequence)}));
  LYRE_RETURN_IF_ERROR(device(seen_, sequences * seen_words_ * 4));
  LYRE_RETURN_IF_ERROR(device(rows_, rows * int64_t{sizeof(DeviceRow)}));
  LYRE_RETURN_IF_ERROR(device(heads_, head_bytes));
  LYRE_RETURN_IF_ERROR(device(decode_heads_, head_bytes));
  LYRE_RETURN_IF_ERROR(device(draws_, draw_bytes));
  LYRE_RETURN_IF_ERROR(pinned(host_sequences_, sequences * int64_t{sizeof(DeviceSequence)}));
  LYRE_RETURN_IF_ERROR(pinned(host_pages_, sequences * max_pages * 4));
  LYRE_RETURN_IF_ERROR(pinned(host_rows_, rows * int64_t{sizeof(DeviceRow)}));
  LYRE_RETURN_IF_ERROR(pinned(host_heads_, head_bytes));
  LYRE_RETURN_IF_ERROR(pinned(host_decode_heads_, head_bytes));
  LYRE_RETURN_IF_ERROR(pinned(host_draws_, draw_bytes));
  LYRE_RETURN_IF_ERROR(pinned(host_logits_, int64_t{info_.vocabulary} * 4));
  drawing_.reserve(static_cast<size_t>(most_heads_));
  head_of_.resize(static_cast<size_t>(sequences));
  for (int bucket = 1; bucket <= most_heads_; bucket = bucket_of(bucket + 1)) {
    buckets_.emplace_back().sequences = bucket;
  }
  return queue_.finish();
}

Result<SequenceId> CudaModel::open(const SequenceOptions& options) {
  LYRE_RETURN_IF_ERROR(select());
  LYRE_ASSIGN_OR_RETURN(const SequenceId id, table_.open(options));
  const Sequence& opened = table_.at(id);
  if (!codes_) codes_ = code_range(opened.options);
  DeviceSequence state = {};
  state.token = -1;
  state.max_tokens = options.max_tokens;
  const SamplingParams& sampling = options.sampling;
  state.temperature = sampling.temperature;
  state.top_p = sampling.top_p;
  state.min_p = sampling.min_p;
  state.repetition_penalty = sampling.repetition_penalty;
  state.top_k = sampling.top_k;
  state.legal_slots = sampling.legal_slots ? 1 : 0;
  state.seed = sampling.seed;
  const CodeLayout& layout = opened.options.layout;  // its stop ids are in order
  state.first_code = layout.first_code;
  state.codebook_size = layout.codebook_size;
  state.stop_count = static_cast<int32_t>(layout.stop_ids.size());
  std::copy(layout.stop_ids.begin(), layout.stop_ids.end(), state.stop_ids);

  // Work in the queue may still read what the slot held before: of a sequence that was closed, to
  // nobody's harm.
  host_sequences_.as<DeviceSequence>()[id] = state;
  queue_.copy_to_device(sequences_.as<DeviceSequence>() + id,
                        host_sequences_.as<DeviceSequence>() + id, sizeof(DeviceSequence));
  const int64_t max_pages = SequenceTable::pages_for(info_.max_sequence_tokens);
  int32_t* pages = host_pages_.as<int32_t>() + id * max_pages;
  std::copy(opened.pages.begin(), opened.pages.end(), pages);
  queue_.copy_to_device(forward_.pages_data() + id * max_pages, pages,
                        static_cast<int64_t>(opened.pages.size()) * 4);
  queue_.fill_bytes(seen_.as<uint32_t>() + int64_t{id} * seen_words_, 0, int64_t{seen_words_} * 4);
  const Status put = queue_.status();
  if (put.ok()) return id;
  table_.close(id);
  return put.error();
}

cuda::DrawTask CudaModel::draw_task(const DeviceHead* heads, int count) const {
  cuda::DrawTask task;
  task.heads = heads;
  task.count = count;
  task.sequences = sequences_.as<DeviceSequence>();
  task.seen = seen_.as<uint32_t>();
  task.seen_words = seen_words_;
  task.logits = forward_.logits_data();
  task.logits_pitch = forward_.logits_pitch();
  task.vocabulary = info_.vocabulary;
  task.draws = draws_.as<DeviceDraws>();
  return task;
}

Status CudaModel::begin_step(std::span<const Slice> batch, std::span<SliceResult> results) {
  LYRE_RETURN_IF_ERROR(select());
  LYRE_ASSIGN_OR_RETURN(const std::span<const SliceWork> work, table_.plan(batch, results));
  results_ = results;
  drawing_.clear();
  common_ = true;
  bool prompts = false, fed = false;
  int draws = SliceResult::kMostTokens;
  for (size_t i = 0; i < work.size(); ++i) {
    fed = fed || !work[i].tokens.empty();
    prompts = prompts || !batch[i].prompt.empty();
    if (!work[i].draws) continue;
    drawing_.push_back({i, work[i].sequence});
    draws = std::min(draws, batch[i].most_tokens);
    common_ = common_ && codes_ && code_range(work[i].sequence->options) == codes_;
    head_of_[static_cast<size_t>(batch[i].sequence)] = static_cast<int>(drawing_.size()) - 1;
  }
  if (!fed) return queue_.status();

  const auto count = static_cast<int>(drawing_.size());
  auto* heads = host_decode_heads_.as<DeviceHead>();
  for (int i = 0; i < most_heads_; ++i) {
    const auto drawing = static_cast<size_t>(i);
    heads[i] = {i, i < count ? batch[drawing_[drawing].slice].sequence : -1};
  }
  queue_.copy_to_device(decode_heads_.data(), heads,
                        int64_t{bucket_of(std::max(count, 1))} * int64_t{sizeof(DeviceHead)});
  queue_.fill_bytes(draws_.data(), 0, int64_t{count} * int64_t{sizeof(DeviceDraws)});
  if (prompts) put_mixed_step(batch, work);
  for (int draw = prompts ? 1 : 0; count > 0 && draw < draws; ++draw) {
    LYRE_RETURN_IF_ERROR(put_decode_step());
  }
  queue_.copy_to_host(host_draws_.data(), draws_.data(),
                      int64_t{count} * int64_t{sizeof(DeviceDraws)});
  return queue_.status();
}

// Prompts, and decodes beside them, as rows that the host writes: it knows all tokens.
void CudaModel::put_mixed_step(std::span<const Slice> batch, std::span<const SliceWork> work) {
  auto* rows = host_rows_.as<DeviceRow>();
  auto* heads = host_heads_.as<DeviceHead>();
  int count = 0, head = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    int position = work[i].first_position;
    for (const TokenId token : work[i].tokens) {
      rows[count++] = {batch[i].sequence, position++, token};
    }
    if (work[i].draws) heads[head++] = {count - 1, batch[i].sequence};
  }
  const int padded = Forward::padded_rows(count);
  for (; count < padded; ++count) rows[count] = {-1, 0, 0};
  queue_.copy_to_device(rows_.data(), rows, int64_t{padded} * int64_t{sizeof(DeviceRow)});
  queue_.copy_to_device(heads_.data(), heads, int64_t{head} * int64_t{sizeof(DeviceHead)});
  cuda::note_rows(queue_, {rows_.as<DeviceRow>(), padded, sequences_.as<DeviceSequence>(),
                           seen_.as<uint32_t>(), seen_words_});
  forward_.run(queue_, rows_.as<DeviceRow>(), padded);
  if (head == 0) return;
  forward_.logits(queue_, {heads_.as<DeviceHead>(), head, false, common_, codes_},
                  sequences_.as<DeviceSequence>());
  cuda::draw_tokens(queue_, draw_task(heads_.as<DeviceHead>(), head));
}

Status CudaModel::put_decode_step() {
  LYRE_ASSIGN_OR_RETURN(const Graph* graph, graph_for(static_cast<int>(drawing_.size()), common_));
  graph->launch(queue_);
  return queue_.status();
}

Result<Graph*> CudaModel::graph_for(int sequences, bool common) {
  const int size = bucket_of(sequences);
  const auto bucket = std::find_if(buckets_.begin(), buckets_.end(),
                                   [size](const Bucket& b) { return b.sequences == size; });
  LYRE_CHECK(bucket != buckets_.end() && Forward::padded_rows(size) == size);
  Graph& graph = common ? bucket->common : bucket->any;
  if (!graph.empty()) return &graph;
  LYRE_ASSIGN_OR_RETURN(
      graph, Graph::capture(queue_, [&](Queue& queue) {
        const auto* heads = decode_heads_.as<DeviceHead>();
        const auto* sequences_data = sequences_.as<DeviceSequence>();
        cuda::decode_rows(queue,
                          {heads, size, sequences_.as<DeviceSequence>(), rows_.as<DeviceRow>()});
        forward_.run(queue, rows_.as<DeviceRow>(), size);
        forward_.logits(queue, {heads, size, true, common, codes_}, sequences_data);
        cuda::draw_tokens(queue, draw_task(heads, size));
      }));
  return &graph;
}

Status CudaModel::end_step() {
  LYRE_RETURN_IF_ERROR(select());
  LYRE_RETURN_IF_ERROR(queue_.finish());
  const auto* draws = host_draws_.as<DeviceDraws>();
  for (size_t i = 0; i < drawing_.size(); ++i) {
    SliceResult& result = results_[drawing_[i].slice];
    for (int draw = 0; draw < draws[i].count; ++draw) {
      SequenceTable::note_drawn(*drawing_[i].sequence, draws[i].tokens[draw], result);
    }
  }
  drawing_.clear();
  return ok_status();
}

std::span<const float> CudaModel::last_logits(SequenceId sequence) const noexcept {
  LYRE_CHECK(table_.is_open(sequence));
  const int64_t bytes = int64_t{info_.vocabulary} * 4;
  if (!select()) return {};
  queue_.copy_to_host(
      host_logits_.data(),
      forward_.logits_data() + head_of_[static_cast<size_t>(sequence)] * forward_.logits_pitch(),
      bytes);
  if (!queue_.finish()) return {};
  return {host_logits_.as<float>(), static_cast<size_t>(info_.vocabulary)};
}

// Graphs are captured, and run once with no sequence in them; products of all sizes of a step with
// prompts the same.
std::vector<WarmupStep> CudaModel::warmup_steps() {
  std::vector<WarmupStep> steps;
  const auto add = [&](std::string name, std::function<Status()> run) {
    WarmupStep& step = steps.emplace_back();
    step.name = std::move(name);
    step.run = [this, run = std::move(run)]() -> Result<WarmupStep::Progress> {
      LYRE_RETURN_IF_ERROR(select());
      LYRE_RETURN_IF_ERROR(run());
      LYRE_RETURN_IF_ERROR(queue_.finish());
      return WarmupStep::Progress::kDone;
    };
  };
  for (const Bucket& bucket : buckets_) {
    add("lm.graph." + std::to_string(bucket.sequences),
        [this, size = bucket.sequences]() -> Status {
          LYRE_ASSIGN_OR_RETURN(const Graph* any, graph_for(size, false));
          auto* heads = host_decode_heads_.as<DeviceHead>();
          for (int i = 0; i < size; ++i) heads[i] = {i, -1};
          queue_.copy_to_device(decode_heads_.data(), heads, size * int64_t{sizeof(DeviceHead)});
          any->launch(queue_);
          // Without a range of codes it is captured when the first sequences are stepped.
          if (!codes_ && Forward::prefers_range(size)) return queue_.status();
          LYRE_ASSIGN_OR_RETURN(const Graph* common, graph_for(size, true));
          common->launch(queue_);
          return queue_.status();
        });
  }
  const int most = Forward::padded_rows(info_.max_batch_tokens);
  for (int rows = 1; rows <= most; rows = Forward::padded_rows(rows + 1)) {
    add("lm.rows." + std::to_string(rows), [this, rows]() -> Status {
      auto* padding = host_rows_.as<DeviceRow>();
      for (int i = 0; i < rows; ++i) padding[i] = {-1, 0, 0};
      queue_.copy_to_device(rows_.data(), padding, rows * int64_t{sizeof(DeviceRow)});
      cuda::note_rows(queue_, {rows_.as<DeviceRow>(), rows, sequences_.as<DeviceSequence>(),
                               seen_.as<uint32_t>(), seen_words_});
      forward_.run(queue_, rows_.as<DeviceRow>(), rows);
      return queue_.status();
    });
  }
  return steps;
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> open_cuda_language_model(const LanguageModelOptions& options,
                                                                ThreadPool& threads) {
  return CudaModel::open(options, threads);
}

}  // namespace lyre
