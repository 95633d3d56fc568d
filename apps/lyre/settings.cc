#include "lyre/settings.h"

#include <utility>

namespace lyre::command {

GivenValues read_settings_environment(const Environment& environment) {
  GivenValues given;
  for (const Setting& setting : settings_table()) {
    for (const char* name : {setting.environment, setting.alias}) {
      const char* value = name == nullptr ? nullptr : environment(name);
      if (value == nullptr || *value == '\0') continue;
      given.emplace(setting.key, GivenValue{value, name});  // the first name wins
    }
  }
  return given;
}

std::filesystem::path default_cache_folder(const Environment& environment) {
  // A relative $XDG_CACHE_HOME is invalid: XDG Base Directory Specification.
  const char* const cache = environment("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "lyre";
  const char* const home = environment("HOME");
  if (home != nullptr && *home == '/') return std::filesystem::path(home) / ".cache" / "lyre";
  return {};
}

Result<Settings> resolve_settings(const GivenValues& flags, const GivenValues& environment,
                                  const GivenValues& file, Settings defaults) {
  Settings settings = std::move(defaults);
  for (const Setting& setting : settings_table()) {
    for (const GivenValues* layer : {&flags, &environment, &file}) {
      const auto given = layer->find(setting.key);
      if (given == layer->end()) continue;
      Status applied = setting.apply(settings, given->second.value);
      if (!applied) {
        applied.error().message = given->second.origin + ": " + applied.error().message;
        return std::move(applied).error();
      }
      break;
    }
  }
  return settings;
}

}  // namespace lyre::command
