#include "lyre/tensor/tensor_archive.h"

#include "lyre/base/check.h"

namespace lyre {

const TensorView* TensorArchive::find(std::string_view name) const noexcept {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::filesystem::path TensorArchive::file_of(std::string_view name) const {
  const auto found = file_index_.find(name);
  if (found != file_index_.end()) return files_[found->second].path;
  // Where a missing tensor should have been: the file, or the folder of the shards.
  if (files_.empty()) return {};
  return files_.size() == 1 ? files_.front().path : files_.front().path.parent_path();
}

size_t TensorArchive::file_index(std::string_view name) const {
  const auto found = file_index_.find(name);
  LYRE_CHECK(found != file_index_.end());
  return found->second;
}

int64_t TensorArchive::size_bytes() const noexcept {
  int64_t bytes = 0;
  for (const auto& [name, view] : tensors_) bytes += view.size_bytes();
  return bytes;
}

}  // namespace lyre
