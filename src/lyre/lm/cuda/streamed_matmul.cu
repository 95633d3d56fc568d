#include <cuda_bf16.h>

#include <algorithm>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/base/cuda/memory_barrier.cuh"
#include "lyre/lm/cuda/qkv_outlet.cuh"
#include "lyre/lm/cuda/streamed_matmul.h"

namespace lyre::cuda {
namespace {

constexpr int kMultipliers = 4;  // warps that multiply, each a quarter of the columns of a chunk
constexpr int kThreads = (kMultipliers + 1) * kWarp;  // and one that copies
constexpr int kMultiplierThreads = kMultipliers * kWarp;
constexpr int kMostStages = 4;
constexpr int kSegmentBytes = 2048;                  // of a weight row, in one chunk
constexpr int kWeightRowBytes = kSegmentBytes + 16;  // rows begin 4 banks apart: ldmatrix of 8 rows
                                                     // meets every bank once
constexpr int kTargetBytes = 112 << 10;              // shared memory of a block, so that two fit
constexpr int kMostBytes = 226 << 10;
constexpr int64_t kMostCodes = 4096;  // of a codebook, for one tile a block

template <MatrixFormat kFormat>
struct Chunk {
  static constexpr int kElementBytes = kFormat == MatrixFormat::kBf16 ? 2 : 1;
  static constexpr int kColumns = kSegmentBytes / kElementBytes;
  // For the same reason; two columns of a pair of e4m3 are read by loads of 8 bytes.
  static constexpr int kInputRowBytes = kColumns * 2 + (kFormat == MatrixFormat::kBf16 ? 16 : 32);
};

// Memory of a block. The stages lie behind it.
struct Header {
  uint64_t full[kMostStages];
  uint64_t empty[kMostStages];
  float scales[kMostStreamedTokens];  // 1/rms
  int input_rows[kMostStreamedTokens];
  int weight_rows[kTileRows];
  int sequences[kMostStreamedTokens];
  int count;
  float sums[kMultipliers][kTileRows * kMostStreamedTokens];
};
constexpr int kHeaderBytes = (static_cast<int>(sizeof(Header)) + 127) / 128 * 128;

struct Stream {
  DeviceMatrix matrix;
  StreamedInput input;
  int stages;
  int stage_bytes;
};

template <MatrixFormat kFormat>
int stage_bytes(int tokens) {
  const int bytes = kTileRows * kWeightRowBytes + tokens * Chunk<kFormat>::kInputRowBytes;
  return (bytes + 127) / 128 * 128;
}

// The copying warp's side of the stages. `q` counts chunks over the whole life of the block.
template <MatrixFormat kFormat>
class Copier {
 public:
  __device__ Copier(const Stream& stream, Header& header, char* stages)
      : stream_(stream), header_(header), stages_(stages), lane_(threadIdx.x % kWarp) {}

  // Waits for the stage and announces what comes.
  __device__ void begin(int q, int chunk, int tokens) {
    const int stage = q % stream_.stages;
    if (q >= stream_.stages) {
      wait_parity(&header_.empty[stage], static_cast<uint32_t>(q / stream_.stages - 1) & 1);
    }
    const int columns = columns_of(chunk);
    if (lane_ == 0) {
      arrive_expecting(&header_.full[stage],
                       static_cast<uint32_t>(
                           columns * (kTileRows * Chunk<kFormat>::kElementBytes + tokens * 2)));
    }
    __syncwarp();
  }

  __device__ void copy_weights(int q, int chunk) {
    if (lane_ >= kTileRows) return;
    const int stage = q % stream_.stages;
    const int64_t at = int64_t{header_.weight_rows[lane_]} * stream_.matrix.pitch +
                       int64_t{chunk} * Chunk<kFormat>::kColumns;
    copy_bulk(stages_ + stage * stream_.stage_bytes + lane_ * kWeightRowBytes,
              static_cast<const char*>(stream_.matrix.data) + at * Chunk<kFormat>::kElementBytes,
              static_cast<uint32_t>(columns_of(chunk) * Chunk<kFormat>::kElementBytes),
              &header_.full[stage]);
  }

