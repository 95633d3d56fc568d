#pragma once

#include <span>
#include <string_view>

namespace lyre::embedded {

/// A data file compiled into the program by `lyre_embed` (cmake/EmbedData.cmake).
struct EmbeddedFile {
  std::string_view name;      // file name without folder
  std::string_view contents;  // the bytes, as they lie in the repository
};

/// Prompt families, `src/lyre/text/families/*.json`.
std::span<const EmbeddedFile> families();

/// `src/lyre/server/openapi.json`.
std::span<const EmbeddedFile> api_description();

}  // namespace lyre::embedded
