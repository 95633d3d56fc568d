#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <algorithm>

#include "lyre/base/cuda/device_side.cuh"
#include "lyre/base/cuda/memory_barrier.cuh"
#include "lyre/lm/cuda/qkv_outlet.cuh"
#include "lyre/lm/cuda/streamed_matmul.h"

namespace lyre::cuda {
namespace {

// Warps that multiply; they take turns with steps of 32 columns.
template <MatrixFormat kFormat>
constexpr int kMultipliers = 8;
template <MatrixFormat kFormat>
constexpr int kMultiplierThreads = kMultipliers<kFormat>* kWarp;
// And one warp that copies.
template <MatrixFormat kFormat>
constexpr int kThreads = kMultiplierThreads<kFormat> + kWarp;
constexpr int kStep = 32;  // columns
constexpr int kMostStages = 6;
constexpr int kChunkLines = 8;  // of a weight row, in one chunk
constexpr int kWeightBytes = kTileRows * kChunkLines * kLineBytes;
// Shared memory of a block: two fit. Blocks of the next kernel take the places of those that have
// ended, and fill their stages while the rest end.
constexpr int kMostBytes = 112 << 10;

template <MatrixFormat kFormat>
struct Chunk {
  static constexpr int kLineColumns = kLineBytes / (kFormat == MatrixFormat::kBf16 ? 2 : 1);
  static constexpr int kColumns = kChunkLines * kLineColumns;
  static constexpr int kInputLines = kColumns * 2 / kLineBytes;  // bf16
  static constexpr int kInputBytes = kInputLines * kLineBytes;   // of a token
};

// Products of one tile, by warp: (token, row).
template <MatrixFormat kFormat>
using TileSums = float[kMultipliers<kFormat>][kMostStreamedTokens * kTileRows];

// Memory of a block, behind the stages.
template <MatrixFormat kFormat>
struct Header {
  uint64_t full[kMostStages];
  uint64_t empty[kMostStages];
  float scales[kMostStreamedTokens];  // 1/rms
  int input_rows[kMostStreamedTokens];
  int heads[kMostStreamedTokens];
  int count;
  // Of the tile that is multiplied and of the one before, which may still be read.
  TileSums<kFormat> sums[2];
};

template <MatrixFormat kFormat>
constexpr int kHeaderBytes = (static_cast<int>(sizeof(Header<kFormat>)) + 127) / 128 * 128;

struct Stream {
  StreamedWeights weights;
  StreamedInput input;
  int stages;
  int stage_bytes;  // of as many tokens as a tile is ever multiplied with
};

template <MatrixFormat kFormat>
constexpr int stage_bytes(int tokens) {
  return kWeightBytes + tokens * Chunk<kFormat>::kInputBytes;
}

template <MatrixFormat kFormat>
__device__ __forceinline__ int chunk_columns(const DeviceMatrix& matrix, int chunk) {
  return min(Chunk<kFormat>::kColumns, matrix.pitch - chunk * Chunk<kFormat>::kColumns);
}

template <MatrixFormat kFormat>
__device__ __forceinline__ int chunks_of(const DeviceMatrix& matrix) {
  return (matrix.pitch + Chunk<kFormat>::kColumns - 1) / Chunk<kFormat>::kColumns;
}

// Place in the ring of stages, and how often it has gone around.
struct Turn {
  int stage = 0;
  uint32_t parity = 0;

  __device__ void next(int stages) {
    if (++stage < stages) return;
    stage = 0;
    parity ^= 1;
  }
};

// Asks for the stages, by one thread. Weights and inputs of a stage are asked for apart: at the
// beginning the inputs are not there yet.
template <MatrixFormat kFormat>
class Copier {
 public:
  __device__ Copier(const Stream& stream, Header<kFormat>& header, char* stages, int tokens)
      : stream_(stream), header_(header), stages_(stages), tokens_(tokens) {}

