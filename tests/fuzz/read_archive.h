#pragma once

#include <cstring>

#include "lyre/base/check.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre::fuzz {

/// What a reader promises of every archive that it opens. Touches each byte of each tensor.
inline void read_archive(const TensorArchive& archive) {
  for (const auto& [name, view] : archive.tensors()) {
    LYRE_CHECK(view.data != nullptr);
    LYRE_CHECK(reinterpret_cast<uintptr_t>(view.data) %
                   static_cast<uintptr_t>(dtype_size_bytes(view.dtype)) ==
               0);
    LYRE_CHECK(checked_size_bytes(view.shape, view.dtype) == view.size_bytes());
    const auto* bytes = view.as<unsigned char>();
    unsigned char mixed = 0;
    for (int64_t k = 0; k < view.size_bytes(); ++k)
      mixed = static_cast<unsigned char>(mixed ^ bytes[k]);
    volatile unsigned char used = mixed;
    (void)used;
    LYRE_CHECK(archive.find(name) == &view);
    LYRE_CHECK(!archive.file_of(name).empty());
  }
}

/// An error names the file and says something.
inline void read_error(const Error& error, const std::filesystem::path& file) {
  LYRE_CHECK(error.code == ErrorCode::kDataCorrupt);
  LYRE_CHECK(error.message.size() > file.string().size() + 4);
  LYRE_CHECK(error.message.compare(0, file.string().size(), file.string()) == 0);
}

}  // namespace lyre::fuzz
