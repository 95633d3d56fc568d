// lyre profile: where the time of warm requests goes, operation by operation.
#include <boost/json.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lyre/backend_defaults.h"
#include "lyre/base/clock.h"
#include "lyre/base/cpu.h"
#include "lyre/base/trace.h"
#include "lyre/base/trace_event_json.h"
#include "lyre/base/trace_profile.h"
#include "lyre/build_info.h"
#include "lyre/engine/engine.h"
#include "lyre/exit_code.h"
#include "lyre/json_text.h"
#include "lyre/model_location.h"
#include "lyre/own_process.h"
#include "lyre/profile_requests.h"
#include "lyre/spread.h"
#include "lyre/subcommand.h"
#include "lyre/text_output.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

struct ProfileOptions {
  CommandLine line;
  std::vector<std::string> texts, words;
  ProfileLoad load{.runs = 5, .streams = 1};
  std::string json_file, trace_file;
};

struct ProfileReport {
  CpuInfo cpu;
  EngineInfo engine;
  double load_ms = 0;
  WarmupReport warmup;
  std::vector<ProfiledRequest> requests;
  trace::Snapshot recorded;
};

const std::vector<std::string>& default_texts() {
  static const std::vector<std::string> kTexts = {
      "The quick brown fox jumps over the lazy dog.",
      "Please leave the key under the mat before you go home.",
      "There are three rooms upstairs, and a garden behind the house.",
  };
  return kTexts;
}

Result<ProfileReport> measure(const ProfileOptions& options, EngineConfig config) {
  ProfileReport report;
  report.cpu = cpu_info();
  const TimePoint start = Clock::now();
  config.snac_warmup = false;  // a part of the whole warm-up below
  LYRE_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::open(config));
  report.load_ms = milliseconds_since(start);
  report.engine = engine->info();
  report.warmup = engine->warmup_models();
  // A trace file should hold all of it: about four minutes of a small model.
  trace::Options recording;
  if (!options.trace_file.empty()) recording.events_per_thread = 1 << 20;
  trace::start(recording);
  auto requests =
      profile_requests(*engine, options.texts, options.load, config.sampling.seed.has_value());
  trace::stop();
  if (!requests) return requests.error();
  report.requests = *std::move(requests);
  report.recorded = trace::snapshot();
  return report;
}

/// All requests together.
struct Sums {
  int64_t tokens = 0, frames = 0, cut = 0;
  double audio_s = 0;
  Spread first_audio_ms, real_time_factor;
  ChunkSizes chunks;
};

Sums sums_of(const ProfileReport& report) {
  Sums sums;
  std::vector<double> first_audio_ms, real_time_factor;
  for (const ProfiledRequest& request : report.requests) {
    sums.tokens += request.tokens;
    sums.frames += request.frames;
    sums.cut += request.cut ? 1 : 0;
    sums.audio_s += request.audio_s;
    first_audio_ms.push_back(request.first_audio_ms);
    real_time_factor.push_back(request.total_ms / 1000 / request.audio_s);
  }
  sums.first_audio_ms = spread_of(std::move(first_audio_ms));
  sums.real_time_factor = spread_of(std::move(real_time_factor));
  sums.chunks = chunk_sizes(report.requests);
  return sums;
}

