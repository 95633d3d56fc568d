// lyre warmup-demo: what the warm-up saves the first request of a process, in fresh processes.
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lyre/base/cpu.h"
#include "lyre/base/quote.h"
#include "lyre/build_info.h"
#include "lyre/exit_code.h"
#include "lyre/json_text.h"
#include "lyre/own_process.h"
#include "lyre/subcommand.h"
#include "lyre/warmup_comparison.h"
#include "lyre/warmup_run.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

struct WarmupDemoOptions {
  CommandLine line;
  int runs = 5;
  int requests = 5;
  std::string text = "The quick brown fox jumps over the lazy dog.";
  std::optional<int> max_tokens;
  std::string json_file;
  std::string child;  // "cold" or "warm": measure, in this process, and print a line
};

/// In the fresh process.
int measure(const WarmupDemoOptions& options, const EngineConfig& config) {
  SynthesisRequest request;
  request.text = options.text;
  request.max_tokens = options.max_tokens;
  if (!config.sampling.seed) request.sampling.seed = 1;
  const Result<WarmupRun> run =
      measure_warmup_run(config, options.child == "warm", request, options.requests);
  if (!run) {
    print_error(run.error().message);
    return model_exit_code(run.error());
  }
  std::cout << to_json_line(*run) << '\n' << std::flush;
  return kExitOk;
}

void show_progress(int done, int all, const WarmupRun& run) {
  if (::isatty(STDERR_FILENO) != 1) return;
  std::fprintf(stderr, "process %d of %d, %s: first audio after %.1f ms, then %.1f ms\n", done, all,
               run.warm ? "warm" : "cold", run.requests.front().first_audio_ms,
               run.requests.back().first_audio_ms);
}

/// Cold and warm in turns, so that whatever else the machine does meets both. The exit code of a
/// process that failed; it has said why.
Result<int> measure_in_processes(const WarmupDemoOptions& options, std::vector<WarmupRun>& runs) {
  LYRE_ASSIGN_OR_RETURN(std::vector<std::string> arguments, own_arguments());
  arguments.insert(arguments.end(), {"--child", ""});
  for (int i = 0; i < 2 * options.runs; ++i) {
    arguments.back() = i % 2 == 0 ? "cold" : "warm";
    LYRE_ASSIGN_OR_RETURN(const ProcessEnd end, run_own_program(arguments));
    if (end.exit_code != kExitOk) return end.exit_code;
    LYRE_ASSIGN_OR_RETURN(WarmupRun run, parse_warmup_run(end.output));
    show_progress(i + 1, 2 * options.runs, run);
    runs.push_back(std::move(run));
  }
  return kExitOk;
}

json::object to_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

json::value to_json(const std::optional<Spread>& spread) {
  return spread ? json::value(to_json(*spread)) : json::value(nullptr);
}

json::object to_json(const WarmupGain& gain) {
  return {{"cold_first_ms", to_json(gain.cold)},       {"warm_first_ms", to_json(gain.warm)},
          {"steady_ms", to_json(gain.steady)},         {"improvement_ms", gain.saved_ms},
          {"improvement_percent", gain.saved_percent}, {"speed_up", gain.speed_up},
          {"verdict", verdict_name(gain.verdict)}};
}

std::string report_json(const WarmupDemoOptions& options, const EngineConfig& config,
                        const WarmupComparison& comparison, const std::vector<WarmupRun>& runs) {
  const CpuInfo cpu = cpu_info();
  json::array all;
  for (const WarmupRun& run : runs) all.push_back(json::parse(to_json_line(run)));
  json::object report;
  report["version"] = kVersion;
  report["commit"] = kCommit;
  report["compiler"] = kCompiler;
  report["machine"] = {{"cpu", cpu.name}, {"cores", cpu.usable_cores}};
  report["model"] = config.model.string();
  report["codec"] = config.codec.string();
  report["text"] = options.text;
  report["processes"] = comparison.processes;
  report["audio_s"] = comparison.audio_s;
  report["audio_hash"] = comparison.audio_hash;
  report["load_ms"] = to_json(comparison.load_ms);
  report["warmup_ms"] = to_json(comparison.warmup_ms);
  report["first_audio"] = to_json(comparison.first_audio);
  report["total"] = to_json(comparison.total);
  report["codec_first_decode"] = {{"cold_ms", to_json(comparison.codec_first_ms)},
                                  {"warm_ms", to_json(comparison.codec_again_ms)}};
  report["runs"] = std::move(all);
  return indented_json(json::serialize(report)) + "\n";
}

/// "-": nothing but the JSON goes to standard output.
Status write_report(const std::string& file, const std::string& report) {
  if (file == "-") {
    std::cout << report << std::flush;
    return ok_status();
  }
  std::ofstream stream(file, std::ios::binary);
  stream << report << std::flush;
  if (stream) return ok_status();
  return Error{ErrorCode::kInternal, "cannot write " + quote(file)};
}

int compare(const WarmupDemoOptions& options, const EngineConfig& config) {
  std::vector<WarmupRun> runs;
  const Result<int> measured = measure_in_processes(options, runs);
  if (measured && *measured != kExitOk) return *measured;
  const auto comparison = measured ? compare_warmup_runs(runs) : measured.error();
  if (!comparison) {
    print_error(comparison.error().message);
    return kExitFailed;
  }
  if (options.json_file != "-") {
    std::cout << comparison_text(*comparison) << std::flush;
  }
  if (options.json_file.empty()) return kExitOk;
  const Status written =
      write_report(options.json_file, report_json(options, config, *comparison, runs));
  if (written) return kExitOk;
  print_error(written.error().message);
  return kExitFailed;
}

int warmup_demo(const WarmupDemoOptions& options) {
  Settings defaults;
  defaults.log.level = LogLevel::kError;
  int exit_code = kExitOk;
  std::optional<Settings> settings = load_model_settings(options.line, defaults, exit_code);
  if (!settings) return exit_code;
  return options.child.empty() ? compare(options, settings->engine)
                               : measure(options, settings->engine);
}

}  // namespace

void add_warmup_demo(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<WarmupDemoOptions>();
  CLI::App* demo = app.add_subcommand(
      "warmup-demo", "Show what the warm-up saves the first request of a fresh process");
  demo->add_option("-n,--runs", options->runs, "Fresh processes of each kind (default: 5)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  demo->add_option("--requests", options->requests,
                   "Requests after the first of each process (default: 5)")
      ->check(CLI::Range(0, 10'000))
      ->type_name("N");
  demo->add_option("--text", options->text, "Text to speak (default: a short sentence)")
      ->type_name("TEXT");
  demo->add_option("--max-tokens", options->max_tokens,
                   "Stop each request after so many speech tokens")
      ->type_name("N");
  demo->add_option("--json", options->json_file,
                   "Write the report as JSON too; '-' is standard output, without the table")
      ->type_name("FILE");
  demo->add_option("--child", options->child)->check(CLI::IsMember({"cold", "warm"}))->group("");
  add_settings(*demo, options->line,
               {SettingGroup::kModel, SettingGroup::kSampling, SettingGroup::kLog});
  demo->footer(
      "Examples:\n"
      "  lyre warmup-demo\n"
      "  lyre warmup-demo --model ORPHEUS_FOLDER --codec SNAC_FOLDER --max-tokens 140 -n 10 --json "
      "warmup.json");
  demo->callback([options, &exit_code] { exit_code = warmup_demo(*options); });
}

}  // namespace lyre::command
