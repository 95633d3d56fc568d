#include "lyre/lm/cpu/cpu_weights.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "lyre/base/check.h"
#include "lyre/base/log.h"

namespace lyre::cpu {
namespace {

MatrixType matrix_type(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return MatrixType::kBF16;
    case DType::kF16:
      return MatrixType::kF16;
    default:
      LYRE_CHECK(dtype == DType::kF32);  // the weight table lets no other through
      return MatrixType::kF32;
  }
}

WeightMatrix as_stored(const TensorView& view) {
  return {view.data, nullptr, view.shape[0], view.shape[1], matrix_type(view.dtype)};
}

Status to_floats(const TensorView& view, std::vector<float>& out) {
  out.resize(static_cast<size_t>(view.shape.elements()));
  return convert_to_f32(view, out);
}

std::span<const std::byte> bytes_of(const WeightMatrix& w) {
  const int64_t element = w.type == MatrixType::kF32 ? 4 : w.type == MatrixType::kInt8 ? 1 : 2;
  return {static_cast<const std::byte*>(w.data), static_cast<size_t>(w.rows * w.columns * element)};
}

// Rows of int8 start at multiples of a cache line.
int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// "bf16", or "bf16 and f32" for a mixed checkpoint.
std::string stored_types(const TensorArchive& archive) {
  std::set<std::string> names;
  for (const auto& [name, view] : archive.tensors()) {
    if (view.shape.rank() == 2) names.insert(dtype_name(view.dtype));
  }
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " and ") + name;
  return text;
}

// Of the cache: what is stored, and under which names.
const char* const kScalesSuffix = ".scales";
const char* const kDescription = "description";

// What is made of the files, as far as config.json decides and not their contents. Every processor
// makes and reads the same int8.
std::string int8_form(const LlamaConfig& config) {
  return "llama int8 in groups of " + std::to_string(kQuantGroup) + ", " +
         std::to_string(config.layers) + " layers, " +
         (config.tied_embeddings ? "tied" : "not tied");
}

}  // namespace

Result<CpuWeights> CpuWeights::open(const std::filesystem::path& folder, WeightFormat format,
                                    const WeightCache& cache, ThreadPool& threads) {
  LYRE_ASSIGN_OR_RETURN(LlamaWeights stored, open_llama_weights(folder));
  CpuWeights weights;
  weights.config = stored.config;
  weights.parameters = stored.parameters();
  weights.layers.resize(stored.layers.size());
  if (format == WeightFormat::kAsStored) {
    LYRE_RETURN_IF_ERROR(weights.take_stored(stored));
    weights.archive_ = std::move(stored.archive);
    return weights;
  }
  std::optional<ContentHash> key;
  if (cache.enabled()) {
    key = cache.key(stored.archive, int8_form(weights.config), threads);
    if (const std::optional<TensorArchive> archive = cache.find(*key, threads)) {
      const Status taken = weights.take_int8(*archive);
      if (taken.ok()) return weights;
      log_warning("stored weights cannot be used and are made anew",
                  {{"problem", taken.error().message}});
    }
  }
  LYRE_RETURN_IF_ERROR(weights.take_stored(stored));
  weights.archive_ = std::move(stored.archive);
  LYRE_RETURN_IF_ERROR(weights.quantize_all(threads));
  if (key) weights.store_int8(cache, *key);
  return weights;
}

std::vector<CpuWeights::NamedMatrix> CpuWeights::matrices() {
  std::vector<NamedMatrix> all = {{"embedding", &embedding}};
  if (!config.tied_embeddings) all.push_back({"output", &output});
  for (size_t l = 0; l < layers.size(); ++l) {
    CpuLayer& layer = layers[l];
    const std::string prefix = "layers." + std::to_string(l) + ".";
    all.push_back({prefix + "query", &layer.query});
    all.push_back({prefix + "key", &layer.key});
    all.push_back({prefix + "value", &layer.value});
    all.push_back({prefix + "attention_output", &layer.attention_output});
    all.push_back({prefix + "gate", &layer.gate});
    all.push_back({prefix + "up", &layer.up});
    all.push_back({prefix + "down", &layer.down});
  }
  return all;
}