  // Waits until the stage is free and announces what comes. Boxes are whole, also at the end of a
  // row, where zeros come.
  __device__ void begin(Turn turn) const {
    wait_parity(&header_.empty[turn.stage], turn.parity ^ 1);  // free at first
    arrive_expecting(&header_.full[turn.stage],
                     static_cast<uint32_t>(stage_bytes<kFormat>(tokens_)));
  }
  __device__ void copy_weights(Turn turn, int chunk, int row) const {
    copy_box_once(stage(turn), &stream_.weights.tiles, row, chunk * kChunkLines,
                  &header_.full[turn.stage]);
  }
  // The first tokens of the input, together.
  __device__ void copy_input(Turn turn, int chunk) const {
    copy_box(stage(turn) + kWeightBytes, &stream_.input.tiles, 0,
             chunk * Chunk<kFormat>::kInputLines, &header_.full[turn.stage]);
  }
  // Tokens from anywhere, one after the other.
  __device__ void gather_input(Turn turn, int chunk) const {
    for (int token = 0; token < tokens_; ++token) {
      copy_box(stage(turn) + kWeightBytes + token * Chunk<kFormat>::kInputBytes,
               &stream_.input.tiles, header_.input_rows[token], chunk * Chunk<kFormat>::kInputLines,
               &header_.full[turn.stage]);
    }
  }

 private:
  __device__ char* stage(Turn turn) const { return stages_ + turn.stage * stream_.stage_bytes; }

