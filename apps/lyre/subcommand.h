#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "lyre/settings.h"

namespace lyre::command {

/// What a subcommand gathers from its flags before it runs: settings from the table, and --config.
struct CommandLine {
  GivenValues flags;
  std::string config_file;  // --config
};

/// Adds the flags of the groups, and --config.
void add_settings(CLI::App& app, CommandLine& line, std::initializer_list<SettingGroup> groups);
/// Adds the flags of single settings, by key, and --config.
void add_settings(CLI::App& app, CommandLine& line, std::initializer_list<std::string_view> keys);

/// Flags over environment over file over defaults; configures the log. Errors go to standard error.
Result<Settings> load_settings(const CommandLine& line, Settings defaults = {});

/// The same, with the folders of the models found. Nothing after an error: it was printed, and
/// `exit_code` is its code.
std::optional<Settings> load_model_settings(const CommandLine& line, Settings defaults,
                                            int& exit_code);

/// "lyre: message" on standard error.
void print_error(const std::string& message);

/// The exit code for an engine or model that did not open.
int model_exit_code(const Error& error);

// One function a subcommand: declares flags and help, and what to run. `exit_code` gets the result.
void add_say(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_warmup_demo(CLI::App& app, int& exit_code);
void add_profile(CLI::App& app, int& exit_code);
void add_inspect(CLI::App& app, int& exit_code);
void add_codec(CLI::App& app, int& exit_code);

}  // namespace lyre::command
