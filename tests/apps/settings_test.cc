#include "lyre/settings.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "apps/read_file.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace lyre::command {
namespace {

using lyre::test::TempFolder;

Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

Result<Settings> from_flags(std::map<std::string, std::string> values) {
  GivenValues flags;
  for (const auto& [key, value] : values) flags[key] = {value, "--" + key};
  return resolve_settings(flags, {}, {});
}

std::string error_of(const Result<Settings>& result) {
  return result ? "no error" : result.error().message;
}

std::string file_error(const std::string& text) {
  const TempFolder folder;
  const auto given = read_settings_file(folder.write("lyre.toml", text));
  if (!given) return given.error().message;
  return error_of(resolve_settings({}, {}, *given));
}

TEST(Settings, FlagsWinOverEnvironmentOverFileOverDefaults) {
  const TempFolder folder;
  const auto file = read_settings_file(
      folder.write("lyre.toml", "threads = 1\nmax_batch = 1\nmax_queue = 1\n[server]\nport = 1\n"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const GivenValues variables = read_settings_environment(
      environment({{"LYRE_THREADS", "2"}, {"LYRE_MAX_BATCH", "2"}, {"LYRE_PORT", "2"}}));
  const GivenValues flags = {{"threads", {"3", "--threads"}}, {"server.port", {"3", "--port"}}};
  const auto settings = resolve_settings(flags, variables, *file);
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->engine.threads, 3);
  EXPECT_EQ(settings->server.port, 3);
  EXPECT_EQ(settings->engine.max_batch, 2);
  EXPECT_EQ(settings->engine.max_queue, 1);
  EXPECT_EQ(settings->engine.max_sequence_tokens, EngineConfig().max_sequence_tokens);
}

TEST(Settings, CacheFolderIsInTheUsersCacheOrNowhere) {
  EXPECT_EQ(default_cache_folder(environment({{"XDG_CACHE_HOME", "/c"}, {"HOME", "/h"}})),
            "/c/lyre");
  EXPECT_EQ(default_cache_folder(environment({{"XDG_CACHE_HOME", ""}, {"HOME", "/h"}})),
            "/h/.cache/lyre");
  EXPECT_EQ(default_cache_folder(environment({{"XDG_CACHE_HOME", "c"}, {"HOME", "h"}})), "");
  EXPECT_EQ(default_cache_folder(environment({})), "");
}

TEST(Settings, CacheFolderCanBeSwitchedOff) {
  Settings defaults;
  defaults.engine.cache_folder = "/default";
  EXPECT_EQ(resolve_settings({}, {}, {}, defaults)->engine.cache_folder, "/default");
  for (const char* off : {"none", ""}) {
    const GivenValues flags = {{"cache_dir", {off, "--cache-dir"}}};
    EXPECT_EQ(resolve_settings(flags, {}, {}, defaults)->engine.cache_folder, "");
    const TempFolder folder;
    const auto file =
        read_settings_file(folder.write("lyre.toml", std::string("cache_dir = \"") + off + "\"\n"));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(resolve_settings({}, {}, *file, defaults)->engine.cache_folder, "");
  }
  const TempFolder folder;
  const auto file = read_settings_file(folder.write("lyre.toml", "cache_dir = \"kept\"\n"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(resolve_settings({}, {}, *file, defaults)->engine.cache_folder, folder.path() / "kept");
}

TEST(Settings, ALayerThatLosesIsNotEvenRead) {
  const GivenValues flags = {{"threads", {"3", "--threads"}}};
  const GivenValues variables = {{"threads", {"many", "LYRE_THREADS"}}};
  EXPECT_TRUE(resolve_settings(flags, variables, {}).ok());
}

TEST(Settings, ErrorsNameWhereTheValueWasGiven) {
  EXPECT_EQ(error_of(from_flags({{"threads", "many"}})),
            "--threads: expected an integer from 0 to 1024, found 'many'");
  const auto variables = read_settings_environment(environment({{"LYRE_WEIGHTS", "int4"}}));
  EXPECT_EQ(error_of(resolve_settings({}, variables, {})),
            "LYRE_WEIGHTS: expected stored, int8 or fp8, found 'int4'");
  const std::string message = file_error("\n\n[server]\nport = 70000\n");
  EXPECT_NE(message.find("lyre.toml:4: server.port: expected an integer from 0 to 65535"),
            message.npos)
      << message;
}

TEST(Settings, NamesOfOtherServersAndOfTheLogAreTaken) {
  const GivenValues given = read_settings_environment(
      environment({{"AVAILABLE_VOICES", "zoe, zac,,leah"}, {"LOG_LEVEL", "debug"}}));
  const auto settings = resolve_settings({}, given, {});
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->engine.voices, (std::vector<std::string>{"zoe", "zac", "leah"}));
  EXPECT_EQ(settings->log.level, LogLevel::kDebug);
  const GivenValues both =
      read_settings_environment(environment({{"AVAILABLE_VOICES", "zoe"}, {"LYRE_VOICES", "ada"}}));
  EXPECT_EQ(both.at("voices").value, "ada");
}

TEST(Settings, AnEmptyVariableIsNotSet) {
  EXPECT_TRUE(read_settings_environment(environment({{"LYRE_PORT", ""}})).empty());
}

TEST(Settings, EveryValueArrives) {
  const auto settings = from_flags({{"voice_dir", "v"},
                                    {"model", "m"},
                                    {"codec", "c"},
                                    {"family", "maya1"},
                                    {"voices_file", "f.json"},
                                    {"backend", "reference"},
                                    {"device", "3"},
                                    {"weights", "int8"},
                                    {"kv", "fp8"},
                                    {"kv_tokens", "5000000000"},
                                    {"max_sequence_tokens", "100"},
                                    {"max_text_bytes", "200"},
                                    {"fast_start", "true"},
                                    {"sampling.seed", "18446744073709551615"},
                                    {"sampling.temperature", "0.5"},
                                    {"sampling.top_p", "0.25"},
                                    {"sampling.top_k", "7"},
                                    {"sampling.min_p", "0.125"},
                                    {"sampling.repetition_penalty", "1.5"},
                                    {"sampling.legal_slots", "false"},
                                    {"server.host", "::1"},
                                    {"server.io_threads", "4"},
                                    {"server.max_connections", "5"},
                                    {"server.stop_seconds", "6"},
                                    {"log.level", "error"},
                                    {"log.format", "json"}});
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->voice_dir, "v");
  EXPECT_EQ(settings->engine.model, "m");
  EXPECT_EQ(settings->engine.codec, "c");
  EXPECT_EQ(settings->engine.family, "maya1");
  EXPECT_EQ(settings->engine.voices_file, "f.json");
  EXPECT_EQ(settings->engine.backend, BackendChoice::kReference);
  EXPECT_EQ(settings->engine.device, 3);
  EXPECT_EQ(settings->engine.weights, WeightChoice::kInt8);
  EXPECT_EQ(settings->engine.kv, KvChoice::kFp8);
  EXPECT_EQ(settings->engine.kv_tokens, 5'000'000'000);
  EXPECT_EQ(settings->engine.max_sequence_tokens, 100);
  EXPECT_EQ(settings->engine.max_text_bytes, 200);
  EXPECT_TRUE(settings->engine.fast_start);
  const SamplingOverrides& sampling = settings->engine.sampling;
  EXPECT_EQ(sampling.seed, UINT64_MAX);
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.25f);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.min_p, 0.125f);
  EXPECT_EQ(sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(sampling.legal_slots, false);
  EXPECT_EQ(settings->server.host, "::1");
  EXPECT_EQ(settings->server.io_threads, 4);
  EXPECT_EQ(settings->server.max_connections, 5);
  EXPECT_EQ(settings->stop_seconds, 6);
  EXPECT_EQ(settings->log.level, LogLevel::kError);
  EXPECT_EQ(settings->log.format, LogFormat::kJson);
}

TEST(Settings, EveryNameOfBackendsAndFormatsIsKnown) {
  const std::pair<const char*, BackendChoice> backends[] = {
      {"auto", BackendChoice::kAuto},
      {"cpu", BackendChoice::kCpu},
      {"cuda", BackendChoice::kCuda},
      {"reference", BackendChoice::kReference}};
  for (const auto& [name, backend] : backends) {
    const auto settings = from_flags({{"backend", name}});
    ASSERT_TRUE(settings.ok()) << name;
    EXPECT_EQ(settings->engine.backend, backend) << name;
  }
  const std::pair<const char*, WeightChoice> weights[] = {{"stored", WeightChoice::kAsStored},
                                                          {"as-stored", WeightChoice::kAsStored},
                                                          {"int8", WeightChoice::kInt8},
                                                          {"fp8", WeightChoice::kFp8}};
  for (const auto& [name, format] : weights) {
    const auto settings = from_flags({{"weights", name}});
    ASSERT_TRUE(settings.ok()) << name;
    EXPECT_EQ(settings->engine.weights, format) << name;
  }
  EXPECT_EQ(from_flags({{"kv", "default"}})->engine.kv, KvChoice::kDefault);
  EXPECT_EQ(error_of(from_flags({{"backend", "gpu"}})),
            "--backend: expected auto, cpu, cuda or reference, found 'gpu'");
  EXPECT_EQ(error_of(from_flags({{"kv", "int8"}})), "--kv: expected default or fp8, found 'int8'");
  EXPECT_EQ(error_of(from_flags({{"device", "-1"}})),
            "--device: expected an integer from 0 to 1023, found '-1'");
}

TEST(Settings, TheWarmUpsArrive) {
  const Settings defaults;
  EXPECT_TRUE(defaults.warmup);
  EXPECT_FALSE(defaults.engine.snac_warmup.has_value());  // the engine looks by itself
  const auto settings = from_flags({{"warmup", "Off"},
                                    {"snac_warmup", "NO"},
                                    {"ready_when", "loaded"},
                                    {"early_requests", "refuse"},
                                    {"early_wait_seconds", "7"},
                                    {"keep_warm", "5m"},
                                    {"warmup_faults", "lm.*=error"}});
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_FALSE(settings->warmup);
  EXPECT_EQ(settings->engine.snac_warmup, false);
  EXPECT_EQ(settings->server.ready_when, server::ReadyWhen::kLoaded);
  EXPECT_EQ(settings->server.early_requests, server::EarlyRequests::kRefuse);
  EXPECT_EQ(settings->server.early_wait, std::chrono::seconds(7));
  EXPECT_EQ(settings->engine.keep_warm_seconds, 300);
  EXPECT_EQ(settings->engine.warmup_faults, "lm.*=error");
}

TEST(Settings, KeepWarmTakesUnits) {
  const std::pair<const char*, double> good[] = {{"30", 30},  {"30s", 30},    {"0.5", 0.5},
                                                 {"5m", 300}, {"250ms", .25}, {"off", 0},
                                                 {"0", 0},    {"0ms", 0},     {"86400", 86'400}};
  for (const auto& [text, seconds] : good) {
    const auto settings = from_flags({{"keep_warm", text}});
    ASSERT_TRUE(settings.ok()) << text << ": " << settings.error().message;
    EXPECT_DOUBLE_EQ(settings->engine.keep_warm_seconds, seconds) << text;
  }
  for (const char* text :
       {"", "s", "-1", "1h", "30 s", "nan", "inf", "infs", "86401", "2000m", "on"}) {
    EXPECT_NE(error_of(from_flags({{"keep_warm", text}})).find("keep_warm: expected seconds"),
              std::string::npos)
        << text;
  }
}

TEST(Settings, TheNameOfTheSystemThatLyreReplacesIsTaken) {
  for (const auto& [value, on] : std::map<std::string, bool>{{"true", true},
                                                             {"FALSE", false},
                                                             {"1", true},
                                                             {"0", false},
                                                             {"Yes", true},
                                                             {"no", false}}) {
    const auto given = read_settings_environment(environment({{"ENABLE_SNAC_WARMUP", value}}));
    const auto settings = resolve_settings({}, given, {});
    ASSERT_TRUE(settings.ok()) << value;
    EXPECT_EQ(settings->engine.snac_warmup, on) << value;
  }
  const auto given = read_settings_environment(environment({{"ENABLE_SNAC_WARMUP", "maybe"}}));
  const std::string message = error_of(resolve_settings({}, given, {}));
  EXPECT_TRUE(message.starts_with("ENABLE_SNAC_WARMUP: expected ")) << message;
  EXPECT_NE(message.find("'maybe'"), message.npos) << message;
}

TEST(Settings, WhatIsNoValueIsAnError) {
  const std::pair<const char*, const char*> cases[] = {{"threads", ""},
                                                       {"threads", "1.5"},
                                                       {"threads", "-1"},
                                                       {"threads", "0x10"},
                                                       {"threads", " 1"},
                                                       {"threads", "99999999999999999999"},
                                                       {"max_batch", "0"},
                                                       {"server.port", "65536"},
                                                       {"sampling.seed", "-1"},
                                                       {"sampling.temperature", "warm"},
                                                       {"sampling.temperature", "0.5x"},
                                                       {"sampling.temperature", "nan"},
                                                       {"sampling.top_p", "inf"},
                                                       {"fast_start", "perhaps"},
                                                       {"backend", "gpu"},
                                                       {"log.level", "loud"},
                                                       {"log.format", "xml"},
                                                       {"weights", "INT8"}};
  for (const auto& [key, value] : cases) {
    EXPECT_FALSE(from_flags({{key, value}}).ok()) << key << " = " << value;
  }
}

TEST(SettingsFile, ReadsEveryType) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.path() / "sub");
  const auto file = folder.write("sub/lyre.toml",
                                 "model = \"my model\"\n"
                                 "codec = \"/absolute\"\n"
                                 "family = \"maya1\"\n"
                                 "voices = [\"ada\", \"max\"]\n"
                                 "fast_start = true\n"
                                 "[sampling]\n"
                                 "temperature = 0.1\n"
                                 "top_p = 1\n"
                                 "[server]\n"
                                 "host = \"0.0.0.0\"\n");
  const auto given = read_settings_file(file);
  ASSERT_TRUE(given.ok()) << given.error().message;
  const auto settings = resolve_settings({}, {}, *given);
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->engine.model, folder.path() / "sub/my model");  // relative to the file
  EXPECT_EQ(settings->engine.codec, "/absolute");
  EXPECT_EQ(settings->engine.family, "maya1");
  EXPECT_EQ(settings->engine.voices, (std::vector<std::string>{"ada", "max"}));
  EXPECT_TRUE(settings->engine.fast_start);
  EXPECT_EQ(settings->engine.sampling.temperature, 0.1f);
  EXPECT_EQ(settings->engine.sampling.top_p, 1.0f);
  EXPECT_EQ(settings->server.host, "0.0.0.0");
}

TEST(SettingsFile, UnknownKeysAreErrorsWithTheLine) {
  EXPECT_NE(file_error("threads = 1\nthraeds = 2\n").find("lyre.toml:2: unknown setting 'thraeds'"),
            std::string::npos);
  EXPECT_NE(file_error("[server]\nprot = 2\n").find("unknown setting 'server.prot'"),
            std::string::npos);
  EXPECT_NE(file_error("[serving]\nport = 2\n").find("unknown setting 'serving'"),
            std::string::npos);
  EXPECT_NE(file_error("port = 2\n").find("unknown setting 'port'"), std::string::npos);
  EXPECT_NE(file_error("server = 2\n").find("unknown setting 'server'"), std::string::npos);
}

TEST(SettingsFile, BrokenTomlTellsTheLine) {
  EXPECT_NE(file_error("threads = 1\nmodel = \n").find("lyre.toml:2"), std::string::npos);
  EXPECT_NE(file_error("a\xff = 1").find("lyre.toml:1"), std::string::npos);
  EXPECT_NE(file_error("model = {x = 1}").find("expected a string"), std::string::npos);
  EXPECT_NE(file_error("voices = [1]").find("list of strings"), std::string::npos);
}

TEST(SettingsFile, OtherNamesForVoicesAreATableOrAFlag) {
  const TempFolder folder;
  const auto table = read_settings_file(
      folder.write("lyre.toml", "[voice_aliases]\nnova = \"max\"\nalloy = \"ada\"\n"));
  ASSERT_TRUE(table.ok()) << table.error().message;
  for (const auto& settings :
       {resolve_settings({}, {}, *table), from_flags({{"voice_aliases", "alloy=ada,nova=max"}})}) {
    ASSERT_TRUE(settings.ok()) << settings.error().message;
    const auto& aliases = settings->server.voice_aliases;
    ASSERT_EQ(aliases.size(), 2u);
    EXPECT_EQ(aliases[0].name + "=" + aliases[0].voice, "alloy=ada");
    EXPECT_EQ(aliases[1].name + "=" + aliases[1].voice, "nova=max");
  }
  EXPECT_NE(
      file_error("[voice_aliases]\nalloy = 1\n").find("voice_aliases.alloy: expected a string"),
      std::string::npos);
  EXPECT_NE(file_error("voice_aliases = \"alloy\"\n").find("NAME=VOICE"), std::string::npos);
}

TEST(Settings, WhoComesInAndHowManyIsSet) {
  const auto settings = from_flags({{"server.max_connections_per_address", "3"},
                                    {"server.queue_wait_seconds", "7"},
                                    {"server.max_queue_per_client", "4"},
                                    {"server.max_tokens", "700"},
                                    {"server.api_keys_file", "keys"},
                                    {"server.metrics_need_key", "true"},
                                    {"server.cors_origins", "https://a.example, https://b.example"},
                                    {"server.trusted_proxies", "10.0.0.0/8,::1"}});
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->server.max_connections_of_an_address, 3);
  EXPECT_EQ(settings->server.queue_wait, std::chrono::seconds(7));
  EXPECT_EQ(settings->server.max_queue_of_a_client, 4);
  EXPECT_EQ(settings->default_max_tokens, 700);
  EXPECT_EQ(settings->api_keys_file, "keys");
  EXPECT_TRUE(settings->server.metrics_need_key);
  EXPECT_EQ(settings->server.cors_origins,
            (std::vector<std::string>{"https://a.example", "https://b.example"}));
  ASSERT_EQ(settings->server.trusted_proxies.size(), 2u);
  EXPECT_TRUE(settings->server.trusted_proxies[0].contains("10.1.1.1"));
  EXPECT_EQ(
      error_of(from_flags({{"server.trusted_proxies", "10.0.0.0/8,proxy"}})),
      "--server.trusted_proxies: expected an address or a range as 10.0.0.0/8, found 'proxy'");
}