  const Stream& stream_;
  Header<kFormat>& header_;
  char* stages_;
  int tokens_;
};

__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

// c (16, 8) += a (16, 16) * b (16, 8)
__device__ __forceinline__ void multiply_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                              uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void multiply_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The lower or the upper two of four e4m3 as fp16, divided by 2^8: sign, exponent and mantissa move
// to their places, and the rest is a matter of the exponents' bias, of denormals too. The
// conversion instruction does two of them in one, but eight times as slowly.
template <bool kUpper>
__device__ __forceinline__ uint32_t widen(uint32_t four) {
  const uint32_t spread = __byte_perm(four, 0, kUpper ? 0x3424 : 0x1404);
  return (spread & 0x80008000u) | (spread >> 1 & 0x3F803F80u);
}
constexpr float kWidened = 256.0f;

// Inputs beside e4m3 weights become fp16 too, which has more digits than bf16 but less range:
// divided by this, values up to a million stay inside.
constexpr float kInputRange = 16.0f;

__device__ __forceinline__ uint32_t narrow(uint32_t two_bf16) {
  const float low = __uint_as_float(two_bf16 << 16) * (1.0f / kInputRange);
  const float high = __uint_as_float(two_bf16 & 0xffff0000u) * (1.0f / kInputRange);
  const __half2 pair = __floats2half2_rn(low, high);
  return reinterpret_cast<const uint32_t&>(pair);
}

// Where unit `unit` (16 bytes) of line `line` lies, see make_tensor_map().
__device__ __forceinline__ uint32_t unit_at(int line, int unit) {
  return static_cast<uint32_t>(line * kLineBytes + ((unit ^ (line & 7)) << 4));
}

// Line of a token's input: kGathered: a token's lines are together; else a line of all tokens is.
template <bool kGathered>
__device__ __forceinline__ int input_line(int line, int token, int tokens, int lines) {
  return kGathered ? token * lines + line : line * tokens + token;
}

// One warp's steps of one chunk.
template <MatrixFormat kFormat, bool kGathered>
__device__ __forceinline__ void multiply_chunk(const char* stage, int columns, int tokens, int warp,
                                               int lane, float (&sums)[2][4]) {
  using C = Chunk<kFormat>;
  const uint32_t weights = shared_address(stage);
  const int row = lane % 16, half = lane / 16;
  if constexpr (kFormat == MatrixFormat::kBf16) {
    const uint32_t inputs = weights + kWeightBytes;
    // Columns beyond the last token repeat it; nobody looks at them.
    const int token = min(lane % 8, tokens - 1);
#pragma unroll 2
    for (int k = warp * kStep; k < columns; k += kMultipliers<kFormat> * kStep) {
      const int line = k / C::kLineColumns, unit = k % C::kLineColumns / 8;
      uint32_t a[2][4], b[4];
      load_matrices(a[0], weights + unit_at(line * kTileRows + row, unit + half));
      load_matrices(a[1], weights + unit_at(line * kTileRows + row, unit + 2 + half));
      load_matrices(b, inputs + unit_at(input_line<kGathered>(line, token, tokens, C::kInputLines),
                                        unit + lane / 8));
      multiply_bf16(sums[0], a[0], b[0], b[1]);
      multiply_bf16(sums[1], a[1], b[2], b[3]);
    }
  } else {
    // ldmatrix sees pairs of bytes: lane (g, t) gets the columns 4t .. 4t + 3 of 16. A product does
    // not care for the order of its columns, so these four are taken as the pairs that the tensor
    // core expects, of weights and inputs alike.
    const char* inputs = stage + kWeightBytes;
    const int token = min(lane / 4, tokens - 1), t = lane % 4;
#pragma unroll 4
    for (int k = warp * kStep; k < columns; k += kMultipliers<kFormat> * kStep) {
      const int line = k / C::kLineColumns, unit = k % C::kLineColumns / 16;
      uint32_t a[4];
      load_matrices(a, weights + unit_at(line * kTileRows + row, unit + half));
      const int from = input_line<kGathered>(k * 2 / kLineBytes, token, tokens, C::kInputLines);
      const int input_unit = k * 2 % kLineBytes / 16 + t / 2;
      const auto low =
          *reinterpret_cast<const uint2*>(inputs + unit_at(from, input_unit) + t % 2 * 8);
      const auto high =
          *reinterpret_cast<const uint2*>(inputs + unit_at(from, input_unit + 2) + t % 2 * 8);
      const uint32_t first[4] = {widen<false>(a[0]), widen<false>(a[1]), widen<true>(a[0]),
                                 widen<true>(a[1])};
      const uint32_t second[4] = {widen<false>(a[2]), widen<false>(a[3]), widen<true>(a[2]),
                                  widen<true>(a[3])};
      multiply_f16(sums[0], first, narrow(low.x), narrow(low.y));
      multiply_f16(sums[1], second, narrow(high.x), narrow(high.y));
    }
  }
}

template <MatrixFormat kFormat>
__device__ __forceinline__ void multipliers_sync() {
  asm volatile("bar.sync 1, %0;" ::"n"(kMultiplierThreads<kFormat>) : "memory");
}

// The multiplying warps' side: all chunks of a tile. Afterwards `tile_sums` is complete.
template <MatrixFormat kFormat, bool kGathered>
__device__ __forceinline__ void multiply_tile(const Stream& stream, Header<kFormat>& header,
                                              const char* stages, int tokens, Turn& turn,
                                              TileSums<kFormat>& tile_sums) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int chunks = chunks_of<kFormat>(stream.weights.matrix);
  float sums[2][4] = {};
  for (int chunk = 0; chunk < chunks; ++chunk) {
    wait_parity(&header.full[turn.stage], turn.parity);
    multiply_chunk<kFormat, kGathered>(stages + turn.stage * stream.stage_bytes,
                                       chunk_columns<kFormat>(stream.weights.matrix, chunk), tokens,
                                       warp, lane, sums);
    arrive_warp(&header.empty[turn.stage]);
    turn.next(stream.stages);
  }
  // sums: rows g and g + 8, tokens 2t and 2t + 1.
  const int row = lane / 4, token = lane % 4 * 2;
  float* out = tile_sums[warp];
  out[token * kTileRows + row] = sums[0][0] + sums[1][0];
  out[(token + 1) * kTileRows + row] = sums[0][1] + sums[1][1];
  out[token * kTileRows + row + 8] = sums[0][2] + sums[1][2];
  out[(token + 1) * kTileRows + row + 8] = sums[0][3] + sums[1][3];
  multipliers_sync<kFormat>();
}

// Products of the rows r and r + 8 of a tile, for one token.
template <MatrixFormat kFormat>
__device__ __forceinline__ float2 tile_product(const TileSums<kFormat>& tile_sums,
                                               const Stream& stream, int token, int r, int low_row,
                                               int high_row) {
  float2 product = {0, 0};
#pragma unroll
  for (int w = 0; w < kMultipliers<kFormat>; ++w) {
    product.x += tile_sums[w][token * kTileRows + r];
    product.y += tile_sums[w][token * kTileRows + r + 8];
  }
  if constexpr (kFormat == MatrixFormat::kFp8) {
    product.x *= stream.weights.matrix.scales[low_row] * (kInputRange * kWidened);
    product.y *= stream.weights.matrix.scales[high_row] * (kInputRange * kWidened);
  }
  return product;
}

// 1/rms of each token, by the multiplying warps.
template <MatrixFormat kFormat>
__device__ __forceinline__ void measure_scales(const StreamedInput& input, Header<kFormat>& header,
                                               int tokens) {
  const int token = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (token >= tokens) return;
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
static_assert(kMostStreamedTokens <= kMultipliers<MatrixFormat::kBf16>);

template <MatrixFormat kFormat>
__device__ __forceinline__ void start_barriers(Header<kFormat>& header, int stages) {
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < stages; ++stage) {
      initialise_barrier(&header.full[stage], 1);
      initialise_barrier(&header.empty[stage], kMultipliers<kFormat> * kWarpArrivals);
    }
    publish_barriers();
  }
}

