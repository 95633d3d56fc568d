#include "lyre/lm/cuda/device_weights.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "lyre/lm/cuda/rows.h"
#include "lyre/lm/cuda/stored_rows.h"

namespace lyre::cuda {
namespace {

constexpr int kBuffers = 3;                          // one is filled, one copied, one waits
constexpr int64_t kChunkBytes = int64_t{256} << 10;  // what a thread converts at a time
constexpr int64_t kAlignment = 256;                  // of every part

// A matrix on the device, where it will lie, and where its rows come from.
struct Part {
  DeviceMatrix* matrix;
  std::function<std::vector<StoredRow>(int padded_rows)> rows;
  int64_t data_offset = 0;
  int64_t scales_offset = 0;  // kFp8
};

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

int64_t row_bytes(const DeviceMatrix& matrix) {
  return int64_t{matrix.pitch} * (matrix.format == MatrixFormat::kBf16 ? 2 : 1);
}

int64_t bf16_row_bytes(const DeviceMatrix& matrix) { return int64_t{matrix.pitch} * 2; }

DeviceMatrix matrix_of(int rows, int columns, MatrixFormat format) {
  DeviceMatrix matrix;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.pitch = round_up(columns, kPadColumns);
  matrix.format = format;
  return matrix;
}

// Shapes of all matrices; `device` keeps its layers' addresses. The weights outlive the parts.
std::vector<Part> list_parts(const LlamaWeights& weights, MatrixFormat format,
                             DeviceWeights& device) {
  const LlamaConfig& c = weights.config;
  std::vector<Part> parts;
  const auto add = [&parts](DeviceMatrix& matrix, int rows, int columns, MatrixFormat as,
                            auto from) {
    matrix = matrix_of(rows, columns, as);
    parts.push_back({&matrix, std::move(from)});
  };
  const auto whole = [](const TensorView& view) {
    return [&view](int padded_rows) { return rows_of(view, padded_rows); };
  };
  add(device.embedding, c.vocabulary, c.hidden, MatrixFormat::kBf16, whole(weights.embedding));
  if (!c.tied_embeddings) {
    add(device.output, c.vocabulary, c.hidden, MatrixFormat::kBf16, whole(weights.output));
  }
  device.layers.resize(weights.layers.size());
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const LlamaLayerWeights& from = weights.layers[l];
    DeviceLayer& layer = device.layers[l];
    add(layer.qkv, c.query_rows() + 2 * c.kv_rows(), c.hidden, format,
        [&c, &from](int padded_rows) { return rows_of_qkv(c, from, padded_rows); });
    add(layer.attention_output, c.hidden, c.query_rows(), format, whole(from.attention_output));
    add(layer.gate_up, 2 * round_up(c.ffn, 8), c.hidden, format,
        [&from](int padded_rows) { return rows_of_gate_up(from, padded_rows); });
    add(layer.down, c.hidden, c.ffn, format, whole(from.down));
  }
  return parts;
}

// Fills pinned buffers and hands them to the device, in turns.
class Uploader {
 public:
  static Result<Uploader> create(int64_t buffer_bytes, bool quantises, ThreadPool& threads,
                                 Queue& queue) {
    Uploader uploader(buffer_bytes, threads, queue);
    for (Buffer& buffer : uploader.buffers_) {
      LYRE_ASSIGN_OR_RETURN(buffer.memory,
                            PinnedMemory::allocate(buffer_bytes, "uploading weights"));
      LYRE_ASSIGN_OR_RETURN(buffer.copied, Event::create());
    }
    if (quantises) {
      LYRE_ASSIGN_OR_RETURN(uploader.unquantised_,
                            DeviceMemory::allocate(buffer_bytes, "quantising weights"));
    }
    return uploader;
  }

  Status put(const Part& part, std::byte* memory) {
    const DeviceMatrix& matrix = *part.matrix;
    const std::vector<StoredRow> rows = part.rows(matrix.padded_rows());
    const int64_t from_bytes = bf16_row_bytes(matrix);
    const auto most = static_cast<size_t>(std::max<int64_t>(1, buffer_bytes_ / from_bytes));
    for (size_t first = 0; first < rows.size(); first += most) {
      const std::span<const StoredRow> some(rows.data() + first,
                                            std::min(most, rows.size() - first));
      const auto count = static_cast<int64_t>(some.size()), at = static_cast<int64_t>(first);
      LYRE_ASSIGN_OR_RETURN(Buffer* const buffer, next_buffer());
      fill(some, matrix, buffer->memory.as<uint16_t>());
      std::byte* const to = memory + part.data_offset + at * row_bytes(matrix);
      if (matrix.format == MatrixFormat::kBf16) {
        queue_->copy_to_device(to, buffer->memory.data(), count * from_bytes);
      } else {
        // One area is enough: copies and kernels of a queue follow each other.
        queue_->copy_to_device(unquantised_.data(), buffer->memory.data(), count * from_bytes);
        quantize_rows(*queue_, unquantised_.data(), matrix.pitch, static_cast<int>(count), to,
                      reinterpret_cast<float*>(memory + part.scales_offset) + at);
      }
      buffer->in_use = true;
      buffer->copied.record(*queue_);
      LYRE_RETURN_IF_ERROR(queue_->status());
    }
    return ok_status();
  }

 private:
  struct Buffer {
    PinnedMemory memory;
    Event copied;
    bool in_use = false;
  };

