#pragma once

#include <filesystem>
#include <optional>

#include "lyre/tensor/content_hash.h"
#include "lyre/tensor/mapped_file.h"

namespace lyre {

/// Remembers the hashes of files, one small file each in a folder: reading all of a model to learn
/// that it is the same as yesterday would cost what the cache saves.
class FileHashIndex {
 public:
  static constexpr const char* kSuffix = ".source";

  explicit FileHashIndex(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::optional<ContentHash> find(const FileIdentity& identity) const;

  /// Only if the identity proves the contents from now on. `begun_ns`: the time (since 1970) before
  /// the file was read.
  void remember(const FileIdentity& identity, const ContentHash& hash, int64_t begun_ns) const;

  /// A file that was changed within the last kRacyNs may be changed once more with the same time
  /// stamp: clocks of file systems tick slowly. And a ctime of whole seconds is that of an image
  /// (squashfs, ISO 9660) or of a file system that keeps no better one: two images may agree in
  /// everything but the contents.
  static bool is_provable(const FileIdentity& identity, int64_t begun_ns) noexcept;
  static constexpr int64_t kRacyNs = 2'000'000'000;

 private:
  std::filesystem::path entry_of(const FileIdentity& identity) const;

  std::filesystem::path folder_;
};

}  // namespace lyre