// What becomes of a tile's products. prepare() reads what put() needs, before the products are
// there: the way to the L2 cache and back takes as long as multiplying a tile.
struct QkvEnd {
  QkvOutlet out;

  using Prepared = QkvPlace;
  __device__ __forceinline__ Prepared prepare(int tile, int r, int t, bool valid) const {
    return find_qkv_place(out, tile, r, t, valid);
  }
  __device__ __forceinline__ void put(const Prepared& place, int tile, int r, int t, float first,
                                      float second, bool) const {
    put_qkv(out, place, tile, r, t, first, second);
  }
};

struct ResidualEnd {
  ResidualStream stream;
  const float* next_norm;

  struct Prepared {
    float hidden[2], norm[2];  // of the rows r and r + 8
  };
  __device__ __forceinline__ Prepared prepare(int tile, int r, int t, bool valid) const {
    Prepared prepared = {};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = tile * kTileRows + r + 8 * i;
      if (!valid || at >= stream.width) continue;
      prepared.hidden[i] = stream.hidden[int64_t{t} * stream.width + at];
      prepared.norm[i] = next_norm[at];
    }
    return prepared;
  }
  __device__ __forceinline__ void put(const Prepared& prepared, int tile, int r, int t, float first,
                                      float second, bool valid) const {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = tile * kTileRows + r + 8 * i;
      if (!valid || at >= stream.width) continue;
      const float value = prepared.hidden[i] + (i == 0 ? first : second);
      stream.hidden[int64_t{t} * stream.width + at] = value;
      static_cast<__nv_bfloat16*>(stream.weighted)[int64_t{t} * stream.pitch + at] =
          __float2bfloat16(value * prepared.norm[i]);
      squares += value * value;
    }
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

  struct Prepared {};
  __device__ __forceinline__ Prepared prepare(int, int, int, bool) const { return {}; }
  __device__ __forceinline__ void put(Prepared, int tile, int r, int t, float gate, float up,
                                      bool valid) const {
    if (!valid) return;
    const float value = gate / (1.0f + __expf(-gate)) * up;
    activations[int64_t{t} * pitch + tile * 8 + r] = __float2bfloat16(value);
  }
};