  __device__ void copy_input(int q, int chunk, int tokens) {
    if (lane_ >= tokens) return;
    const int stage = q % stream_.stages;
    const int64_t at = int64_t{header_.input_rows[lane_]} * stream_.matrix.pitch +
                       int64_t{chunk} * Chunk<kFormat>::kColumns;
    copy_bulk(stages_ + stage * stream_.stage_bytes + kTileRows * kWeightRowBytes +
                  lane_ * Chunk<kFormat>::kInputRowBytes,
              static_cast<const __nv_bfloat16*>(stream_.input.values) + at,
              static_cast<uint32_t>(columns_of(chunk) * 2), &header_.full[stage]);
  }

 private:
  __device__ int columns_of(int chunk) const {
    return min(Chunk<kFormat>::kColumns, stream_.matrix.pitch - chunk * Chunk<kFormat>::kColumns);
  }

  const Stream& stream_;
  Header& header_;
  char* stages_;
  int lane_;
};

__device__ __forceinline__ int chunks_of(const DeviceMatrix& matrix, int columns) {
  return (matrix.pitch + columns - 1) / columns;
}

__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

// c (16, 8) += a (16, 16) * b (16, 8)
__device__ __forceinline__ void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                         uint32_t a3, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Two e4m3 of `four` (the lower or the upper two) as bf16, exactly: the bits of exponent and
// mantissa move to their places, and a product with 2^120 mends the bias, of denormals too.
template <bool kUpper>
__device__ __forceinline__ uint32_t widen(uint32_t four) {
  const uint32_t spread = __byte_perm(four, 0, kUpper ? 0x3424 : 0x1404);
  const uint32_t bits = (spread & 0x80008000u) | (spread & 0x7F007F00u) >> 4;
  __nv_bfloat162 pair = reinterpret_cast<const __nv_bfloat162&>(bits);
  const uint32_t power_bits = 0x7B807B80u;  // 2^120 twice
  pair = __hmul2(pair, reinterpret_cast<const __nv_bfloat162&>(power_bits));
  return reinterpret_cast<const uint32_t&>(pair);
}

// One warp's quarter of one chunk.
template <MatrixFormat kFormat, int kColumnTiles>
__device__ __forceinline__ void multiply_chunk(const char* stage, int columns, int tokens, int warp,
                                               int lane, float (&sums)[kColumnTiles][4]) {
  const int quarter = columns / kMultipliers;
  const int first = warp * quarter;
  const char* inputs = stage + kTileRows * kWeightRowBytes;
  if constexpr (kFormat == MatrixFormat::kBf16) {
    const uint32_t weight =
        shared_address(stage) +
        static_cast<uint32_t>(lane % 16 * kWeightRowBytes + (first + lane / 16 * 8) * 2);
    uint32_t input[kColumnTiles];
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
      // Columns beyond the last token repeat it; nobody looks at them.
      const int token = min(n * 8 + lane % 8, tokens - 1);
      input[n] =
          shared_address(inputs) + static_cast<uint32_t>(token * Chunk<kFormat>::kInputRowBytes +
                                                         (first + lane / 8 * 8) * 2);
    }
#pragma unroll 4
    for (int k = 0; k < quarter; k += 32) {
      uint32_t a[2][4];
      load_matrices(a[0], weight + static_cast<uint32_t>(k * 2));
      load_matrices(a[1], weight + static_cast<uint32_t>(k * 2 + 32));
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        uint32_t b[4];
        load_matrices(b, input[n] + static_cast<uint32_t>(k * 2));
        multiply(sums[n], a[0][0], a[0][1], a[0][2], a[0][3], b[0], b[1]);
        multiply(sums[n], a[1][0], a[1][1], a[1][2], a[1][3], b[2], b[3]);
      }
    }
  } else {
    // ldmatrix sees pairs of bytes: lane (g, t) gets the columns 4t .. 4t + 3 of 16. A product does
    // not care for the order of its columns, so these four are taken as the pairs that the tensor
    // core expects, of weights and inputs alike.
    const uint32_t weight =
        shared_address(stage) +
        static_cast<uint32_t>(lane % 16 * kWeightRowBytes + first + lane / 16 * 16);
    const char* input[kColumnTiles];
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
      const int token = min(n * 8 + lane / 4, tokens - 1);
      input[n] = inputs + token * Chunk<kFormat>::kInputRowBytes + (first + lane % 4 * 4) * 2;
    }
#pragma unroll 4
    for (int k = 0; k < quarter; k += 32) {
      uint32_t a[4];
      load_matrices(a, weight + static_cast<uint32_t>(k));
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        const auto low = *reinterpret_cast<const uint2*>(input[n] + k * 2);
        const auto high = *reinterpret_cast<const uint2*>(input[n] + k * 2 + 32);
        multiply(sums[n], widen<false>(a[0]), widen<false>(a[1]), widen<true>(a[0]),
                 widen<true>(a[1]), low.x, low.y);
        multiply(sums[n], widen<false>(a[2]), widen<false>(a[3]), widen<true>(a[2]),
                 widen<true>(a[3]), high.x, high.y);
      }
    }
  }
}

