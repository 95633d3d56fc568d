#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/tensor/tensor.h"

namespace lyre {

struct NamedTensor {
  std::string name;
  TensorView view;
};

/// A .safetensors file before it is written: its head, and then the tensors in the order given,
/// each at a multiple of kTensorAlignBytes of the file. The format allows no holes: what fills them
/// are tensors named kFillerPrefix and a number.
struct SafetensorsPlan {
  static constexpr int64_t kTensorAlignBytes = 64;
  static constexpr const char* kFillerPrefix = "lyre.filler.";

  std::string head;  // length, JSON, spaces
  std::vector<std::span<const std::byte>> data;
  int64_t file_bytes = 0;
};

/// The names must differ. The views must live until the file is written.
SafetensorsPlan plan_safetensors(std::span<const NamedTensor> tensors,
                                 const std::map<std::string, std::string, std::less<>>& metadata);

/// Writes all of it into an empty file. kResourceExhausted (no room on the disk),
/// kInternal; the messages name the problem only.
Status write_safetensors(int file, const SafetensorsPlan& plan);

}  // namespace lyre