// Blocks take turns with tiles.
template <MatrixFormat kFormat, class End>
__global__ void __launch_bounds__(kThreads<kFormat>)
    streamed_kernel(const __grid_constant__ Stream stream, const __grid_constant__ End end) {
  extern __shared__ __align__(1024) char memory[];
  const int tokens = stream.input.tokens;
  char* stages = memory;
  auto& header = *reinterpret_cast<Header<kFormat>*>(memory + stream.stages * stream.stage_bytes);
  const int tiles = stream.weights.matrix.padded_rows() / kTileRows;
  const int first_tile = static_cast<int>(blockIdx.x), stride = static_cast<int>(gridDim.x);
  grid_dependency_release();
  start_barriers(header, stream.stages);
  if (threadIdx.x < kMostStreamedTokens) {
    header.input_rows[threadIdx.x] = static_cast<int>(threadIdx.x);
  }
  __syncthreads();
  const int chunks = chunks_of<kFormat>(stream.weights.matrix);
  if (threadIdx.x >= kMultiplierThreads<kFormat>) {
    if (threadIdx.x > kMultiplierThreads<kFormat>) return;
    const Copier<kFormat> copier(stream, header, stages, tokens);
    struct Place {
      Turn turn;
      int tile, chunk;
    };
    const auto advance = [&](Place& place) {
      place.turn.next(stream.stages);
      if (++place.chunk < chunks) return;
      place.chunk = 0;
      place.tile += stride;
    };
    Place weights = {{}, first_tile, 0}, inputs = weights;
    // As many stages of weights as there are, before the inputs exist.
    int early = 0;
    for (; early < stream.stages && weights.tile < tiles; ++early, advance(weights)) {
      copier.begin(weights.turn);
      copier.copy_weights(weights.turn, weights.chunk, weights.tile * kTileRows);
    }
    grid_dependency_wait();
    for (; early > 0; --early, advance(inputs)) copier.copy_input(inputs.turn, inputs.chunk);
    for (; weights.tile < tiles; advance(weights)) {
      copier.begin(weights.turn);
      copier.copy_weights(weights.turn, weights.chunk, weights.tile * kTileRows);
      copier.copy_input(weights.turn, weights.chunk);
    }
    return;
  }
  grid_dependency_wait();
  measure_scales(stream.input, header, tokens);
  // The barrier within the first tile orders the scales, too.
  Turn turn;
  int side = 0;
  for (int tile = first_tile; tile < tiles; tile += stride, side ^= 1) {
    const int token = static_cast<int>(threadIdx.x) / 8, r = static_cast<int>(threadIdx.x) % 8;
    const bool valid = token < tokens;
    const auto prepared = end.prepare(tile, r, token, valid);
    multiply_tile<kFormat, false>(stream, header, stages, tokens, turn, header.sums[side]);
    if (token >= kMostStreamedTokens) continue;  // whole warps
    const int row = tile * kTileRows + r;
    const float2 product = tile_product<kFormat>(header.sums[side], stream, token, r, row, row + 8);
    const float scale = valid ? header.scales[token] : 0.0f;
    end.put(prepared, tile, r, token, product.x * scale, product.y * scale, valid);
  }
}

