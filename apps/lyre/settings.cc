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