std::vector<CpuWeights::NamedNorm> CpuWeights::norms() {
  std::vector<NamedNorm> all = {{"final_norm", &final_norm}};
  for (size_t l = 0; l < layers.size(); ++l) {
    const std::string prefix = "layers." + std::to_string(l) + ".";
    all.push_back({prefix + "input_norm", &layers[l].input_norm});
    all.push_back({prefix + "post_attention_norm", &layers[l].post_attention_norm});
  }
  return all;
}

Status CpuWeights::take_stored(const LlamaWeights& stored) {
  size_bytes = stored.size_bytes();
  description = stored_types(stored.archive);
  embedding = as_stored(stored.embedding);
  output = as_stored(stored.output);
  LYRE_RETURN_IF_ERROR(to_floats(stored.final_norm, final_norm));
  for (size_t l = 0; l < layers.size(); ++l) {
    const LlamaLayerWeights& from = stored.layers[l];
    CpuLayer& to = layers[l];
    LYRE_RETURN_IF_ERROR(to_floats(from.input_norm, to.input_norm));
    LYRE_RETURN_IF_ERROR(to_floats(from.post_attention_norm, to.post_attention_norm));
    to.query = as_stored(from.query);
    to.key = as_stored(from.key);
    to.value = as_stored(from.value);
    to.attention_output = as_stored(from.attention_output);
    to.gate = as_stored(from.gate);
    to.up = as_stored(from.up);
    to.down = as_stored(from.down);
  }
  return ok_status();
}

Status CpuWeights::quantize_all(ThreadPool& threads) {
  const std::vector<NamedMatrix> all = matrices();
  int64_t bytes = 0;
  for (const NamedMatrix& named : all) {
    bytes += aligned(quantized_bytes(*named.matrix)) +
             aligned(scale_count(*named.matrix) * static_cast<int64_t>(sizeof(float)));
  }
  LYRE_ASSIGN_OR_RETURN(quantized_, PageMemory::allocate(bytes, "int8 weights"));
  std::vector<QuantizeJob> jobs;
  std::byte* at = quantized_.data();
  for (const NamedMatrix& named : all) {
    WeightMatrix to = *named.matrix;
    to.type = MatrixType::kInt8;
    to.data = at;
    at += aligned(quantized_bytes(to));
    to.scales = reinterpret_cast<const float*>(at);
    at += aligned(scale_count(to) * static_cast<int64_t>(sizeof(float)));
    jobs.push_back({*named.matrix, to});
  }
  const QuantError error =
      quantize(jobs, threads, [](const QuantizeJob& job) { release_pages(bytes_of(job.from)); });
  for (size_t i = 0; i < all.size(); ++i) *all[i].matrix = jobs[i].to;
  if (config.tied_embeddings) output = embedding;
  archive_ = TensorArchive();
  size_bytes = bytes;
  char text[80];
  std::snprintf(text, sizeof(text), "int8 in groups of %d, error %.2f %% rms",
                static_cast<int>(kQuantGroup), 100.0 * error.relative_rms());
  description = text;
  return ok_status();
}