// Which sequences choose from the rows of a slot; or, of the only slot there is then, those without
// legal slots.
template <bool kAllIds>
__device__ __forceinline__ int slot_of(const DeviceSequence& state) {
  if (kAllIds) return state.legal_slots == 0 ? 0 : -1;
  return state.legal_slots != 0 ? state.drawn % CodeLayout::kSlots : -1;
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

// First row of a tile for sequences of this layout, and how many of its ids are wanted: the codes
// of the slot, and behind them a tile for each stop id.
struct Tile {
  int first = 0, count = 0;
};
template <bool kAllIds>
__device__ __forceinline__ Tile find_tile(const LogitsTask& task, const DeviceSequence& state,
                                          int slot, int tile) {
  const int at = tile * kTileRows;
  if (kAllIds) return {at, min(kTileRows, task.vocabulary - at)};
  const int code_tiles = tiles_of(state.codebook_size);
  if (tile < code_tiles) {
    return {state.first_code + slot * state.codebook_size + at,
            min(kTileRows, state.codebook_size - at)};
  }
  if (slot != 0 || tile - code_tiles >= state.stop_count) return {};
  return {state.stop_ids[tile - code_tiles], 1};
}

constexpr int kGroup = 8;  // sequences multiplied together
constexpr int kMaskWords = kMostDrawing / kWarp;

// The sequences that draw, by slot, and those of the tile in work that are left.
template <bool kAllIds>
struct Groups {
  static constexpr int kSlots = kAllIds ? 1 : CodeLayout::kSlots;
  uint32_t all[kSlots][kMaskWords];  // bit: head
  int tiles[kSlots];
  uint32_t left[kMaskWords];
  Tile tile;  // of the group
};

// Chooses the next group: header.count sequences, input rows and the ids of their rows. One warp.
template <bool kAllIds>
__device__ __forceinline__ void choose_group(const LogitsTask& task, int slot, int tile, int words,
                                             int lane, Header<MatrixFormat::kBf16>& header,
                                             Groups<kAllIds>& groups) {
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
        header.heads[count] = word * kWarp + bit;
      }
      taken |= 1u << bit;
      ++count;
    }
    __syncwarp();
    if (lane == 0) groups.left[word] &= ~taken;
    __syncwarp();
  }
  if (lane == 0) {
    header.count = count;
    if (leader >= 0) groups.tile = find_tile<kAllIds>(task, task.sequences[leader], slot, tile);
  }
}

template <bool kAllIds>
__global__ void __launch_bounds__(kThreads<MatrixFormat::kBf16>)
    logits_kernel(const __grid_constant__ Stream stream, const __grid_constant__ LogitsTask task) {
  constexpr MatrixFormat kFormat = MatrixFormat::kBf16;
  extern __shared__ __align__(1024) char memory[];
  char* stages = memory;
  char* behind = memory + stream.stages * stream.stage_bytes;
  auto& header = *reinterpret_cast<Header<kFormat>*>(behind);
  auto& groups = *reinterpret_cast<Groups<kAllIds>*>(behind + kHeaderBytes<kFormat>);
  constexpr int kSlots = Groups<kAllIds>::kSlots;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  grid_dependency_release();
  start_barriers(header, stream.stages);
  if (threadIdx.x < kSlots) groups.tiles[threadIdx.x] = 0;
  __syncthreads();
  // Heads and counts of draws do not change while this chain of kernels runs, up to the draw that
  // follows.
  const int words = (task.count + kWarp - 1) / kWarp;
  for (int word = warp; word < words; word += kThreads<kFormat> / kWarp) {
    const int head = word * kWarp + lane;
    const int sequence = head < task.count ? task.heads[head].sequence : -1;
    const int slot = sequence >= 0 ? slot_of<kAllIds>(task.sequences[sequence]) : -1;
    if (slot >= 0) {
      const DeviceSequence& state = task.sequences[sequence];
      atomicMax(&groups.tiles[slot],
                kAllIds ? tiles_of(task.vocabulary)
                        : tiles_of(state.codebook_size) + (slot == 0 ? state.stop_count : 0));
    }
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const uint32_t mask = __ballot_sync(kWholeWarp, slot == s);
      if (lane == 0) groups.all[s][word] = mask;
    }
  }
  __syncthreads();
  const int chunks = chunks_of<kFormat>(stream.weights.matrix);
  bool waited = false;
  Turn turn;
  // Blocks take turns with the tiles of all slots.
  for (int item = static_cast<int>(blockIdx.x);; item += static_cast<int>(gridDim.x)) {
    int slot = 0, tile = item;
    while (slot < kSlots && tile >= groups.tiles[slot]) tile -= groups.tiles[slot++];
    if (slot == kSlots) break;
    if (static_cast<int>(threadIdx.x) < words) {
      groups.left[threadIdx.x] = groups.all[slot][threadIdx.x];
    }
    __syncthreads();
    for (;;) {
      if (warp == kMultipliers<kFormat>) {
        choose_group<kAllIds>(task, slot, tile, words, lane, header, groups);
      }
      __syncthreads();
      const int tokens = header.count;
      if (tokens == 0) break;
      const Tile rows = groups.tile;
      if (rows.count > 0) {
        if (warp == kMultipliers<kFormat>) {
          if (lane == 0) {
            const Copier<kFormat> copier(stream, header, stages, tokens);
            // Before the inputs exist, only of the first group.
            const int early = waited ? 0 : min(stream.stages, chunks);
            Turn ahead = turn;
            for (int chunk = 0; chunk < early; ++chunk, ahead.next(stream.stages)) {
              copier.begin(ahead);
              copier.copy_weights(ahead, chunk, rows.first);
            }
            if (!waited) grid_dependency_wait();
            for (int chunk = 0; chunk < chunks; ++chunk, turn.next(stream.stages)) {
              if (chunk >= early) {
                copier.begin(turn);
                copier.copy_weights(turn, chunk, rows.first);
              }
              copier.gather_input(turn, chunk);
            }
          }
          __syncwarp();  // the block's barriers are for whole warps
        } else {
          if (!waited) grid_dependency_wait();
          measure_scales(stream.input, header, tokens);
          multiply_tile<kFormat, true>(stream, header, stages, tokens, turn, header.sums[0]);
          const int token = static_cast<int>(threadIdx.x) / 8;
          const int r = static_cast<int>(threadIdx.x) % 8;
          if (token < tokens) {
            const float2 product = tile_product<kFormat>(header.sums[0], stream, token, r, 0, 0);
            float* logits = task.logits + header.heads[token] * task.logits_pitch + rows.first + r;
            if (r < rows.count) logits[0] = product.x * header.scales[token];
            if (r + 8 < rows.count) logits[8] = product.y * header.scales[token];
          }
        }
        waited = true;
      }
      __syncthreads();  // before the next group changes the header
    }
    __syncthreads();
  }
  // Blocks without work may leave early, but the launch as a whole ends after the one before it:
  // who waits for this one relies on that.
  if (!waited && blockIdx.x == 0) grid_dependency_wait();
}

