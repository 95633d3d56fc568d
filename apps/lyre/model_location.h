#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "lyre/base/result.h"
#include "lyre/settings.h"

namespace lyre::command {

/// Turns what was given (--voice-dir, --model, --codec, or nothing) into the two folders of
/// settings.engine. A folder with lm/ and codec/ counts as both. kNotFound says what is missing.
Status locate_models(const std::filesystem::path& executable, Settings& settings);

/// The same for settings.engine.codec alone.
Status locate_codec(const std::filesystem::path& executable, Settings& settings);

/// The demo voice beside a build or an installation: voices/demo or share/lyre/voices/demo in a
/// folder above the executable.
std::optional<std::filesystem::path> find_demo_voice(const std::filesystem::path& executable);

/// Path of this program.
std::filesystem::path own_executable();

}  // namespace lyre::command
