#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "lyre/base/result.h"
#include "lyre/tensor/mapped_file.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {

/// How the readers of this folder fill a TensorArchive.
class TensorArchiveBuilder {
 public:
  /// Number of the file, for add(). Its mapping lives as long as the archive.
  size_t add_file(const std::filesystem::path& file, std::shared_ptr<const MappedFile> mapping);

  /// Keeps the memory of the views alive as long as the archive.
  void keep(std::shared_ptr<const void> owner);

  /// The view may be unaligned: its data is then copied. A tensor without elements gets a non-null
  /// pointer. Error: the name is there already.
  Status add(std::string name, TensorView view, size_t file);

  void add_metadata(std::string key, std::string value);

  TensorArchive finish() && { return std::move(archive_); }

 private:
  TensorArchive archive_;
};

/// Zero-filled memory for tensor data, aligned for every dtype.
std::shared_ptr<std::byte[]> allocate_tensor_data(int64_t bytes);

}  // namespace lyre
