#include "lyre/model_location.h"

#include <string>
#include <system_error>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/engine/voice_folder.h"

namespace lyre::command {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

Error missing(std::string message) { return {ErrorCode::kNotFound, std::move(message)}; }

Error no_demo_voice(const fs::path& executable) {
  return missing(
      "the demo voice (voices/demo, or share/lyre/voices/demo of an installation) is not "
      "above " +
      quote(executable.string()) + "; name a model with --model DIR --codec DIR");
}

/// Fills in what was not given by name.
void take_voice_folder(const fs::path& folder, EngineConfig& engine) {
  if (engine.model.empty()) engine.model = folder / "lm";
  if (engine.codec.empty()) engine.codec = folder / "codec";
}

}  // namespace

std::optional<fs::path> find_demo_voice(const fs::path& executable) {
  for (fs::path folder = executable.parent_path();; folder = folder.parent_path()) {
    for (const char* place : {"voices/demo", "share/lyre/voices/demo"}) {
      if (is_voice_folder(folder / place)) return folder / place;
    }
    if (!folder.has_relative_path()) return std::nullopt;
  }
}

fs::path own_executable() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored);
}

Status locate_models(const fs::path& executable, Settings& settings) {
  EngineConfig& engine = settings.engine;
  if (is_voice_folder(engine.model)) {
    const fs::path folder = std::exchange(engine.model, {});
    take_voice_folder(folder, engine);
    return ok_status();
  }
  if (!settings.voice_dir.empty()) {
    if (!is_voice_folder(settings.voice_dir)) {
      return missing("--voice-dir " + quote(settings.voice_dir.string()) +
                     " must be a folder with lm/ (the language model) and codec/ (SNAC) in it");
    }
    take_voice_folder(settings.voice_dir, engine);
    return ok_status();
  }
  if (engine.model.empty() && engine.codec.empty()) {
    const auto demo = find_demo_voice(executable);
    if (!demo) return no_demo_voice(executable);
    take_voice_folder(*demo, engine);
    return ok_status();
  }
  if (engine.model.empty()) {
    return missing("--codec was given without a language model; add --model DIR");
  }
  if (engine.codec.empty()) {
    return missing(is_folder(engine.model)
                       ? "--model " + quote(engine.model.string()) +
                             " holds no codec/ beside lm/; add --codec DIR, the SNAC folder"
                       : "--model " + quote(engine.model.string()) + " is not a folder");
  }
  return ok_status();
}

Status locate_codec(const fs::path& executable, Settings& settings) {
  fs::path& codec = settings.engine.codec;
  if (codec.empty() && settings.voice_dir.empty()) {
    const auto demo = find_demo_voice(executable);
    if (!demo) return no_demo_voice(executable);
    codec = *demo;
  } else if (codec.empty()) {
    codec = settings.voice_dir;
  }
  if (is_voice_folder(codec)) codec /= "codec";
  return ok_status();
}

}  // namespace lyre::command
