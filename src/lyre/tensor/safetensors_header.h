#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/tensor/tensor.h"

namespace lyre {

/// What the JSON header of a safetensors file says, checked: every tensor has a known dtype, its
/// range has the size of shape and dtype, and the ranges tile the data without hole or overlap.
struct SafetensorsHeader {
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
    int64_t begin_bytes = 0, end_bytes = 0;  // within the data that follows the header
  };
  std::vector<Entry> entries;  // in the order of the data
  std::map<std::string, std::string, std::less<>> metadata;
};

/// data_bytes: what follows the header in the file; `file` begins the error messages.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, int64_t data_bytes,
                                                   std::string_view file);

}  // namespace lyre
