#include "lyre/code_text.h"

#include <charconv>

#include "lyre/base/quote.h"

namespace lyre::command {
namespace {

/// Reads one frame; false if the line is not seven codes of the codebook.
bool parse_frame(std::string_view line, int codebook_size, FrameCodes& frame) {
  for (int32_t& code : frame) {
    const size_t start = line.find_first_not_of(" \t");
    if (start == line.npos) return false;
    line.remove_prefix(start);
    const auto [end, failure] = std::from_chars(line.data(), line.data() + line.size(), code);
    if (failure != std::errc() || code < 0 || code >= codebook_size) return false;
    line.remove_prefix(static_cast<size_t>(end - line.data()));
    if (!line.empty() && line.front() != ' ' && line.front() != '\t') return false;
  }
  return line.find_first_not_of(" \t") == line.npos;
}

}  // namespace

std::string format_codes(std::span<const FrameCodes> frames) {
  std::string text;
  for (const FrameCodes& frame : frames) {
    for (size_t i = 0; i < frame.size(); ++i) {
      text += std::to_string(frame[i]) + (i + 1 < frame.size() ? ' ' : '\n');
    }
  }
  return text;
}

Result<std::vector<FrameCodes>> parse_codes(std::string_view text, int codebook_size,
                                            const std::string& name) {
  std::vector<FrameCodes> frames;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == line.npos || line.starts_with('#')) continue;
    if (!parse_frame(line, codebook_size, frames.emplace_back())) {
      return Error{ErrorCode::kInvalidArgument,
                   name + ":" + std::to_string(number) + ": expected seven codes from 0 to " +
                       std::to_string(codebook_size - 1) + ", found " + quote(line, 60)};
    }
  }
  return frames;
}

}  // namespace lyre::command
