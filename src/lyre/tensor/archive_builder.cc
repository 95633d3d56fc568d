#include "lyre/tensor/archive_builder.h"

#include <cstring>
#include <utility>

#include "lyre/base/quote.h"

namespace lyre {

std::shared_ptr<std::byte[]> allocate_tensor_data(int64_t bytes) {
  // operator new aligns to 16 bytes, twice the largest element.
  return std::make_shared<std::byte[]>(static_cast<size_t>(bytes));
}

size_t TensorArchiveBuilder::add_file(const std::filesystem::path& file,
                                      std::shared_ptr<const MappedFile> mapping) {
  archive_.files_.push_back({file, std::move(mapping)});
  return archive_.files_.size() - 1;
}

void TensorArchiveBuilder::keep(std::shared_ptr<const void> owner) {
  archive_.owners_.push_back(std::move(owner));
}

Status TensorArchiveBuilder::add(std::string name, TensorView view, size_t file) {
  if (archive_.tensors_.contains(name)) {
    return Error{ErrorCode::kDataCorrupt, archive_.files_[file].path.string() + ": tensor " +
                                              quote(name) + ": expected once, found a second time"};
  }
  static constexpr std::max_align_t kNothing{};
  const int64_t bytes = view.size_bytes();
  if (bytes == 0) {
    view.data = &kNothing;
  } else if (reinterpret_cast<uintptr_t>(view.data) %
                 static_cast<uintptr_t>(dtype_size_bytes(view.dtype)) !=
             0) {
    auto copy = allocate_tensor_data(bytes);
    std::memcpy(copy.get(), view.data, static_cast<size_t>(bytes));
    view.data = copy.get();
    keep(std::move(copy));
  }
  archive_.file_index_.emplace(name, file);
  archive_.tensors_.emplace(std::move(name), view);
  return ok_status();
}

void TensorArchiveBuilder::add_metadata(std::string key, std::string value) {
  archive_.metadata_.emplace(std::move(key), std::move(value));
}

}  // namespace lyre