__device__ __forceinline__ void multipliers_sync() {
  asm volatile("bar.sync 1, %0;" ::"n"(kMultiplierThreads) : "memory");
}

// The multiplying warps' side: all chunks of a tile. Afterwards thread i holds, for token
// i / 8 and r = i % 8, the products of the rows r and r + 8.
template <MatrixFormat kFormat, int kColumnTiles>
__device__ __forceinline__ float2 multiply_tile(const Stream& stream, Header& header,
                                                const char* stages, int tokens, int first_q) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int chunks = chunks_of(stream.matrix, Chunk<kFormat>::kColumns);
  float sums[kColumnTiles][4] = {};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int q = first_q + chunk, stage = q % stream.stages;
    wait_parity(&header.full[stage], static_cast<uint32_t>(q / stream.stages) & 1);
    const int columns =
        min(Chunk<kFormat>::kColumns, stream.matrix.pitch - chunk * Chunk<kFormat>::kColumns);
    multiply_chunk<kFormat, kColumnTiles>(stages + stage * stream.stage_bytes, columns, tokens,
                                          warp, lane, sums);
    __syncwarp();
    if (lane == 0) arrive(&header.empty[stage]);
  }
  // sums: rows g and g + 8, tokens 2t and 2t + 1 of each column tile.
#pragma unroll
  for (int n = 0; n < kColumnTiles; ++n) {
    const int row = lane / 4, token = n * 8 + lane % 4 * 2;
    float* out = header.sums[warp];
    out[token * kTileRows + row] = sums[n][0];
    out[(token + 1) * kTileRows + row] = sums[n][1];
    out[token * kTileRows + row + 8] = sums[n][2];
    out[(token + 1) * kTileRows + row + 8] = sums[n][3];
  }
  multipliers_sync();
  const int token = threadIdx.x / 8, r = threadIdx.x % 8;
  float2 product = {0, 0};
  if (token < kColumnTiles * 8) {
#pragma unroll
    for (int w = 0; w < kMultipliers; ++w) {
      product.x += header.sums[w][token * kTileRows + r];
      product.y += header.sums[w][token * kTileRows + r + 8];
    }
  }
  if constexpr (kFormat == MatrixFormat::kFp8) {
    product.x *= stream.matrix.scales[header.weight_rows[r]];
    product.y *= stream.matrix.scales[header.weight_rows[r + 8]];
  }
  return product;
}

// 1/rms of each token, by the multiplying warps.
__device__ __forceinline__ void measure_scales(const StreamedInput& input, Header& header,
                                               int tokens) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (int token = warp; token < tokens; token += kMultipliers) {
    float scale = 1.0f;
    if (input.square_sums != nullptr) {
      const float* parts = input.square_sums + int64_t{header.input_rows[token]} * input.parts;
      float sum = 0;
      for (int i = lane; i < input.parts; i += kWarp) sum += parts[i];
      sum = warp_sum(sum);
      scale = rsqrtf(sum / static_cast<float>(input.hidden) + input.epsilon);
    }
    if (lane == 0) header.scales[token] = scale;
  }
}

__device__ __forceinline__ void start_barriers(Header& header, int stages) {
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < stages; ++stage) {
      initialise_barrier(&header.full[stage], 1);
      initialise_barrier(&header.empty[stage], kMultipliers);
    }
    publish_barriers();
  }
}

