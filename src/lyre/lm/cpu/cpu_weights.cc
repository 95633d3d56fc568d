#include "lyre/lm/cpu/cpu_weights.h"

#include <cstdio>
#include <set>
#include <utility>

#include "lyre/base/check.h"

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

}  // namespace

Result<CpuWeights> CpuWeights::open(const std::filesystem::path& folder, WeightFormat format,
                                    ThreadPool& threads) {
  LYRE_ASSIGN_OR_RETURN(LlamaWeights stored, open_llama_weights(folder));
  CpuWeights weights;
  weights.config = stored.config;
  weights.parameters = stored.parameters();
  weights.size_bytes = stored.size_bytes();
  weights.embedding = as_stored(stored.embedding);
  weights.output = as_stored(stored.output);
  LYRE_RETURN_IF_ERROR(to_floats(stored.final_norm, weights.final_norm));
  for (const LlamaLayerWeights& from : stored.layers) {
    CpuLayer& to = weights.layers.emplace_back();
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
  weights.description = stored_types(stored.archive);
  weights.archive_ = std::move(stored.archive);
  if (format == WeightFormat::kInt8) {
    LYRE_RETURN_IF_ERROR(weights.quantize_all(threads));
    return weights;
  }
  // One region over all matrices: a small model has many, and every region waits for its last
  // thread.
  const std::vector<WeightMatrix*> all = weights.matrices();
  threads.run([&](int thread) {
    for (const WeightMatrix* matrix : all) {
      const std::span<const std::byte> bytes = bytes_of(*matrix);
      const auto [begin, end] = threads.split(static_cast<int64_t>(bytes.size()), 1 << 21, thread);
      make_resident(bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    }
  });
  return weights;
}

std::vector<WeightMatrix*> CpuWeights::matrices() {
  std::vector<WeightMatrix*> all = {&embedding};
  if (!config.tied_embeddings) all.push_back(&output);
  for (CpuLayer& layer : layers) {
    for (WeightMatrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.attention_output,
                                 &layer.gate, &layer.up, &layer.down}) {
      all.push_back(matrix);
    }
  }
  return all;
}

Status CpuWeights::quantize_all(ThreadPool& threads) {
  const std::vector<WeightMatrix*> all = matrices();
  int64_t bytes = 0;
  for (const WeightMatrix* matrix : all) {
    bytes += aligned(quantized_bytes(*matrix)) +
             aligned(scale_count(*matrix) * static_cast<int64_t>(sizeof(float)));
  }
  LYRE_ASSIGN_OR_RETURN(quantized_, PageMemory::allocate(bytes, "int8 weights"));
  QuantError error;
  std::byte* at = quantized_.data();
  for (WeightMatrix* matrix : all) {
    WeightMatrix to = *matrix;
    to.type = MatrixType::kInt8;
    to.data = at;
    at += aligned(quantized_bytes(to));
    to.scales = reinterpret_cast<const float*>(at);
    at += aligned(scale_count(to) * static_cast<int64_t>(sizeof(float)));
    error.add(quantize(*matrix, to, threads));
    release_pages(bytes_of(*matrix));
    *matrix = to;
  }
  if (config.tied_embeddings) output = embedding;
  archive_ = TensorArchive();
  size_bytes = bytes;
  char text[80];
  std::snprintf(text, sizeof(text), "int8 in groups of %d, error %.2f %% rms",
                static_cast<int>(kQuantGroup), 100.0 * error.relative_rms());
  description = text;
  return ok_status();
}

}  // namespace lyre::cpu
