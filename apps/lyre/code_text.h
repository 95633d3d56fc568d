#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/codec_tool.h"

namespace lyre::command {

/// Codes as text: a frame a line, seven numbers in the order in which the language model writes
/// them; empty lines and lines that start with '#' say nothing.
std::string format_codes(std::span<const FrameCodes> frames);

/// kInvalidArgument tells the line. `name` stands in the message.
Result<std::vector<FrameCodes>> parse_codes(std::string_view text, int codebook_size,
                                            const std::string& name);

}  // namespace lyre::command