struct QkvEnd {
  QkvOutlet out;

  __device__ __forceinline__ void put(int tile, int r, int t, float first, float second,
                                      bool valid) const {
    put_qkv(out, tile, r, t, first, second, valid);
  }
};

struct ResidualEnd {
  ResidualStream stream;
  const float* next_norm;

  __device__ __forceinline__ void put(int tile, int r, int t, float first, float second,
                                      bool valid) const {
    const int row = tile * kTileRows + r;
    float squares = 0;
    const auto add = [&](int at, float value) {
      if (!valid || at >= stream.width) return;
      float* hidden = stream.hidden + int64_t{t} * stream.width + at;
      value += *hidden;
      *hidden = value;
      static_cast<__nv_bfloat16*>(stream.weighted)[int64_t{t} * stream.pitch + at] =
          __float2bfloat16(value * next_norm[at]);
      squares += value * value;
    };
    add(row, first);
    add(row + 8, second);
#pragma unroll
    for (int offset = 4; offset > 0; offset /= 2) {
      squares += __shfl_xor_sync(kWholeWarp, squares, offset);
    }
    if (valid && r == 0) stream.square_sums[int64_t{t} * stream.parts() + tile] = squares;
  }
};

struct GateUpEnd {
  __nv_bfloat16* activations;
  int pitch;

  __device__ __forceinline__ void put(int tile, int r, int t, float gate, float up,
                                      bool valid) const {
    if (!valid) return;
    const float value = gate / (1.0f + __expf(-gate)) * up;
    activations[int64_t{t} * pitch + tile * 8 + r] = __float2bfloat16(value);
  }
};

template <MatrixFormat kFormat, int kColumnTiles, class End>
__global__ void __launch_bounds__(kThreads)
    streamed_kernel(const __grid_constant__ Stream stream, const __grid_constant__ End end) {
  extern __shared__ __align__(128) char memory[];
  Header& header = *reinterpret_cast<Header*>(memory);
  char* stages = memory + kHeaderBytes;
  const int tile = static_cast<int>(blockIdx.x), tokens = stream.input.tokens;
  grid_dependency_release();
  start_barriers(header, stream.stages);
  if (threadIdx.x < kTileRows) {
    header.weight_rows[threadIdx.x] = tile * kTileRows + static_cast<int>(threadIdx.x);
    header.input_rows[threadIdx.x] = static_cast<int>(threadIdx.x);
  }
  __syncthreads();
  const int chunks = chunks_of(stream.matrix, Chunk<kFormat>::kColumns);
  if (threadIdx.x >= kMultiplierThreads) {
    Copier<kFormat> copier(stream, header, stages);
    const int early = min(stream.stages, chunks);
    for (int chunk = 0; chunk < early; ++chunk) {
      copier.begin(chunk, chunk, tokens);
      copier.copy_weights(chunk, chunk);
    }
    grid_dependency_wait();
    for (int chunk = 0; chunk < early; ++chunk) copier.copy_input(chunk, chunk, tokens);
    for (int chunk = early; chunk < chunks; ++chunk) {
      copier.begin(chunk, chunk, tokens);
      copier.copy_weights(chunk, chunk);
      copier.copy_input(chunk, chunk, tokens);
    }
    return;
  }
  grid_dependency_wait();
  measure_scales(stream.input, header, tokens);
  // The barrier within orders the scales, too.
  const float2 product = multiply_tile<kFormat, kColumnTiles>(stream, header, stages, tokens, 0);
  const int token = static_cast<int>(threadIdx.x) / 8, r = static_cast<int>(threadIdx.x) % 8;
  const bool valid = token < tokens;
  const float scale = valid ? header.scales[token] : 0.0f;
  end.put(tile, r, token, product.x * scale, product.y * scale, valid);
}

// Which sequences choose from the rows of a block: those of its slot (blockIdx.y), or those without
// legal slots.
template <bool kAllIds>
__device__ __forceinline__ bool wants(const LogitsTask& task, int head, int slot) {
  const int sequence = task.heads[head].sequence;
  if (sequence < 0) return false;
  const DeviceSequence& state = task.sequences[sequence];
  if (kAllIds) return state.legal_slots == 0;
  return state.legal_slots != 0 && state.drawn % CodeLayout::kSlots == slot;
}