template <MatrixFormat kFormat>
constexpr int kBehindBytes = kHeaderBytes<kFormat> +
                             (static_cast<int>(sizeof(Groups<false>)) + 127) / 128 * 128;

template <MatrixFormat kFormat>
Stream make_stream(const StreamedWeights& weights, const StreamedInput& input, int tokens) {
  Stream stream = {weights, input, 0, stage_bytes<kFormat>(tokens)};
  stream.stages = std::min((kMostBytes - kBehindBytes<kFormat>) / stream.stage_bytes, kMostStages);
  return stream;
}

template <MatrixFormat kFormat>
LaunchShape shape_of(const Stream& stream, dim3 grid) {
  return {.grid = grid,
          .block = {kThreads<kFormat>},
          .shared_bytes =
              static_cast<size_t>(stream.stages * stream.stage_bytes + kBehindBytes<kFormat>),
          .overlap_previous = true};
}

KernelWork work_of(const char* name, const DeviceMatrix& matrix, int tokens) {
  return {name, matrix.size_bytes(), int64_t{2} * matrix.rows * matrix.columns * tokens};
}

// Two blocks a multiprocessor, as many as have room, or a tile each. Measured against one block,
// and against as many as give each the same number of tiles: docs/performance-lm-cuda.md.
int blocks_for(int tiles, int multiprocessors) { return std::min(tiles, 2 * multiprocessors); }

template <MatrixFormat kFormat, class End>
void launch_as(Queue& queue, const char* name, const StreamedWeights& weights,
               const StreamedInput& input, const End& end) {
  const Stream stream = make_stream<kFormat>(weights, input, input.tokens);
  const int blocks = blocks_for(weights.matrix.padded_rows() / kTileRows, queue.multiprocessors());
  queue.launch(work_of(name, weights.matrix, input.tokens),
               shape_of<kFormat>(stream, {static_cast<unsigned>(blocks)}),
               streamed_kernel<kFormat, End>, stream, end);
}