TEST(Settings, NamesOfTheOriginalServerAreTaken) {
  const GivenValues given =
      read_settings_environment(environment({{"MODEL_NAME", "m"},
                                             {"TRT_TEMPERATURE", "0.5"},
                                             {"TRT_TOP_P", "0.25"},
                                             {"TRT_MAX_TOKENS", "70"},
                                             {"TRT_REPETITION_PENALTY", "1.5"},
                                             {"TRT_MAX_BATCH_SIZE", "3"},
                                             {"TRT_MAX_SEQ_LEN", "100"}}));
  const auto settings = resolve_settings({}, given, {});
  ASSERT_TRUE(settings.ok()) << settings.error().message;
  EXPECT_EQ(settings->engine.model, "m");
  EXPECT_EQ(settings->engine.sampling.temperature, 0.5f);
  EXPECT_EQ(settings->engine.sampling.top_p, 0.25f);
  EXPECT_EQ(settings->default_max_tokens, 70);
  EXPECT_EQ(settings->engine.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(settings->engine.max_batch, 3);
  EXPECT_EQ(settings->engine.max_sequence_tokens, 100);
}

TEST(SettingsFile, AMissingFileIsNamed) {
  const auto given = read_settings_file("/nowhere/lyre.toml");
  ASSERT_FALSE(given.ok());
  EXPECT_NE(given.error().message.find("/nowhere/lyre.toml"), std::string::npos);
}

TEST(SettingsTable, NamesAreUniqueAndDescribed) {
  std::set<std::string> keys, flags, variables;
  for (const Setting& setting : settings_table()) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    EXPECT_TRUE(flags.insert(setting.flag).second) << setting.flag;
    EXPECT_TRUE(variables.insert(setting.environment).second) << setting.environment;
    EXPECT_NE(std::string(setting.help), "") << setting.key;
    EXPECT_EQ(setting.kind == SettingKind::kSwitch, *setting.value_name == '\0') << setting.key;
  }
}

/// docs/configuration.md lists every setting with its flag and its variable.
TEST(SettingsTable, IsDocumented) {
  const std::string page = read_file(lyre::test::source_dir() / "docs/configuration.md");
  for (const Setting& setting : settings_table()) {
    for (const char* name : {setting.key, setting.flag, setting.environment, setting.alias}) {
      if (name == nullptr) continue;
      EXPECT_NE(page.find("`" + std::string(name) + "`"), std::string::npos) << name;
    }
  }
}

}  // namespace
}  // namespace lyre::command
