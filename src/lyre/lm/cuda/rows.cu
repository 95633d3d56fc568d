#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/lm/cuda/qkv_outlet.cuh"
#include "lyre/lm/cuda/rows.h"

namespace lyre::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowWarps = kThreads / kWarp;

__device__ __forceinline__ float block_sum(float value) {
  __shared__ float sums[kRowWarps];
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  float all = 0;
#pragma unroll
  for (int i = 0; i < kRowWarps; ++i) all += sums[i];
  return all;
}

__global__ void __launch_bounds__(kThreads)
    decode_rows_kernel(const __grid_constant__ DecodeRowsTask task) {
  grid_dependency_release();
  grid_dependency_wait();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= task.count) return;
  DeviceRow row = {-1, 0, 0};
  const int sequence = task.heads[i].sequence;
  if (sequence >= 0) {
    DeviceSequence& state = task.sequences[sequence];
    if (state.stopped == 0) {
      if (state.length + 1 < state.max_tokens) {
        row = {sequence, state.length, state.token};
        state.length += 1;
      } else {
        state.length = state.max_tokens;  // full: its last token is never fed
      }
    }
  }
  task.rows[i] = row;
}

__global__ void __launch_bounds__(kThreads)
    note_rows_kernel(const __grid_constant__ NoteRowsTask task) {
  grid_dependency_release();
  grid_dependency_wait();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= task.count) return;
  const DeviceRow row = task.rows[i];
  if (row.sequence < 0) return;
  atomicMax(&task.sequences[row.sequence].length, row.position + 1);
  atomicOr(&task.seen[int64_t{row.sequence} * task.seen_words + row.token / 32],
           1u << (row.token % 32));
}

// A block a row.
__global__ void __launch_bounds__(kThreads)
    embed_kernel(const __grid_constant__ DeviceMatrix embedding, const DeviceRow* rows,
                 const __grid_constant__ ResidualStream stream, const float* norm) {
  grid_dependency_release();
  grid_dependency_wait();
  const int64_t t = blockIdx.x;
  const DeviceRow row = rows[t];
  const auto* from = static_cast<const __nv_bfloat16*>(embedding.data) +
                     int64_t{row.sequence < 0 ? 0 : row.token} * embedding.pitch;
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < stream.width; i += kThreads) {
    const float value = row.sequence < 0 ? 0.0f : __bfloat162float(from[i]);
    stream.hidden[t * stream.width + i] = value;
    static_cast<__nv_bfloat16*>(stream.weighted)[t * stream.pitch + i] =
        __float2bfloat16(value * norm[i]);
    squares += value * value;
  }
  const float sum = block_sum(squares);
  for (int i = static_cast<int>(threadIdx.x); i < stream.parts(); i += kThreads) {
    stream.square_sums[t * stream.parts() + i] = i == 0 ? sum : 0.0f;
  }
}

// Elements of a row that a thread keeps between the two passes; what is more is read again.
constexpr int kKept = 16;

__device__ __forceinline__ void normalise_row(const float* hidden, int width, const float* norm,
                                              float epsilon, __nv_bfloat16* out) {
  float kept[kKept];
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = k * kThreads + static_cast<int>(threadIdx.x);
    kept[k] = i < width ? hidden[i] : 0.0f;
    squares += kept[k] * kept[k];
  }
  for (int i = kKept * kThreads + static_cast<int>(threadIdx.x); i < width; i += kThreads) {
    squares += hidden[i] * hidden[i];
  }
  const float scale = rsqrtf(block_sum(squares) / static_cast<float>(width) + epsilon);
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = k * kThreads + static_cast<int>(threadIdx.x);
    if (i < width) out[i] = __float2bfloat16(kept[k] * scale * norm[i]);
  }
  for (int i = kKept * kThreads + static_cast<int>(threadIdx.x); i < width; i += kThreads) {
    out[i] = __float2bfloat16(hidden[i] * scale * norm[i]);
  }
}

__global__ void __launch_bounds__(kThreads)
    normalise_kernel(const __grid_constant__ ResidualStream stream, const float* norm,
                     float epsilon) {
  grid_dependency_release();
  grid_dependency_wait();
  const int64_t t = blockIdx.x;
  normalise_row(stream.hidden + t * stream.width, stream.width, norm, epsilon,
                static_cast<__nv_bfloat16*>(stream.weighted) + t * stream.pitch);
}

__global__ void __launch_bounds__(kThreads)
    quantize_rows_kernel(const __nv_bfloat16* values, int pitch, __nv_fp8_storage_t* out,
                         float* scales) {
  __shared__ float maxima[kRowWarps];
  grid_dependency_release();
  grid_dependency_wait();
  const int64_t t = blockIdx.x;
  float largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < pitch; i += kThreads) {
    largest = fmaxf(largest, fabsf(__bfloat162float(values[t * pitch + i])));
  }
  largest = warp_max(largest);
  if (threadIdx.x % kWarp == 0) maxima[threadIdx.x / kWarp] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRowWarps; ++i) largest = fmaxf(largest, maxima[i]);
  constexpr float kMostE4m3 = 448.0f;
  const float scale = largest > 0 ? largest / kMostE4m3 : 1.0f;
  for (int i = static_cast<int>(threadIdx.x); i < pitch; i += kThreads) {
    out[t * pitch + i] = __nv_cvt_float_to_fp8(__bfloat162float(values[t * pitch + i]) / scale,
                                               __NV_SATFINITE, __NV_E4M3);
  }
  if (threadIdx.x == 0) scales[t] = scale;
}