Status CpuWeights::take_int8(const TensorArchive& archive) {
  const int64_t hidden = config.hidden, queries = config.query_rows(), kv = config.kv_rows(),
                ffn = config.ffn;
  embedding.rows = output.rows = config.vocabulary;
  embedding.columns = output.columns = hidden;
  for (CpuLayer& layer : layers) {
    layer.query.rows = queries;
    layer.key.rows = layer.value.rows = kv;
    layer.gate.rows = layer.up.rows = ffn;
    layer.attention_output.rows = layer.down.rows = hidden;
    layer.attention_output.columns = queries;
    layer.down.columns = ffn;
    for (WeightMatrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.gate, &layer.up}) {
      matrix->columns = hidden;
    }
  }
  const std::vector<NamedMatrix> all = matrices();
  const std::vector<NamedNorm> all_norms = norms();
  std::vector<WeightSpec> bytes, floats;
  for (const NamedMatrix& named : all) {
    const WeightMatrix& m = *named.matrix;
    bytes.push_back({named.name, {m.rows, m.columns}});
    floats.push_back({named.name + kScalesSuffix, {m.rows, quant_groups(m.columns)}});
  }
  for (const NamedNorm& named : all_norms) floats.push_back({named.name, {hidden}});
  static constexpr DType kI8[] = {DType::kI8}, kF32[] = {DType::kF32};
  LYRE_ASSIGN_OR_RETURN(const std::vector<TensorView> data, read_weights(archive, bytes, kI8));
  LYRE_ASSIGN_OR_RETURN(const std::vector<TensorView> values, read_weights(archive, floats, kF32));
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].matrix->type = MatrixType::kInt8;
    all[i].matrix->data = data[i].data;
    all[i].matrix->scales = values[i].as<float>();
  }
  for (size_t i = 0; i < all_norms.size(); ++i) {
    LYRE_RETURN_IF_ERROR(to_floats(values[all.size() + i], *all_norms[i].norm));
  }
  if (config.tied_embeddings) output = embedding;
  archive_ = archive;
  size_bytes = archive.size_bytes();
  const auto text = archive.metadata().find(kDescription);
  description = text == archive.metadata().end() ? "int8" : text->second;
  return ok_status();
}

void CpuWeights::store_int8(const WeightCache& cache, const ContentHash& key) {
  std::vector<NamedTensor> tensors;
  for (const NamedMatrix& named : matrices()) {
    const WeightMatrix& m = *named.matrix;
    tensors.push_back({named.name, {m.data, {m.rows, m.columns}, DType::kI8, Device{}}});
    tensors.push_back({named.name + kScalesSuffix,
                       {m.scales, {m.rows, quant_groups(m.columns)}, DType::kF32, Device{}}});
  }
  for (const NamedNorm& named : norms()) {
    // A vector's elements stay where they are when it is moved.
    tensors.push_back({named.name, {named.norm->data(), {config.hidden}, DType::kF32, Device{}}});
  }
  storing_ = store_in_background(cache, key, std::move(tensors), {{kDescription, description}});
}

std::vector<std::span<const std::byte>> CpuWeights::mapped_ranges() const {
  if (quantized_.data() != nullptr) return {};
  std::vector<std::span<const std::byte>> all;
  const auto add = [&all](const WeightMatrix& m) {
    all.push_back(bytes_of(m));
    if (m.scales != nullptr) {
      all.push_back(std::as_bytes(std::span(m.scales, static_cast<size_t>(scale_count(m)))));
    }
  };
  add(embedding);
  if (!config.tied_embeddings) add(output);
  for (const CpuLayer& layer : layers) {
    for (const WeightMatrix* matrix :
         {&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.gate, &layer.up,
          &layer.down}) {
      add(*matrix);
    }
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.data() < b.data(); });
  // Neighbours in a file, but for a norm between them, are one range.
  constexpr std::ptrdiff_t kMostGapBytes = 64 * 1024;
  std::vector<std::span<const std::byte>> ranges;
  for (const std::span<const std::byte> next : all) {
    const std::byte* const end =
        ranges.empty() ? nullptr : ranges.back().data() + ranges.back().size();
    if (end != nullptr && next.data() >= end && next.data() - end <= kMostGapBytes) {
      ranges.back() = {ranges.back().data(), next.data() + next.size()};
    } else {
      ranges.push_back(next);
    }
  }
  return ranges;
}

}  // namespace lyre::cpu