template <class End>
void launch_streamed(Queue& queue, const char* name, const StreamedWeights& weights,
                     const StreamedInput& input, const End& end) {
  if (weights.matrix.format == MatrixFormat::kBf16) {
    launch_as<MatrixFormat::kBf16>(queue, name, weights, input, end);
  } else {
    launch_as<MatrixFormat::kFp8>(queue, name, weights, input, end);
  }
}

template <class End>
Status prepare_end() {
  LYRE_RETURN_IF_ERROR(allow_shared_bytes(streamed_kernel<MatrixFormat::kBf16, End>, kMostBytes));
  return allow_shared_bytes(streamed_kernel<MatrixFormat::kFp8, End>, kMostBytes);
}

}  // namespace

Status prepare_streamed_matmul() {
  LYRE_RETURN_IF_ERROR(prepare_end<QkvEnd>());
  LYRE_RETURN_IF_ERROR(prepare_end<ResidualEnd>());
  LYRE_RETURN_IF_ERROR(prepare_end<GateUpEnd>());
  LYRE_RETURN_IF_ERROR(allow_shared_bytes(logits_kernel<false>, kMostBytes));
  return allow_shared_bytes(logits_kernel<true>, kMostBytes);
}

Result<StreamedWeights> streamed_weights(const DeviceMatrix& matrix) {
  const int element_bytes = matrix.format == MatrixFormat::kBf16 ? 2 : 1;
  LYRE_ASSIGN_OR_RETURN(
      const CUtensorMap tiles,
      make_tensor_map(matrix.data, element_bytes, matrix.padded_rows(),
                      int64_t{matrix.pitch} * element_bytes, kTileRows, kChunkLines));
  return StreamedWeights{matrix, tiles};
}

Result<CUtensorMap> streamed_tiles(const void* values, int rows, int pitch, int tokens,
                                   MatrixFormat format) {
  const int lines = format == MatrixFormat::kBf16 ? Chunk<MatrixFormat::kBf16>::kInputLines
                                                  : Chunk<MatrixFormat::kFp8>::kInputLines;
  return make_tensor_map(values, 2, rows, int64_t{pitch} * 2, tokens, lines);
}

void streamed_qkv(Queue& queue, const StreamedWeights& weights, const StreamedInput& input,
                  const QkvOutlet& out) {
  launch_streamed(queue, "lm.qkv", weights, input, QkvEnd{out});
}

void streamed_residual(Queue& queue, const char* name, const StreamedWeights& weights,
                       const StreamedInput& input, const ResidualStream& stream,
                       const float* next_norm) {
  launch_streamed(queue, name, weights, input, ResidualEnd{stream, next_norm});
}

void streamed_gate_up(Queue& queue, const StreamedWeights& weights, const StreamedInput& input,
                      void* activations, int out_pitch) {
  launch_streamed(queue, "lm.gate_up", weights, input,
                  GateUpEnd{static_cast<__nv_bfloat16*>(activations), out_pitch});
}

void legal_logits(Queue& queue, const StreamedWeights& output, const StreamedInput& input,
                  const LogitsTask& task) {
  const int group = std::min(task.count, kGroup);
  const Stream stream = make_stream<MatrixFormat::kBf16>(output, input, group);
  const DeviceMatrix& matrix = output.matrix;
  const int64_t slot_codes = task.vocabulary / CodeLayout::kSlots;  // at most
  const auto blocks = static_cast<unsigned>(2 * queue.multiprocessors());
  const LaunchShape shape = shape_of<MatrixFormat::kBf16>(stream, {blocks});
  queue.launch({"lm.logits",
                int64_t{matrix.columns} * 2 * slot_codes * std::min(task.count, CodeLayout::kSlots),
                int64_t{2} * slot_codes * matrix.columns * task.count},
               shape, logits_kernel<false>, stream, task);
  if (!task.all_ids) return;
  queue.launch({"lm.logits_all", matrix.size_bytes(),
                int64_t{2} * matrix.rows * matrix.columns * task.count},
               shape, logits_kernel<true>, stream, task);
}

}  // namespace lyre::cuda