  Uploader(int64_t buffer_bytes, ThreadPool& threads, Queue& queue)
      : buffer_bytes_(buffer_bytes), threads_(&threads), queue_(&queue), buffers_(kBuffers) {}

  Result<Buffer*> next_buffer() {
    Buffer& buffer = buffers_[next_];
    next_ = (next_ + 1) % buffers_.size();
    if (buffer.in_use) LYRE_RETURN_IF_ERROR(buffer.copied.wait());
    return &buffer;
  }

  void fill(std::span<const StoredRow> rows, const DeviceMatrix& matrix, uint16_t* out) {
    const auto a_chunk =
        static_cast<size_t>(std::max<int64_t>(1, kChunkBytes / bf16_row_bytes(matrix)));
    const size_t chunks = (rows.size() + a_chunk - 1) / a_chunk;
    threads_->deal(static_cast<int>(chunks), [&](int chunk, int) {
      const size_t begin = static_cast<size_t>(chunk) * a_chunk;
      for (size_t i = begin; i < std::min(begin + a_chunk, rows.size()); ++i) {
        write_bf16_row(rows[i], matrix.columns, matrix.pitch,
                       out + i * static_cast<size_t>(matrix.pitch));
      }
    });
  }

  int64_t buffer_bytes_;
  ThreadPool* threads_;
  Queue* queue_;
  std::vector<Buffer> buffers_;
  size_t next_ = 0;
  DeviceMemory unquantised_;
};

// All norms, each at a multiple of kAlignment.
class Norms {
 public:
  explicit Norms(const LlamaConfig& config)
      : pitch_(static_cast<size_t>(aligned(config.hidden * int64_t{sizeof(float)})) /
               sizeof(float)),
        values_(pitch_ * (2 * static_cast<size_t>(config.layers) + 1)) {}

  int64_t size_bytes() const { return static_cast<int64_t>(values_.size() * sizeof(float)); }
  const std::vector<float>& values() const { return values_; }

  // The next norm, of those that lie from `memory` on.
  Status add(const TensorView& view, const float* memory, const float*& place) {
    const std::span<float> out(values_.data() + used_, static_cast<size_t>(view.shape.elements()));
    place = memory + used_;
    used_ += pitch_;
    return convert_to_f32(view, out);
  }

 private:
  size_t pitch_;
  std::vector<float> values_;
  size_t used_ = 0;
};

}  // namespace

Result<DeviceWeights> upload_weights(const LlamaWeights& weights, WeightFormat format,
                                     ThreadPool& threads, Queue& queue, int64_t staging_bytes) {
  const LlamaConfig& config = weights.config;
  if (format == WeightFormat::kInt8) {
    return Error{ErrorCode::kInvalidArgument,
                 "weights: expected bf16 or fp8 for the CUDA backend, found int8"};
  }
  if (config.head_dim % 16 != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "head_dim: expected a multiple of 16 for the CUDA backend, found " +
                     std::to_string(config.head_dim)};
  }
  const bool fp8 = format == WeightFormat::kFp8;
  DeviceWeights device;
  std::vector<Part> parts =
      list_parts(weights, fp8 ? MatrixFormat::kFp8 : MatrixFormat::kBf16, device);
  Norms norms(config);

  int64_t size = aligned(norms.size_bytes()), largest = 0, widest = 0;
  for (Part& part : parts) {
    const int64_t rows = part.matrix->padded_rows();
    part.data_offset = size;
    size += aligned(rows * row_bytes(*part.matrix));
    part.scales_offset = size;
    if (part.matrix->format == MatrixFormat::kFp8) size += aligned(rows * int64_t{sizeof(float)});
    largest = std::max(largest, rows * bf16_row_bytes(*part.matrix));
    widest = std::max(widest, bf16_row_bytes(*part.matrix));
  }
  LYRE_ASSIGN_OR_RETURN(device.memory,
                        DeviceMemory::allocate(size, "the language model's weights"));
  device.size_bytes = size;
  auto* const memory = device.memory.as<std::byte>();
  queue.fill_bytes(memory, 0, size);  // what lies between the parts, too
  for (const Part& part : parts) {
    part.matrix->data = memory + part.data_offset;
    if (part.matrix->format == MatrixFormat::kFp8) {
      part.matrix->scales = reinterpret_cast<const float*>(memory + part.scales_offset);
    }
  }
  if (config.tied_embeddings) device.output = device.embedding;

  LYRE_ASSIGN_OR_RETURN(
      Uploader uploader,
      Uploader::create(std::max(widest, std::min(largest, staging_bytes)), fp8, threads, queue));
  for (const Part& part : parts) LYRE_RETURN_IF_ERROR(uploader.put(part, memory));

  auto* const norm_memory = device.memory.as<float>();
  for (size_t l = 0; l < device.layers.size(); ++l) {
    const LlamaLayerWeights& from = weights.layers[l];
    DeviceLayer& to = device.layers[l];
    LYRE_RETURN_IF_ERROR(norms.add(from.input_norm, norm_memory, to.input_norm));
    LYRE_RETURN_IF_ERROR(norms.add(from.post_attention_norm, norm_memory, to.post_attention_norm));
  }
  LYRE_RETURN_IF_ERROR(norms.add(weights.final_norm, norm_memory, device.final_norm));
  queue.copy_to_device(norm_memory, norms.values().data(), norms.size_bytes());
  LYRE_RETURN_IF_ERROR(queue.finish());
  return device;
}

}  // namespace lyre::cuda