// Rows are whole multiples of 8 elements.
__global__ void __launch_bounds__(kThreads)
    gather_heads_kernel(const uint4* values, int words, const DeviceHead* heads, uint4* out) {
  grid_dependency_release();
  grid_dependency_wait();
  const int64_t from = heads[blockIdx.x].row, to = blockIdx.x;
  for (int i = static_cast<int>(threadIdx.x); i < words; i += kThreads) {
    out[to * words + i] = values[from * words + i];
  }
}

// 8 lanes a tile of 16 products, blockIdx.y the row.
__global__ void __launch_bounds__(kThreads)
    distribute_qkv_kernel(const float* products, int width, const __grid_constant__ QkvOutlet out) {
  grid_dependency_release();
  grid_dependency_wait();
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const int tile = i / 8, r = i % 8, t = static_cast<int>(blockIdx.y);
  const bool valid = tile * kTileRows < width;
  const float* from = products + int64_t{t} * width + (valid ? tile * kTileRows + r : 0);
  const QkvPlace place = find_qkv_place(out, valid ? tile : 0, r, t, valid);
  put_qkv(out, place, valid ? tile : 0, r, t, valid ? from[0] : 0.0f, valid ? from[8] : 0.0f);
}

// A thread 8 activations: a tile of 16 products.
__global__ void __launch_bounds__(kThreads)
    multiply_gate_kernel(const __nv_bfloat16* products, int width, __nv_bfloat16* activations,
                         int out_pitch) {
  grid_dependency_release();
  grid_dependency_wait();
  const int tile = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (tile >= width / kTileRows) return;
  const int64_t t = blockIdx.y;
  const auto* from = reinterpret_cast<const uint4*>(products + t * width + tile * kTileRows);
  const uint4 gates = from[0], ups = from[1];
  const uint32_t gate_words[4] = {gates.x, gates.y, gates.z, gates.w};
  const uint32_t up_words[4] = {ups.x, ups.y, ups.z, ups.w};
  uint32_t out[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float values[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const auto widened = [k](uint32_t word) {
        return __uint_as_float(k == 0 ? word << 16 : word & 0xffff0000u);
      };
      const float gate = widened(gate_words[i]), up = widened(up_words[i]);
      values[k] = gate / (1.0f + __expf(-gate)) * up;
    }
    const __nv_bfloat162 pair = __floats2bfloat162_rn(values[0], values[1]);
    out[i] = reinterpret_cast<const uint32_t&>(pair);
  }
  *reinterpret_cast<uint4*>(activations + t * out_pitch + tile * 8) = {out[0], out[1], out[2],
                                                                       out[3]};
}

unsigned blocks_for(int items) { return static_cast<unsigned>((items + kThreads - 1) / kThreads); }

LaunchShape shape_of(dim3 grid) {
  return {.grid = grid, .block = {kThreads}, .overlap_previous = true};
}

}  // namespace

void decode_rows(Queue& queue, const DecodeRowsTask& task) {
  queue.launch({"lm.decode_rows", int64_t{task.count} * 64, 0}, shape_of({blocks_for(task.count)}),
               decode_rows_kernel, task);
}

void note_rows(Queue& queue, const NoteRowsTask& task) {
  queue.launch({"lm.note_rows", int64_t{task.count} * 64, 0}, shape_of({blocks_for(task.count)}),
               note_rows_kernel, task);
}

void embed(Queue& queue, const DeviceMatrix& embedding, const DeviceRow* rows, int count,
           const ResidualStream& stream, const float* first_norm) {
  queue.launch({"lm.embed", int64_t{count} * stream.width * 8, 0},
               shape_of({static_cast<unsigned>(count)}), embed_kernel, embedding, rows, stream,
               first_norm);
}

void normalise(Queue& queue, const ResidualStream& stream, int count, const float* norm,
               float epsilon) {
  queue.launch({"lm.norm", int64_t{count} * stream.width * 6, 0},
               shape_of({static_cast<unsigned>(count)}), normalise_kernel, stream, norm, epsilon);
}

void distribute_qkv(Queue& queue, const float* products, int width, int count,
                    const QkvOutlet& out) {
  queue.launch({"lm.distribute_qkv", int64_t{count} * width * 7, 0},
               shape_of({blocks_for(width / 2), static_cast<unsigned>(count)}),
               distribute_qkv_kernel, products, width, out);
}

void multiply_gate(Queue& queue, const void* products, int width, int count, void* activations,
                   int out_pitch) {
  queue.launch({"lm.multiply_gate", int64_t{count} * width * 3, 0},
               shape_of({blocks_for(width / kTileRows), static_cast<unsigned>(count)}),
               multiply_gate_kernel, static_cast<const __nv_bfloat16*>(products), width,
               static_cast<__nv_bfloat16*>(activations), out_pitch);
}

void gather_heads(Queue& queue, const void* values, int pitch, const DeviceHead* heads, int count,
                  void* out) {
  queue.launch({"lm.gather_heads", int64_t{count} * pitch * 4, 0},
               shape_of({static_cast<unsigned>(count)}), gather_heads_kernel,
               static_cast<const uint4*>(values), pitch / 8, heads, static_cast<uint4*>(out));
}

void quantize_rows(Queue& queue, const void* values, int pitch, int count, void* out,
                   float* scales) {
  queue.launch({"lm.quantize_rows", int64_t{count} * pitch * 3, 0},
               shape_of({static_cast<unsigned>(count)}), quantize_rows_kernel,
               static_cast<const __nv_bfloat16*>(values), pitch,
               static_cast<__nv_fp8_storage_t*>(out), scales);
}

}  // namespace lyre::cuda
