#pragma once

#include <filesystem>

#include "lyre/base/result.h"
#include "lyre/tensor/archive_builder.h"
#include "lyre/tensor/mapped_file.h"
#include "lyre/tensor/safetensors_header.h"

namespace lyre {

/// A mapped .safetensors file with its checked header; not yet an archive, so that the shards of a
/// folder can share one.
struct SafetensorsFile {
  std::filesystem::path path;
  std::shared_ptr<const MappedFile> mapping;
  SafetensorsHeader header;
  int64_t data_begin_bytes = 0;  // from the start of the file

  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  TensorView view(const SafetensorsHeader::Entry& entry) const;
};

}  // namespace lyre
