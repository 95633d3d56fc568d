#pragma once

#include <string>
#include <vector>

#include "lyre/base/result.h"

namespace lyre::command {

/// Where `say` takes its text from.
struct TextSource {
  std::vector<std::string> words;  // of the command line; a single "-" is standard input
  std::string file;                // --file; "-" is standard input
};

/// The words joined by blanks, the file, or standard input if nothing was given and it is not a
/// terminal. kInvalidArgument if nothing or two things were given, if a file cannot be read, or if
/// it is not UTF-8 (with the offset).
Result<std::string> read_text(const TextSource& source);

}  // namespace lyre::command
