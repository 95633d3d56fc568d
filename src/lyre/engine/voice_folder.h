#pragma once

#include <filesystem>

#include "lyre/base/api.h"
#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre {

/// Whether the folder has lm/ (the language model) and codec/ (SNAC) in it, as the demo voice has.
LYRE_API bool is_voice_folder(const std::filesystem::path& folder);

/// The configuration for such a folder, everything else as by default. kNotFound says what is
/// missing.
LYRE_API Result<EngineConfig> voice_config(const std::filesystem::path& folder);

}  // namespace lyre
