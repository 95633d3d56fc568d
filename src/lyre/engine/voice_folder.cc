#include "lyre/engine/voice_folder.h"

#include <system_error>

#include "lyre/base/quote.h"

namespace lyre {

bool is_voice_folder(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::is_directory(folder / "lm", ignored) &&
         std::filesystem::is_directory(folder / "codec", ignored);
}

Result<EngineConfig> voice_config(const std::filesystem::path& folder) {
  if (!is_voice_folder(folder)) {
    return Error{ErrorCode::kNotFound,
                 "expected a folder with lm/ (the language model) and "
                 "codec/ (SNAC) in it, found " +
                     quote(folder.string())};
  }
  EngineConfig config;
  config.model = folder / "lm";
  config.codec = folder / "codec";
  return config;
}

}  // namespace lyre
