#include "lyre/codec/weight_norm.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "lyre/base/check.h"

namespace lyre {
namespace {

constexpr std::array kFloatTypes = {DType::kF32, DType::kF16, DType::kBF16};

// What a thread takes at a time, some 0.1 ms.
constexpr int64_t kChunkElements = int64_t{1} << 17;

/// Elements first to last-1 of a dense tensor.
void convert_part(const TensorView& view, int64_t first, int64_t last, float* out) {
  TensorView part = view;
  part.data = view.as<std::byte>() + first * dtype_size_bytes(view.dtype);
  part.shape = {last - first};
  // The types were checked.
  LYRE_CHECK(convert_to_f32(part, {out, static_cast<size_t>(last - first)}).ok());
}

}  // namespace

TensorView WeightReader::find(const std::string& name, const Shape& shape) {
  if (!status_.ok()) return {};
  const WeightSpec spec{name, shape};
  const auto views = read_weights(archive_, {&spec, 1}, kFloatTypes);
  if (views.ok()) return views->front();
  status_ = views.error();
  return {};
}

void WeightReader::plain(const std::string& name, const Shape& shape, std::vector<float>& out) {
  const TensorView values = find(name, shape);
  if (status_.ok()) tasks_.push_back({values, {}, &out});
}

void WeightReader::normed(const std::string& module, const Shape& shape, std::vector<float>& out) {
  std::string g_name = module + ".parametrizations.weight.original0";
  std::string v_name = module + ".parametrizations.weight.original1";
  if (archive_.find(v_name) == nullptr) {
    if (archive_.find(module + ".weight") != nullptr) return plain(module + ".weight", shape, out);
    if (archive_.find(module + ".weight_v") != nullptr) {
      g_name = module + ".weight_g";
      v_name = module + ".weight_v";
    }
  }
  const TensorView gains = find(g_name, {shape[0], 1, 1});
  const TensorView values = find(v_name, shape);
  if (status_.ok()) tasks_.push_back({values, gains, &out});
}

void WeightReader::fill_rows(const Task& task, int64_t first, int64_t last) {
  const int64_t width = static_cast<int64_t>(task.out->size()) / task.values.shape[0];
  for (int64_t row = first; row < last; ++row) {
    float* const values = task.out->data() + row * width;
    convert_part(task.values, row * width, (row + 1) * width, values);
    if (task.gains.data == nullptr) continue;
    float gain = 0;
    convert_part(task.gains, row, row + 1, &gain);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += double{values[i]} * double{values[i]};
    // A row of zeros stays zero; torch would make NaN of it.
    const double scale = squares > 0 ? double{gain} / std::sqrt(squares) : 0;
    for (int64_t i = 0; i < width; ++i) {
      values[i] = static_cast<float>(double{values[i]} * scale);
    }
  }
}

Status WeightReader::finish(ThreadPool& threads) {
  LYRE_RETURN_IF_ERROR(status_);
  struct Chunk {
    const Task* task;
    int64_t first, last;
  };
  std::vector<Chunk> chunks;
  for (const Task& task : tasks_) {
    const int64_t rows = task.values.shape[0];
    const int64_t width = rows > 0 ? task.values.shape.elements() / rows : 0;
    const int64_t step = std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, width));
    for (int64_t row = 0; row < rows; row += step) {
      chunks.push_back({&task, row, std::min(rows, row + step)});
    }
  }
  // New memory costs as much as what is done with it, so that too is shared.
  threads.deal(static_cast<int>(tasks_.size()), [&](int task, int /*thread*/) {
    const Task& t = tasks_[static_cast<size_t>(task)];
    t.out->resize(static_cast<size_t>(t.values.shape.elements()));
  });
  threads.deal(static_cast<int>(chunks.size()), [&](int chunk, int /*thread*/) {
    const Chunk& c = chunks[static_cast<size_t>(chunk)];
    fill_rows(*c.task, c.first, c.last);
  });
  return ok_status();
}

}  // namespace lyre