__device__ __forceinline__ bool same_layout(const DeviceSequence& a, const DeviceSequence& b) {
  if (a.first_code != b.first_code || a.codebook_size != b.codebook_size ||
      a.stop_count != b.stop_count) {
    return false;
  }
  for (int i = 0; i < a.stop_count; ++i) {
    if (a.stop_ids[i] != b.stop_ids[i]) return false;
  }
  return true;
}

__device__ __forceinline__ int tiles_of(int rows) { return (rows + kTileRows - 1) / kTileRows; }

// Token id of row i of a tile, for sequences of this layout: the codes of the slot, and behind them
// a tile of stop ids. -1: none.
template <bool kAllIds>
__device__ __forceinline__ int tile_id(const LogitsTask& task, const DeviceSequence& state,
                                       int slot, int tile, int i) {
  const int at = tile * kTileRows + i;
  if (kAllIds) return at < task.vocabulary ? at : -1;
  if (tile < tiles_of(state.codebook_size)) {
    return at < state.codebook_size ? state.first_code + slot * state.codebook_size + at : -1;
  }
  if (tile > tiles_of(state.codebook_size) || slot != 0) return -1;
  return i < state.stop_count ? state.stop_ids[i] : -1;
}

constexpr int kGroup = 8;  // sequences multiplied together
constexpr int kMaskWords = kMostDrawing / kWarp;

// The sequences of a block, in groups of the same layout.
struct Groups {
  uint32_t all[kMaskWords];   // bit: head
  uint32_t left[kMaskWords];  // in this tile
  int tiles;
  int ids[kTileRows];
};

// Chooses the next group: header.count sequences, input rows and the ids of their rows. One warp.
template <bool kAllIds>
__device__ __forceinline__ void choose_group(const LogitsTask& task, int slot, int tile, int words,
                                             int lane, Header& header, Groups& groups) {
  int count = 0, leader = -1;
  for (int word = 0; word < words && count < kGroup; ++word) {
    uint32_t mask = groups.left[word];
    uint32_t taken = 0;
    while (mask != 0 && count < kGroup) {
      const int bit = __ffs(static_cast<int>(mask)) - 1;
      mask &= mask - 1;
      const DeviceHead head = task.heads[word * kWarp + bit];
      if (leader < 0) leader = head.sequence;
      if (!kAllIds && !same_layout(task.sequences[leader], task.sequences[head.sequence])) continue;
      if (lane == 0) {
        header.input_rows[count] = head.row;
        header.sequences[count] = head.sequence;
      }
      taken |= 1u << bit;
      ++count;
    }
    __syncwarp();
    if (lane == 0) groups.left[word] &= ~taken;
    __syncwarp();
  }
  if (lane == 0) header.count = count;
  if (leader >= 0 && lane < kTileRows) {
    const int id = tile_id<kAllIds>(task, task.sequences[leader], slot, tile, lane);
    groups.ids[lane] = id;
    // What is no id is multiplied all the same, as row 0, and not kept.
    header.weight_rows[lane] = max(id, 0);
  }
}

