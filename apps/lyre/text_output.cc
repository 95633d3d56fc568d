#include "lyre/text_output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace lyre::command {

Status write_text(const std::string& file, std::string_view text) {
  const bool to_stdout = file == "-";
  std::FILE* const stream = to_stdout ? stdout : std::fopen(file.c_str(), "wb");
  if (stream == nullptr) {
    return Error{ErrorCode::kInternal, file + ": cannot be written: " + std::strerror(errno)};
  }
  bool written = std::fwrite(text.data(), 1, text.size(), stream) == text.size();
  int failure = errno;
  // Only this tells whether everything reached the file.
  if ((to_stdout ? std::fflush(stream) : std::fclose(stream)) != 0) {
    if (written) failure = errno;
    written = false;
  }
  if (written) return ok_status();
  return Error{ErrorCode::kInternal, (to_stdout ? "standard output" : file) +
                                         std::string(": cannot be written: ") +
                                         std::strerror(failure)};
}

}  // namespace lyre::command
