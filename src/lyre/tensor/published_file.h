#pragma once

#include <filesystem>
#include <string>

#include "lyre/base/result.h"

namespace lyre {

/// A file that appears under its name only when it is complete and on the disk. Until then it lies
/// beside it under a name that ends in kSuffix, locked, so that others see that its writer lives;
/// unless publish() succeeds, the destructor removes it.
class PublishedFile {
 public:
  static constexpr const char* kSuffix = ".tmp";

  /// Reserves room for `bytes`. kResourceExhausted, kInternal; errors name the file.
  static Result<PublishedFile> create(std::filesystem::path path, int64_t bytes);

  PublishedFile(PublishedFile&& other) noexcept;
  PublishedFile& operator=(PublishedFile&&) = delete;
  ~PublishedFile();

  int descriptor() const noexcept { return descriptor_; }
  /// Replaces what has the name.
  Status publish();

  /// Removes a file, published or temporary, unless somebody holds a lock on it: its writer, or a
  /// reader that does not want to lose it. False: it is still there.
  static bool remove_unlocked(const std::filesystem::path& path);

 private:
  PublishedFile(std::filesystem::path path, std::filesystem::path temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace lyre