template <bool kAllIds>
__global__ void __launch_bounds__(kThreads)
    logits_kernel(const __grid_constant__ Stream stream, const __grid_constant__ LogitsTask task) {
  constexpr MatrixFormat kFormat = MatrixFormat::kBf16;
  extern __shared__ __align__(128) char memory[];
  Header& header = *reinterpret_cast<Header*>(memory);
  char* stages = memory + kHeaderBytes;
  __shared__ Groups groups;
  const int slot = static_cast<int>(blockIdx.y);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  grid_dependency_release();
  start_barriers(header, stream.stages);
  if (threadIdx.x == 0) groups.tiles = kAllIds ? tiles_of(task.vocabulary) : 0;
  __syncthreads();
  // Heads and counts of draws do not change while this chain of kernels runs, up to the draw that
  // follows.
  const int words = (task.count + kWarp - 1) / kWarp;
  for (int word = warp; word < words; word += kThreads / kWarp) {
    const int head = word * kWarp + lane;
    const bool wanted = head < task.count && wants<kAllIds>(task, head, slot);
    const uint32_t mask = __ballot_sync(kWholeWarp, wanted);
    if (lane == 0) groups.all[word] = mask;
    if (!kAllIds && wanted) {
      const DeviceSequence& state = task.sequences[task.heads[head].sequence];
      atomicMax(&groups.tiles, tiles_of(state.codebook_size) + (slot == 0 ? 1 : 0));
    }
  }
  __syncthreads();
  const int chunks = chunks_of(stream.matrix, Chunk<kFormat>::kColumns);
  const int tiles = groups.tiles;
  bool waited = false;
  int first_q = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
    if (static_cast<int>(threadIdx.x) < words) {
      groups.left[threadIdx.x] = groups.all[threadIdx.x];
    }
    __syncthreads();
    for (;;) {
      if (warp == kMultipliers) {
        choose_group<kAllIds>(task, slot, tile, words, lane, header, groups);
      }
      __syncthreads();
      const int tokens = header.count;
      if (tokens == 0) break;
      if (warp == kMultipliers) {
        Copier<kFormat> copier(stream, header, stages);
        const int early = waited ? 0 : min(stream.stages, chunks);
        for (int chunk = 0; chunk < early; ++chunk) {
          copier.begin(first_q + chunk, chunk, tokens);
          copier.copy_weights(first_q + chunk, chunk);
        }
        if (!waited) grid_dependency_wait();
        for (int chunk = 0; chunk < early; ++chunk) {
          copier.copy_input(first_q + chunk, chunk, tokens);
        }
        for (int chunk = early; chunk < chunks; ++chunk) {
          copier.begin(first_q + chunk, chunk, tokens);
          copier.copy_weights(first_q + chunk, chunk);
          copier.copy_input(first_q + chunk, chunk, tokens);
        }
      } else {
        if (!waited) grid_dependency_wait();
        measure_scales(stream.input, header, tokens);
        const float2 product = multiply_tile<kFormat, 1>(stream, header, stages, tokens, first_q);
        const int token = static_cast<int>(threadIdx.x) / 8, r = static_cast<int>(threadIdx.x) % 8;
        if (token < tokens) {
          float* logits = task.logits + int64_t{header.sequences[token]} * task.vocabulary;
          const int low = groups.ids[r], high = groups.ids[r + 8];
          if (low >= 0) logits[low] = product.x * header.scales[token];
          if (high >= 0) logits[high] = product.y * header.scales[token];
        }
      }
      waited = true;
      first_q += chunks;
      __syncthreads();  // before the next group changes the header
    }
    __syncthreads();
  }
  // Blocks without work may leave early, but the launch as a whole ends after the one before it:
  // who waits for this one relies on that.
  if (!waited && blockIdx.x == 0 && blockIdx.y == 0) grid_dependency_wait();
}

template <MatrixFormat kFormat>
Stream make_stream(const DeviceMatrix& matrix, const StreamedInput& input, int tokens) {
  Stream stream = {matrix, input, 0, stage_bytes<kFormat>(tokens)};
  const int chunks = (matrix.pitch + Chunk<kFormat>::kColumns - 1) / Chunk<kFormat>::kColumns;
  const int fitting = (kTargetBytes - kHeaderBytes) / stream.stage_bytes;
  const int most = (kMostBytes - kHeaderBytes) / stream.stage_bytes;
  stream.stages = std::clamp(fitting, std::min(2, most), kMostStages);
  stream.stages = std::min(stream.stages, chunks);
  return stream;
}

LaunchShape shape_of(const Stream& stream, dim3 grid) {
  return {.grid = grid,
          .block = {kThreads},
          .shared_bytes = static_cast<size_t>(kHeaderBytes + stream.stages * stream.stage_bytes),
          .overlap_previous = true};
}

KernelWork work_of(const char* name, const DeviceMatrix& matrix, int tokens) {
  return {name, matrix.size_bytes(), int64_t{2} * matrix.rows * matrix.columns * tokens};
}

