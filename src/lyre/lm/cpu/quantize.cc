#include "lyre/lm/cpu/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "lyre/lm/cpu/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lyre/lm/cpu/quantize.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "lyre/lm/cpu/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lyre::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Bytes = hn::Rebind<int8_t, Floats>;

QuantError quantize_group(const float* values, int64_t count, int8_t* quantized, float* scale) {
  const Floats d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto some = [&](int64_t i) { return static_cast<size_t>(std::min(lanes, count - i)); };
  auto most = hn::Zero(d);
  for (int64_t i = 0; i < count; i += lanes) {
    most = hn::Max(most, hn::Abs(load_partial(d, values + i, some(i))));
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(d, most));
  *scale = largest / 127.0f;
  const auto step = hn::Set(d, *scale);
  const auto inverse = hn::Set(d, largest > 0 ? 127.0f / largest : 0.0f);
  // Single precision suffices within a group; over a matrix the sums are double.
  auto weight_energy = hn::Zero(d), error_energy = hn::Zero(d);
  for (int64_t i = 0; i < count; i += lanes) {
    const auto value = load_partial(d, values + i, some(i));
    const auto rounded = hn::NearestInt(hn::Mul(value, inverse));
    store_partial(hn::DemoteTo(Bytes(), rounded), Bytes(), quantized + i, some(i));
    const auto error = hn::NegMulAdd(step, hn::ConvertTo(d, rounded), value);
    weight_energy = hn::MulAdd(value, value, weight_energy);
    error_energy = hn::MulAdd(error, error, error_energy);
  }
  return {double{hn::GetLane(hn::SumOfLanes(d, weight_energy))},
          double{hn::GetLane(hn::SumOfLanes(d, error_energy))}};
}

QuantError quantize_row_any(const float* values, int64_t columns, int8_t* quantized,
                            float* scales) {
  QuantError error;
  for (int64_t first = 0; first < columns; first += kQuantGroup) {
    error.add(quantize_group(values + first, std::min(kQuantGroup, columns - first),
                             quantized + first, scales++));
  }
  return error;
}

}  // namespace
}  // namespace lyre::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lyre::cpu {

HWY_EXPORT(quantize_row_any);

double QuantError::relative_rms() const noexcept {
  return weight_energy > 0 ? std::sqrt(error_energy / weight_energy) : 0.0;
}

QuantError quantize(std::span<const QuantizeJob> jobs, ThreadPool& threads,
                    const std::function<void(const QuantizeJob&)>& done) {
  struct Chunk {
    size_t job;
    int64_t first_row, last_row;
  };
  // Some 0.1 ms each.
  constexpr int64_t kChunkWeights = int64_t{1} << 18;
  std::vector<Chunk> chunks;
  std::vector<std::atomic<int64_t>> chunks_left(jobs.size());
  int64_t most_columns = 0;
  for (size_t j = 0; j < jobs.size(); ++j) {
    const WeightMatrix& from = jobs[j].from;
    const int64_t step = std::max<int64_t>(1, kChunkWeights / from.columns);
    for (int64_t row = 0; row < from.rows; row += step) {
      chunks.push_back({j, row, std::min(from.rows, row + step)});
    }
    chunks_left[j].store((from.rows + step - 1) / step, std::memory_order_relaxed);
    most_columns = std::max(most_columns, from.columns);
  }
  std::vector<std::vector<float>> rows(static_cast<size_t>(threads.size()),
                                       std::vector<float>(static_cast<size_t>(most_columns)));
  std::vector<QuantError> errors(chunks.size());
  threads.deal(static_cast<int>(chunks.size()), [&](int number, int thread) {
    const Chunk& chunk = chunks[static_cast<size_t>(number)];
    const QuantizeJob& job = jobs[chunk.job];
    auto* const data = static_cast<int8_t*>(const_cast<void*>(job.to.data));
    auto* const scales = const_cast<float*>(job.to.scales);
    const int64_t columns = job.from.columns;
    float* const row = rows[static_cast<size_t>(thread)].data();
    for (int64_t r = chunk.first_row; r < chunk.last_row; ++r) {
      decode_row(job.from, r, row);
      errors[static_cast<size_t>(number)].add(HWY_DYNAMIC_DISPATCH(quantize_row_any)(
          row, columns, data + r * columns, scales + r * quant_groups(columns)));
    }
    if (chunks_left[chunk.job].fetch_sub(1, std::memory_order_acq_rel) == 1 && done) done(job);
  });
  QuantError sum;
  for (const QuantError& error : errors) sum.add(error);
  return sum;
}

}  // namespace lyre::cpu
#endif  // HWY_ONCE
