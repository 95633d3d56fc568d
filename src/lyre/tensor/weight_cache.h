#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/thread_pool.h"
#include "lyre/tensor/content_hash.h"
#include "lyre/tensor/safetensors_writer.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {

/// A folder of weights in the form in which the kernels read them, so that a start need not convert
/// them again; see docs/weight-cache.md. Each is a .safetensors file named after its key, with a
/// checksum of every part. Several processes may share the folder: a file is written under another
/// name first, and one of them wins. Nothing here is ever needed: whatever goes wrong, the caller
/// converts. A value; any thread.
class WeightCache {
 public:
  using Metadata = std::map<std::string, std::string, std::less<>>;

  /// Raised whenever what is stored changes its meaning: older files are then found no more.
  static constexpr int kFormatVersion = 1;

  /// Created when something is stored. Empty: nothing is kept.
  explicit WeightCache(std::filesystem::path folder = {}) : folder_(std::move(folder)) {}

  bool enabled() const noexcept { return !folder_.empty(); }

  /// Names what is made of the tensors of `sources` in the way that `form` says: the kind of model,
  /// the number format and, if the layout depends on it, the processor. It depends on the contents
  /// of the files, not on where they lie or when they were written. A file's hash is remembered as
  /// long as the file is not changed, so that only the first start reads all of it.
  ContentHash key(const TensorArchive& sources, std::string_view form, ThreadPool& threads) const;

  /// What was stored under the key, read and found sound; it is used where it lies and is not
  /// cleared away as long as the archive lives. Nothing if there is none. A damaged file is
  /// reported to the log and removed.
  std::optional<TensorArchive> find(const ContentHash& key, ThreadPool& threads) const;

  /// Writes the tensors so that they survive a crash, or not at all. First clears away what nobody
  /// has used for kMostIdleDays and what dead processes have left. Errors name file and problem:
  /// kResourceExhausted (the disk is full, or a limit on files), kInternal.
  Status store(const ContentHash& key, std::span<const NamedTensor> tensors,
               Metadata metadata) const;

  static constexpr int kMostIdleDays = 30;

 private:
  std::filesystem::path file_of(const ContentHash& key) const;
  Result<TensorArchive> open_checked(const std::filesystem::path& path, const ContentHash& key,
                                     ThreadPool& threads) const;

  std::filesystem::path folder_;
};

/// Stores on a thread of its own, of low priority, while the weights are in use already, and logs
/// how it went. The tensors must live until the thread is joined, which may take as long as the
/// disk.
std::jthread store_in_background(WeightCache cache, ContentHash key,
                                 std::vector<NamedTensor> tensors, WeightCache::Metadata metadata);

}  // namespace lyre
