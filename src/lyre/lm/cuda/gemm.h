#pragma once

#include <map>
#include <tuple>

#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/cublas_lt.h"
#include "lyre/lm/cuda/device_types.h"

namespace lyre::cuda {

/// Products of a weight matrix with many tokens, by cuBLASLt. The algorithm is the library's first
/// choice for the shape, chosen at prepare(): nothing is tried out, so it is the same in every run.
/// Not thread-safe; one device.
class Gemm {
 public:
  enum class Out : uint8_t {
    kF32,     // out (T, ld) fp32
    kBf16,    // out (T, ld) bf16
    kAddF32,  // out (T, ld) fp32 += product
  };

  static Result<Gemm> create();
  Gemm(Gemm&& other) noexcept { swap(other); }
  Gemm& operator=(Gemm&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Gemm();

  /// Chooses for matrices of this shape and so many tokens; what run() is not prepared for it
  /// prepares. kUnavailable if the library has nothing for it.
  Status prepare(const DeviceMatrix& matrix, int tokens, Out out, int ld);

  /// out (tokens, ld), of each row the first matrix.rows elements = values (tokens, pitch) times
  /// the matrix. values: bf16, or for a matrix of e4m3: e4m3 with a scale a token. All addresses
  /// and rows in memory begin at multiples of 16 bytes.
  void run(Queue& queue, const char* name, const DeviceMatrix& matrix, const void* values,
           const float* value_scales, int tokens, Out out, void* to, int ld);

 private:
  using Key =
      std::tuple<int, int, MatrixFormat, int, Out, int>;  // rows, pitch, format, tokens, ...
  struct Plan {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t weights = nullptr, values = nullptr, out = nullptr;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  Gemm() = default;
  void swap(Gemm& other) noexcept;
  static Key key_of(const DeviceMatrix& matrix, int tokens, Out out, int ld);
  void destroy(Plan& plan) const noexcept;

  const CublasLt* lt_ = nullptr;
  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Key, Plan> plans_;
};

}  // namespace lyre::cuda
