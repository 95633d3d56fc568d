#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"

namespace lyre {

/// What stands between the prefix and the suffix of a prompt, as a list of parts.
struct TemplatePart {
  enum class Kind : uint8_t { kLiteral, kVoice, kText, kDescription };
  Kind kind;
  std::string literal;  // of kLiteral
};

/// Reads "{voice}: {text}": names in braces are filled in, "{{" and "}}" are braces. The text
/// occurs exactly once. kInvalidArgument with the offset.
Result<std::vector<TemplatePart>> parse_prompt_template(std::string_view text_template);

}  // namespace lyre