template <MatrixFormat kFormat, class End>
void launch_as(Queue& queue, const char* name, const DeviceMatrix& matrix,
               const StreamedInput& input, const End& end) {
  const Stream stream = make_stream<kFormat>(matrix, input, input.tokens);
  const LaunchShape shape =
      shape_of(stream, {static_cast<unsigned>(matrix.padded_rows() / kTileRows)});
  if (input.tokens <= 8) {
    queue.launch(work_of(name, matrix, input.tokens), shape, streamed_kernel<kFormat, 1, End>,
                 stream, end);
  } else {
    queue.launch(work_of(name, matrix, input.tokens), shape, streamed_kernel<kFormat, 2, End>,
                 stream, end);
  }
}

template <class End>
void launch_streamed(Queue& queue, const char* name, const DeviceMatrix& matrix,
                     const StreamedInput& input, const End& end) {
  if (matrix.format == MatrixFormat::kBf16) {
    launch_as<MatrixFormat::kBf16>(queue, name, matrix, input, end);
  } else {
    launch_as<MatrixFormat::kFp8>(queue, name, matrix, input, end);
  }
}

template <class End>
Status prepare_end() {
  LYRE_RETURN_IF_ERROR(
      allow_shared_bytes(streamed_kernel<MatrixFormat::kBf16, 1, End>, kMostBytes));
  LYRE_RETURN_IF_ERROR(
      allow_shared_bytes(streamed_kernel<MatrixFormat::kBf16, 2, End>, kMostBytes));
  LYRE_RETURN_IF_ERROR(allow_shared_bytes(streamed_kernel<MatrixFormat::kFp8, 1, End>, kMostBytes));
  return allow_shared_bytes(streamed_kernel<MatrixFormat::kFp8, 2, End>, kMostBytes);
}

}  // namespace

Status prepare_streamed_matmul() {
  LYRE_RETURN_IF_ERROR(prepare_end<QkvEnd>());
  LYRE_RETURN_IF_ERROR(prepare_end<ResidualEnd>());
  LYRE_RETURN_IF_ERROR(prepare_end<GateUpEnd>());
  LYRE_RETURN_IF_ERROR(allow_shared_bytes(logits_kernel<false>, kMostBytes - 1024));
  return allow_shared_bytes(logits_kernel<true>, kMostBytes - 1024);
}

void streamed_qkv(Queue& queue, const DeviceMatrix& matrix, const StreamedInput& input,
                  const QkvOutlet& out) {
  launch_streamed(queue, "lm.qkv", matrix, input, QkvEnd{out});
}

void streamed_residual(Queue& queue, const char* name, const DeviceMatrix& matrix,
                       const StreamedInput& input, const ResidualStream& stream,
                       const float* next_norm) {
  launch_streamed(queue, name, matrix, input, ResidualEnd{stream, next_norm});
}

void streamed_gate_up(Queue& queue, const DeviceMatrix& matrix, const StreamedInput& input,
                      void* activations, int out_pitch) {
  launch_streamed(queue, "lm.gate_up", matrix, input,
                  GateUpEnd{static_cast<__nv_bfloat16*>(activations), out_pitch});
}

void legal_logits(Queue& queue, const DeviceMatrix& output, const StreamedInput& input,
                  const LogitsTask& task) {
  const Stream stream =
      make_stream<MatrixFormat::kBf16>(output, input, std::min(task.count, kGroup));
  const int64_t row_bytes = int64_t{output.columns} * 2;
  const int64_t codes = std::min<int64_t>(task.vocabulary / CodeLayout::kSlots, kMostCodes);
  // A tile of a slot each, where the codebook is as usual; blocks of larger ones go around.
  const auto tiles = static_cast<unsigned>(codes / kTileRows + 2);
  queue.launch({"lm.logits", row_bytes * codes * std::min(task.count, CodeLayout::kSlots),
                int64_t{2} * codes * output.columns * task.count},
               shape_of(stream, {tiles, CodeLayout::kSlots}), logits_kernel<false>, stream, task);
  if (!task.all_ids) return;
  const auto all = static_cast<unsigned>((task.vocabulary + kTileRows - 1) / kTileRows);
  queue.launch({"lm.logits_all", output.size_bytes(),
                int64_t{2} * output.rows * output.columns * task.count},
               shape_of(stream, {all}), logits_kernel<true>, stream, task);
}

}  // namespace lyre::cuda
