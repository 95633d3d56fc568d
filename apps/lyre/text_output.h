#pragma once

#include <string>
#include <string_view>

#include "lyre/base/result.h"

namespace lyre::command {

/// Writes a whole file; "-" is standard output. The error names the file.
Status write_text(const std::string& file, std::string_view text);

}  // namespace lyre::command
