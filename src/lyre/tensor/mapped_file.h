#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "lyre/base/result.h"

namespace lyre {

/// Which file this is, and which state of it: writing to a file changes its ctime, and nobody can
/// set that back.
struct FileIdentity {
  uint64_t device = 0, inode = 0, size_bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // since 1970

  bool operator==(const FileIdentity&) const = default;
};

/// kNotFound, kInternal.
Result<FileIdentity> identify_file(const std::filesystem::path& path);

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
  /// When it was opened.
  const FileIdentity& identity() const noexcept { return identity_; }

 private:
  MappedFile() = default;

  const std::byte* data_ = nullptr;  // page aligned; nullptr for an empty file
  size_t size_bytes_ = 0;
  FileIdentity identity_;
};

/// Brings a range of a mapped file into memory and into the page table, so that nobody waits for a
/// fault later.
void make_resident(std::span<const std::byte> range) noexcept;

}  // namespace lyre
