#include "lyre/subcommand.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "lyre/backend_defaults.h"
#include "lyre/exit_code.h"
#include "lyre/model_location.h"

namespace lyre::command {
namespace {

const char* group_title(SettingGroup group) {
  switch (group) {
    case SettingGroup::kModel:
      return "Model";
    case SettingGroup::kSampling:
      return "Sampling";
    case SettingGroup::kServer:
      return "Server";
    case SettingGroup::kWarmup:
      return "Warm-up";
    case SettingGroup::kProfiling:
      return "Profiling";
    case SettingGroup::kLog:
      return "Log";
  }
  return "";
}

void add_setting(CLI::App& app, CommandLine& line, const Setting& setting) {
  const auto store = [&line, &setting](const std::string& value) {
    line.flags[setting.key] = {value, setting.flag};
  };
  CLI::Option* option = nullptr;
  if (setting.kind == SettingKind::kSwitch) {
    // "--flag" and "--flag=false"; a flag never takes the next word, which may be the text.
    option = app.add_flag(setting.flag)->description(setting.help)->each(store);
  } else {
    option = app.add_option_function<std::string>(setting.flag, store, setting.help)
                 ->type_name(setting.value_name);
  }
  option->group(group_title(setting.group));
}

void add_config(CLI::App& app, CommandLine& line) {
  app.add_option("--config", line.config_file,
                 "TOML file of settings (or LYRE_CONFIG); flags and environment win over it")
      ->type_name("FILE");
}

}  // namespace

void add_settings(CLI::App& app, CommandLine& line, std::initializer_list<SettingGroup> groups) {
  for (const SettingGroup group : groups) {
    for (const Setting& setting : settings_table()) {
      if (setting.group == group) add_setting(app, line, setting);
    }
  }
  add_config(app, line);
}

void add_settings(CLI::App& app, CommandLine& line, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    for (const Setting& setting : settings_table()) {
      if (setting.key == key) add_setting(app, line, setting);
    }
  }
  add_config(app, line);
}

Result<Settings> load_settings(const CommandLine& line, Settings defaults) {
  const auto environment = [](const char* name) { return std::getenv(name); };
  std::string file = line.config_file;
  if (const char* named = environment("LYRE_CONFIG"); file.empty() && named != nullptr) {
    file = named;
  }
  GivenValues from_file;
  if (!file.empty()) {
    LYRE_ASSIGN_OR_RETURN(from_file, read_settings_file(file));
  }
  defaults.engine.cache_folder = default_cache_folder(environment);
  defaults.engine.backend = BackendChoice::kAuto;
  LYRE_ASSIGN_OR_RETURN(Settings settings,
                        resolve_settings(line.flags, read_settings_environment(environment),
                                         from_file, std::move(defaults)));
  configure_logging(settings.log);
  return settings;
}

std::optional<Settings> load_model_settings(const CommandLine& line, Settings defaults,
                                            int& exit_code) {
  Result<Settings> settings = load_settings(line, std::move(defaults));
  if (!settings) {
    print_error(settings.error().message);
    exit_code = kExitUsage;
    return std::nullopt;
  }
  if (const Status located = locate_models(own_executable(), *settings); !located) {
    print_error(located.error().message);
    exit_code = kExitModel;
    return std::nullopt;
  }
  apply_backend_defaults(*settings);
  return *std::move(settings);
}

void print_error(const std::string& message) {
  std::fprintf(stderr, "lyre: %s\n", message.c_str());
}

int model_exit_code(const Error& error) {
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitModel;
}

}  // namespace lyre::command
