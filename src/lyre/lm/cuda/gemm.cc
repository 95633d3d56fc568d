#include "lyre/lm/cuda/gemm.h"

#include <string>
#include <utility>

#include "lyre/base/cuda/status.h"

namespace lyre::cuda {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;  // what NVIDIA advises for Hopper

Status status_of_cublas(const CublasLt& lt, cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return ok_status();
  return Error{ErrorCode::kUnavailable, "cuBLASLt: " + what + ": " + lt.get_status_string(status)};
}

}  // namespace

Result<Gemm> Gemm::create() {
  Gemm gemm;
  LYRE_ASSIGN_OR_RETURN(gemm.lt_, CublasLt::load());
  LYRE_RETURN_IF_ERROR(status_of_cublas(*gemm.lt_, gemm.lt_->create(&gemm.handle_), "starting"));
  LYRE_ASSIGN_OR_RETURN(gemm.workspace_,
                        DeviceMemory::allocate(kWorkspaceBytes, "work memory of cuBLASLt"));
  return gemm;
}

Gemm::~Gemm() {
  for (auto& [key, plan] : plans_) destroy(plan);
  if (handle_ != nullptr) lt_->destroy(handle_);
}

void Gemm::swap(Gemm& other) noexcept {
  std::swap(lt_, other.lt_);
  std::swap(handle_, other.handle_);
  std::swap(workspace_, other.workspace_);
  plans_.swap(other.plans_);
}

void Gemm::destroy(Plan& plan) const noexcept {
  if (plan.operation != nullptr) lt_->matmul_desc_destroy(plan.operation);
  for (cublasLtMatrixLayout_t layout : {plan.weights, plan.values, plan.out}) {
    if (layout != nullptr) lt_->matrix_layout_destroy(layout);
  }
}

Gemm::Key Gemm::key_of(const DeviceMatrix& matrix, int tokens, Out out, int ld) {
  return {matrix.rows, matrix.pitch, matrix.format, tokens, out, ld};
}

// In the library's words, which count down columns: out (rows, tokens) = weights^T * values, each
// column of weights a row of the matrix, each column of values a token. Padding columns are zeros
// and are multiplied along: lengths stay multiples of kPadColumns.
Status Gemm::prepare(const DeviceMatrix& matrix, int tokens, Out out, int ld) {
  const Key key = key_of(matrix, tokens, out, ld);
  if (plans_.contains(key)) return ok_status();
  const auto rows = static_cast<uint64_t>(matrix.rows);
  const auto pitch = static_cast<uint64_t>(matrix.pitch);
  const bool fp8 = matrix.format == MatrixFormat::kFp8;
  const cudaDataType_t in_type = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
  const cudaDataType_t out_type = out == Out::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
  const std::string what = "product of (" + std::to_string(rows) + ", " + std::to_string(pitch) +
                           ") with " + std::to_string(tokens) + " tokens";
  Plan plan;
  cublasLtMatmulPreference_t preference = nullptr;
  const auto build = [&]() -> Status {
    LYRE_RETURN_IF_ERROR(status_of_cublas(
        *lt_, lt_->matmul_desc_create(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), what));
    const auto set = [&](cublasLtMatmulDescAttributes_t name, const auto& value) {
      return status_of_cublas(
          *lt_, lt_->matmul_desc_set_attribute(plan.operation, name, &value, sizeof(value)), what);
    };
    LYRE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
    if (fp8) {
      const cublasLtMatmulMatrixScale_t by_row = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
      LYRE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, by_row));
      LYRE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, by_row));
      // Any address: the heuristic asks whether there is one.
      const void* some = matrix.scales;
      LYRE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, some));
      LYRE_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, some));
    }
    LYRE_RETURN_IF_ERROR(status_of_cublas(
        *lt_, lt_->matrix_layout_create(&plan.weights, in_type, pitch, rows, matrix.pitch), what));
    LYRE_RETURN_IF_ERROR(
        status_of_cublas(*lt_,
                         lt_->matrix_layout_create(&plan.values, in_type, pitch,
                                                   static_cast<uint64_t>(tokens), matrix.pitch),
                         what));
    LYRE_RETURN_IF_ERROR(status_of_cublas(
        *lt_,
        lt_->matrix_layout_create(&plan.out, out_type, rows, static_cast<uint64_t>(tokens), ld),
        what));
    LYRE_RETURN_IF_ERROR(status_of_cublas(*lt_, lt_->matmul_preference_create(&preference), what));
    const auto workspace = static_cast<size_t>(kWorkspaceBytes);
    LYRE_RETURN_IF_ERROR(status_of_cublas(
        *lt_,
        lt_->matmul_preference_set_attribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace, sizeof(workspace)),
        what));
    cublasLtMatmulHeuristicResult_t best = {};
    int found = 0;
    LYRE_RETURN_IF_ERROR(status_of_cublas(
        *lt_,
        lt_->matmul_algo_get_heuristic(handle_, plan.operation, plan.weights, plan.values, plan.out,
                                       plan.out, preference, 1, &best, &found),
        what));
    if (found == 0) return status_of_cublas(*lt_, CUBLAS_STATUS_NOT_SUPPORTED, what);
    plan.algorithm = best.algo;
    return ok_status();
  };
  Status built = build();
  if (preference != nullptr) lt_->matmul_preference_destroy(preference);
  if (!built) {
    destroy(plan);
    return built;
  }
  plans_.emplace(key, plan);
  return ok_status();
}

void Gemm::run(Queue& queue, const char* name, const DeviceMatrix& matrix, const void* values,
               const float* value_scales, int tokens, Out out, void* to, int ld) {
  if (!queue.status().ok()) return;
  const auto refuse = [&] { queue.note(cudaErrorNotSupported, name); };
  if (!prepare(matrix, tokens, out, ld)) return refuse();
  const Plan& plan = plans_.at(key_of(matrix, tokens, out, ld));
  if (matrix.format == MatrixFormat::kFp8) {
    // Kept in the descriptor, which is read during the call only.
    const void* weight_scales = matrix.scales;
    const void* scales = value_scales;
    if (lt_->matmul_desc_set_attribute(plan.operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER,
                                       &weight_scales,
                                       sizeof(weight_scales)) != CUBLAS_STATUS_SUCCESS ||
        lt_->matmul_desc_set_attribute(plan.operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER,
                                       &scales, sizeof(scales)) != CUBLAS_STATUS_SUCCESS) {
      return refuse();
    }
  }
  const float one = 1.0f, zero = 0.0f;
  const KernelWork work = {name, matrix.size_bytes(),
                           int64_t{2} * matrix.rows * matrix.columns * tokens};
  queue.run_library(work, [&](cudaStream_t stream) {
    const cublasStatus_t status =
        lt_->matmul(handle_, plan.operation, &one, matrix.data, plan.weights, values, plan.values,
                    out == Out::kAddF32 ? &one : &zero, to, plan.out, to, plan.out, &plan.algorithm,
                    workspace_.data(), static_cast<size_t>(kWorkspaceBytes), stream);
    return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorLaunchFailure;
  });
}

}  // namespace lyre::cuda
