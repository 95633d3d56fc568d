#include "lyre/lm/cuda/cublas_lt.h"

#include <string>

#include "lyre/base/dynamic_library.h"

namespace lyre::cuda {
namespace {

// Where the loader looks, and then where it was when this was built.
Result<DynamicLibrary> open_library() {
  const std::string soname = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  auto found = DynamicLibrary::open(soname);
  if (found.ok()) return found;
  auto built_with = DynamicLibrary::open(std::string(LYRE_CUDA_LIBRARY_FOLDER) + "/" + soname);
  if (built_with.ok()) return built_with;
  return Error{ErrorCode::kUnavailable, "cuBLASLt: " + found.error().message};
}

Result<CublasLt> find_functions() {
  LYRE_ASSIGN_OR_RETURN(const DynamicLibrary library, open_library());
  CublasLt lt;
  LYRE_RETURN_IF_ERROR(library.find("cublasLtCreate", lt.create));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtDestroy", lt.destroy));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtGetStatusString", lt.get_status_string));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatmul", lt.matmul));
  LYRE_RETURN_IF_ERROR(
      library.find("cublasLtMatmulAlgoGetHeuristic", lt.matmul_algo_get_heuristic));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatmulDescCreate", lt.matmul_desc_create));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatmulDescDestroy", lt.matmul_desc_destroy));
  LYRE_RETURN_IF_ERROR(
      library.find("cublasLtMatmulDescSetAttribute", lt.matmul_desc_set_attribute));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatrixLayoutCreate", lt.matrix_layout_create));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatrixLayoutDestroy", lt.matrix_layout_destroy));
  LYRE_RETURN_IF_ERROR(library.find("cublasLtMatmulPreferenceCreate", lt.matmul_preference_create));
  LYRE_RETURN_IF_ERROR(
      library.find("cublasLtMatmulPreferenceDestroy", lt.matmul_preference_destroy));
  LYRE_RETURN_IF_ERROR(
      library.find("cublasLtMatmulPreferenceSetAttribute", lt.matmul_preference_set_attribute));
  return lt;
}

}  // namespace

Result<const CublasLt*> CublasLt::load() {
  static const Result<CublasLt> loaded = find_functions();
  if (!loaded.ok()) return loaded.error();
  return &*loaded;
}

}  // namespace lyre::cuda
