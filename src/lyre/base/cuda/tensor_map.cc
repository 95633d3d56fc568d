#include "lyre/base/cuda/tensor_map.h"

#include <cuda_runtime_api.h>

#include <string>

#include "lyre/base/cuda/status.h"

namespace lyre::cuda {

Result<CUtensorMap> make_tensor_map(const void* data, int element_bytes, int64_t rows,
                                    int64_t pitch_bytes, int box_rows, int box_lines) {
  // The driver's own function, without linking to it: a build runs where there is no driver.
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  LYRE_RETURN_IF_ERROR(status_of(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry,
                                                                  12000, cudaEnableDefault, &found),
                                 "looking for cuTensorMapEncodeTiled"));
  if (entry == nullptr || found != cudaDriverEntryPointSuccess) {
    return Error{ErrorCode::kUnavailable, "CUDA: the driver has no cuTensorMapEncodeTiled"};
  }
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(entry);
  const auto line = static_cast<cuuint64_t>(kLineBytes / element_bytes);
  const cuuint64_t sizes[3] = {line, static_cast<cuuint64_t>(rows),
                               static_cast<cuuint64_t>(pitch_bytes / kLineBytes)};
  const cuuint64_t strides[2] = {static_cast<cuuint64_t>(pitch_bytes), kLineBytes};
  const cuuint32_t box[3] = {static_cast<cuuint32_t>(line), static_cast<cuuint32_t>(box_rows),
                             static_cast<cuuint32_t>(box_lines)};
  const cuuint32_t steps[3] = {1, 1, 1};
  CUtensorMap map;
  const CUresult result = encode(
      &map, element_bytes == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      3, const_cast<void*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result == CUDA_SUCCESS) return map;
  return Error{ErrorCode::kInternal, "CUDA: a tensor map of (" + std::to_string(rows) + ", " +
                                         std::to_string(pitch_bytes) + ") bytes was refused: " +
                                         std::to_string(static_cast<int>(result))};
}

}  // namespace lyre::cuda
