#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "lyre/base/result.h"

namespace lyre {

/// A whole file, mapped read-only and private. Move-only owner of the mapping.
class MappedFile {
 public:
  /// Errors: kNotFound (does not exist), kInvalidArgument (a folder, a device, not readable),
  /// kResourceExhausted (the mapping failed).
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return {data_, size_bytes_}; }
  std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(data_), size_bytes_};
  }

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;  // page aligned; nullptr for an empty file
  size_t size_bytes_ = 0;
};

}  // namespace lyre