double ratio(int64_t a, int64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

json::object to_json(const Spread& s) {
  return {{"median", s.median}, {"min", s.least}, {"max", s.most}};
}

json::array failed_steps(const WarmupReport& warmup) {
  json::array names;
  for (const WarmupStepReport& step : warmup.steps) {
    if (step.outcome == WarmupStepReport::Outcome::kFailed) names.emplace_back(step.name);
  }
  return names;
}

std::string command_line() {
  std::string line = "lyre";
  const auto words = own_arguments();
  if (!words) return line;
  for (const std::string& word : *words) line += ' ' + word;
  return line;
}

json::object to_json(const ProfileOptions& options, const ProfileReport& report) {
  const Sums sums = sums_of(report);
  const double to_ms = 1000.0 / report.engine.sample_rate_hz;
  return {{"what", "lyre profile"},
          {"commit", kCommit},
          {"command", command_line()},
          {"compiler", kCompiler},
          {"build_type", kBuildType},
          {"machine",
           json::object{{"cpu", report.cpu.name}, {"usable_cores", report.cpu.usable_cores}}},
          {"model", json::object{{"name", report.engine.model_name},
                                 {"backend", report.engine.language_model_backend},
                                 {"weights", report.engine.weights}}},
          {"runs", options.load.runs},
          {"streams", options.load.streams},
          {"load_ms", report.load_ms},
          {"warmup", json::object{{"warm", report.warmup.warm},
                                  {"total_ms", report.warmup.total_ms},
                                  {"failed_steps", failed_steps(report.warmup)}}},
          {"requests", json::object{{"count", report.requests.size()},
                                    {"cut", sums.cut},
                                    {"first_audio_ms", to_json(sums.first_audio_ms)},
                                    {"real_time_factor", to_json(sums.real_time_factor)},
                                    {"audio_s", sums.audio_s},
                                    {"tokens", sums.tokens},
                                    {"frames", sums.frames},
                                    {"tokens_per_frame", ratio(sums.tokens, sums.frames)},
                                    {"frames_per_token", ratio(sums.frames, sums.tokens)}}},
          {"chunks", json::object{{"count", sums.chunks.count},
                                  {"samples", sums.chunks.samples},
                                  {"mean_samples", sums.chunks.mean()},
                                  {"min_samples", sums.chunks.min},
                                  {"max_samples", sums.chunks.max},
                                  {"mean_ms", sums.chunks.mean() * to_ms},
                                  {"min_ms", static_cast<double>(sums.chunks.min) * to_ms},
                                  {"max_ms", static_cast<double>(sums.chunks.max) * to_ms}}},
          {"profile", json::parse(trace::profile_json(report.recorded))}};
}

void print_spread(const char* name, const Spread& s, const char* unit, int digits) {
  std::printf("  %-22s median %9.*f   min %9.*f   max %9.*f %s\n", name, digits, s.median, digits,
              s.least, digits, s.most, unit);
}

void print_table(const ProfileOptions& options, const ProfileReport& report) {
  const Sums sums = sums_of(report);
  const double to_ms = 1000.0 / report.engine.sample_rate_hz;
  std::printf("%s, %d cores; lyre %s (%s, %s)\n", report.cpu.name.c_str(), report.cpu.usable_cores,
              kVersion, kCommit, kCompiler);
  std::printf("model %s: %s, weights %s; loaded in %.1f ms, %s in %.1f ms\n\n",
              report.engine.model_name.c_str(), report.engine.language_model_backend.c_str(),
              report.engine.weights.c_str(), report.load_ms,
              report.warmup.warm ? "warmed up" : "warmed up, but not all of it,",
              report.warmup.total_ms);
  std::printf("%zu requests, %d at a time: %.2f s of audio\n", report.requests.size(),
              options.load.streams, sums.audio_s);
  print_spread("time to first audio", sums.first_audio_ms, "ms", 2);
  print_spread("real-time factor", sums.real_time_factor, "", 4);
  std::printf("  %-22s %lld tokens, %lld frames: %.2f tokens a frame, %.4f frames a token\n",
              "speech", static_cast<long long>(sums.tokens), static_cast<long long>(sums.frames),
              ratio(sums.tokens, sums.frames), ratio(sums.frames, sums.tokens));
  std::printf("  %-22s %lld: mean %.0f samples (%.1f ms), min %lld (%.1f ms), max %lld (%.1f ms)\n",
              "audio chunks", static_cast<long long>(sums.chunks.count), sums.chunks.mean(),
              sums.chunks.mean() * to_ms, static_cast<long long>(sums.chunks.min),
              static_cast<double>(sums.chunks.min) * to_ms, static_cast<long long>(sums.chunks.max),
              static_cast<double>(sums.chunks.max) * to_ms);
  if (sums.cut > 0) {
    std::printf("  %lld requests were cut at their limit of tokens\n",
                static_cast<long long>(sums.cut));
  }
  std::printf("\n%s", trace::profile_table(report.recorded).c_str());
  std::fflush(stdout);
}

int fail(int exit_code, const std::string& message) {
  print_error(message);
  return exit_code;
}

int profile(ProfileOptions& options) {
  Settings defaults;
  defaults.log.level = LogLevel::kWarning;
  Result<Settings> settings = load_settings(options.line, defaults);
  if (!settings) return fail(kExitUsage, settings.error().message);
  if (options.json_file == "-" && options.trace_file == "-") {
    return fail(kExitUsage, "--json and --trace: only one of them can go to standard output");
  }
  options.texts.insert(options.texts.end(), options.words.begin(), options.words.end());
  if (options.texts.empty()) options.texts = default_texts();
  apply_backend_defaults(*settings);
  if (options.load.streams > settings->engine.max_batch + settings->engine.max_queue) {
    return fail(kExitUsage,
                "--streams: expected at most max_batch + max_queue = " +
                    std::to_string(settings->engine.max_batch + settings->engine.max_queue) +
                    ", found " + std::to_string(options.load.streams));
  }
  if (Status located = locate_models(own_executable(), *settings); !located) {
    return fail(kExitModel, located.error().message);
  }
  const Result<ProfileReport> report = measure(options, settings->engine);
  if (!report) return fail(model_exit_code(report.error()), report.error().message);
  if (options.json_file != "-" && options.trace_file != "-") print_table(options, *report);
  if (!options.json_file.empty()) {
    const std::string text = indented_json(json::serialize(to_json(options, *report))) + '\n';
    if (Status written = write_text(options.json_file, text); !written) {
      return fail(kExitFailed, written.error().message);
    }
  }
  if (!options.trace_file.empty()) {
    const std::string text = trace::trace_event_json(report->recorded);
    if (Status written = write_text(options.trace_file, text); !written) {
      return fail(kExitFailed, written.error().message);
    }
  }
  return kExitOk;
}

}  // namespace

void add_profile(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* profile_app =
      app.add_subcommand("profile", "Show where the time of warm requests goes");
  profile_app->add_option("texts", options->words,
                          "Texts to speak in turn (default: three short sentences)");
  profile_app->add_option("--text", options->texts, "The same; may be repeated")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  profile_app->add_option("-n,--runs", options->load.runs, "Requests of each stream (default: 5)")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  profile_app
      ->add_option("--streams", options->load.streams, "Requests at the same time (default: 1)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  profile_app
      ->add_option("--json", options->json_file, "Write JSON; '-' is standard output, then alone")
      ->type_name("FILE");
  profile_app
      ->add_option("--trace", options->trace_file,
                   "Write a trace for ui.perfetto.dev; '-' is standard output, then alone")
      ->type_name("FILE");
  add_settings(*profile_app, options->line,
               {SettingGroup::kModel, SettingGroup::kSampling, SettingGroup::kLog});
  profile_app->footer(
      "Examples:\n"
      "  lyre profile\n"
      "  lyre profile \"One sentence.\" --runs 20 --streams 4 --trace lyre.trace.json\n"
      "  lyre profile --model ORPHEUS_FOLDER --codec SNAC_FOLDER --json - > profile.json\n"
      "docs/profiling.md describes the operations.");
  profile_app->callback([options, &exit_code] { exit_code = profile(*options); });
}

}  // namespace lyre::command
