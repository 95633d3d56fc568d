#pragma once

#include <string>
#include <string_view>

#include "lyre/base/result.h"
#include "lyre/text/prompt_family.h"

namespace lyre {

/// The JSON of family files and voice files (formats in docs/voices.md). Keys that they do not know
/// are errors, so that a typing error is not a silent default; the key "//" is a comment.
/// kDataCorrupt naming file and key.
Result<PromptFamily> parse_family_file(std::string_view json, const std::string& name);
Result<VoiceFile> parse_voice_file(std::string_view json, const std::string& name);

}  // namespace lyre
