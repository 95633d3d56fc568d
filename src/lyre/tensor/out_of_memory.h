#pragma once

#include <filesystem>
#include <new>

#include "lyre/base/result.h"

namespace lyre {

/// Calls `open` (which returns a Result) and makes a failed allocation an error of that file: a
/// reader meets sizes that it did not choose, and no exception may leave the library.
template <class Open>
auto catch_out_of_memory(const std::filesystem::path& file, Open open) -> decltype(open()) {
  try {
    return open();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kResourceExhausted, file.string() + ": not enough memory to read it"};
  }
}

}  // namespace lyre
