#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/tensor/tensor.h"

namespace lyre {

/// One tensor of a state dict, as its pickle describes it: a strided view into a storage. The sizes
/// are not negative; that the view lies inside the storage is for the caller to check.
struct PickledTensor {
  std::string name;
  std::string storage;  // key: the entry data/<storage> of the checkpoint
  DType dtype = DType::kF32;
  int64_t storage_elements = 0;
  int64_t offset_elements = 0;
  Shape shape;
  Shape strides;  // in elements
};

/// Reads the pickle (protocol 2) of a state dict. A closed machine: it knows the opcodes and the
/// globals that torch.save writes for a dict of tensors, calls nothing, and refuses everything else
/// by name. `where` begins the error messages. Opcodes: Lib/pickletools.py of CPython.
Result<std::vector<PickledTensor>> read_state_dict_pickle(std::span<const std::byte> pickle,
                                                          std::string_view where);

}  // namespace lyre
