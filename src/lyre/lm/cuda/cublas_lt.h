#pragma once

#include <cublasLt.h>

#include "lyre/base/result.h"

namespace lyre::cuda {

/// The functions of cuBLASLt that we call, under their names without "cublasLt". The library is
/// loaded when a language model is opened on a GPU, not linked: it takes a tenth of a second and
/// 200 MB of every process, which one that computes on the CPU should not pay for.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) get_status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) matmul_algo_get_heuristic;
  decltype(&cublasLtMatmulDescCreate) matmul_desc_create;
  decltype(&cublasLtMatmulDescDestroy) matmul_desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) matmul_desc_set_attribute;
  decltype(&cublasLtMatrixLayoutCreate) matrix_layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) matrix_layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) matmul_preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) matmul_preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) matmul_preference_set_attribute;

  /// Of static storage, loaded once. kUnavailable: the library is not there, in the version that we
  /// were compiled against; the message says why. Any thread.
  static Result<const CublasLt*> load();
};

}  // namespace lyre::cuda
