#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "lyre/base/log.h"
#include "lyre/base/result.h"
#include "lyre/engine/engine.h"
#include "lyre/server/server_config.h"

namespace lyre::command {

/// Everything that can be set from outside, for all subcommands.
struct Settings {
  std::filesystem::path voice_dir;  // folder with lm/ and codec/
  EngineConfig engine;              // model and codec as given, see locate_models
  bool max_batch_chosen = false;    // by the user or the command, see apply_backend_defaults
  server::ServerConfig server;
  std::filesystem::path api_keys_file;    // empty: no request needs a key
  std::optional<int> default_max_tokens;  // of requests that name none
  int stop_seconds = 30;                  // given to running streams when the server is stopped
  bool warmup = true;                     // when the server starts
  bool profiling = false;
  std::string start_timeline;  // "text" or a file; empty: none
  LogSettings log;
};

enum class SettingGroup : uint8_t { kModel, kSampling, kServer, kWarmup, kProfiling, kLog };
enum class SettingKind : uint8_t {
  kValue,
  kPath,
  kPathOrNone,
  kSwitch,
  kPairs,  // in the file also a table of strings
};

/// One row of the table that flags, environment, file and documentation come from.
struct Setting {
  const char* key;          // in the TOML file, "server.port"
  const char* flag;         // "--port"
  const char* environment;  // "LYRE_PORT"
  const char* alias;        // a second name in the environment; null: none
  const char* value_name;   // "N", in the help; empty for a switch
  const char* help;
  SettingGroup group;
  SettingKind kind;
  /// Reads the value into the settings; the error says what was expected and found.
  Status (*apply)(Settings& settings, const std::string& value);
};

std::span<const Setting> settings_table();

/// The word for no folder, where one may be switched off.
inline constexpr const char* kNone = "none";

/// A value and where it was given, for error messages: "--port", "LYRE_PORT", "lyre.toml:3".
struct GivenValue {
  std::string value;
  std::string origin;
};
using GivenValues = std::map<std::string, GivenValue>;  // by Setting::key

/// Reads a TOML file. Unknown keys are errors that name the line; paths are relative to the file.
Result<GivenValues> read_settings_file(const std::filesystem::path& file);

/// Values of the environment; a variable that is empty counts as not set.
using Environment = std::function<const char*(const char* name)>;
GivenValues read_settings_environment(const Environment& environment);

/// Where converted weights are kept unless a setting says else: lyre in $XDG_CACHE_HOME, or in
/// .cache of $HOME; empty, which is nowhere, if neither is an absolute path.
std::filesystem::path default_cache_folder(const Environment& environment);

/// Flags over environment over file over the defaults.
Result<Settings> resolve_settings(const GivenValues& flags, const GivenValues& environment,
                                  const GivenValues& file, Settings defaults = {});

}  // namespace lyre::command
