// lyre bench: what this build does on this machine, with a model; table or JSON.
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lyre/base/clock.h"
#include "lyre/base/cpu.h"
#include "lyre/base/cuda/gpus.h"
#include "lyre/base/memory.h"
#include "lyre/bench_requests.h"
#include "lyre/build_info.h"
#include "lyre/engine/benchmark.h"
#include "lyre/engine/engine.h"
#include "lyre/exit_code.h"
#include "lyre/json_text.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

struct BenchOptions {
  CommandLine line;
  int requests = 20;
  std::string text;
  std::vector<int> batches = {1, 8};
  bool as_json = false;
};

struct BenchReport {
  std::string command, date;
  CpuInfo cpu;
  EngineInfo engine;
  double load_ms = 0;
  RequestSpeed requests;
  int64_t peak_bytes = 0;  // of engine and requests, before the models are opened once more
  double memory_gb_per_s = 0;
  std::vector<LanguageModelSpeed> language_model;
  std::vector<CodecSpeed> codec;
};

const std::vector<std::string>& default_texts() {
  static const std::vector<std::string> kTexts = {
      "The quick brown fox jumps over the lazy dog.",
      "Please leave the key under the mat before you go home.",
      "It was raining when we came to the small house by the river.",
      "There are three rooms upstairs, and a garden behind the house.",
  };
  return kTexts;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

/// The command line of this process, for whoever wants to repeat the measurement.
std::string own_command_line() {
  std::ifstream stream("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!text.empty()) text.pop_back();
  for (char& c : text) {
    if (c == '\0') c = ' ';
  }
  return text;
}

/// The memory that the weights are read from: the yardstick of what follows.
Result<double> measure_memory(const EngineConfig& config) {
  if (config.backend != BackendChoice::kCuda) return measure_memory_gb_per_s(config.threads);
  LYRE_ASSIGN_OR_RETURN(const GpuBandwidth gpu, measure_gpu_bandwidth(config.device));
  return gpu.read_bytes_per_second / 1e9;
}

/// Engine first, then its parts; each is closed before the next opens.
Result<BenchReport> measure(const BenchOptions& options, const EngineConfig& config) {
  BenchReport report;
  report.command = own_command_line();
  report.date = utc_now();
  report.cpu = cpu_info();
  {
    const TimePoint start = Clock::now();
    EngineConfig engine_config = config;
    engine_config.snac_warmup = false;  // a part of the whole warm-up below
    LYRE_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::open(engine_config));
    report.load_ms = milliseconds_since(start);
    engine->warmup_models();  // fresh processes are `lyre warmup-demo`'s business
    report.engine = engine->info();
    const std::vector<std::string> texts =
        options.text.empty() ? default_texts() : std::vector<std::string>{options.text};
    LYRE_ASSIGN_OR_RETURN(report.requests, measure_requests(*engine, texts, options.requests));
    report.peak_bytes = peak_resident_bytes();
  }
  LYRE_ASSIGN_OR_RETURN(report.memory_gb_per_s, measure_memory(config));
  for (const int batch : options.batches) {
    LanguageModelBenchmark language_model;
    language_model.batch = batch;
    LYRE_ASSIGN_OR_RETURN(LanguageModelSpeed speed, measure_language_model(config, language_model));
    report.language_model.push_back(std::move(speed));
    CodecBenchmark codec;
    codec.streams = batch;
    LYRE_ASSIGN_OR_RETURN(CodecSpeed codec_speed, measure_codec(config, codec));
    report.codec.push_back(std::move(codec_speed));
  }
  return report;
}

json::object to_json(const Quantiles& q) {
  return {{"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}};
}

json::object to_json(const BenchReport& report) {
  const RequestSpeed& requests = report.requests;
  json::array language_model, codec;
  for (const LanguageModelSpeed& speed : report.language_model) {
    language_model.push_back(
        json::object{{"batch", speed.batch},
                     {"context_tokens", speed.context_tokens},
                     {"prefill_tokens_per_s", speed.prefill_tokens_per_s},
                     {"decode_tokens_per_s", speed.decode_tokens_per_s},
                     {"step_ms_p50", speed.step_ms_p50},
                     {"bytes_per_step", speed.bytes_per_step},
                     {"gb_per_s", speed.gb_per_s},
                     {"percent_of_memory", 100 * speed.gb_per_s / report.memory_gb_per_s},
                     {"backend", speed.backend},
                     {"weights", speed.weights}});
  }
  for (const CodecSpeed& speed : report.codec) {
    codec.push_back(json::object{{"streams", speed.streams},
                                 {"frames_per_s", speed.frames_per_s},
                                 {"frame_ms_p50", speed.frame_ms_p50},
                                 {"real_time_factor", speed.real_time_factor},
                                 {"backend", speed.backend}});
  }
  return {{"what", "lyre bench"},
          {"commit", kCommit},
          {"command", report.command},
          {"date", report.date},
          {"compiler", kCompiler},
          {"build_type", kBuildType},
          {"machine", json::object{{"cpu", report.cpu.name},
                                   {"usable_cores", report.cpu.usable_cores},
                                   {"avx2", report.cpu.avx2},
                                   {"avx512", report.cpu.avx512},
                                   {"gpu", report.engine.device},
                                   {"memory_gb_per_s", report.memory_gb_per_s}}},
          {"model", json::object{{"name", report.engine.model_name},
                                 {"family", report.engine.family},
                                 {"weights", report.engine.weights},
                                 {"weight_bytes", report.engine.weight_bytes},
                                 {"kv_bytes", report.engine.kv_bytes}}},
          {"load_ms", report.load_ms},
          {"peak_bytes", report.peak_bytes},
          {"requests", json::object{{"count", requests.requests},
                                    {"first_request_ms", requests.first_request_ms},
                                    {"first_audio_ms", to_json(requests.first_audio_ms)},
                                    {"silence_ms", to_json(requests.silence_ms)},
                                    {"real_time_factor", to_json(requests.real_time_factor)},
                                    {"tokens_per_s", requests.tokens_per_s},
                                    {"audio_s", requests.audio_s}}},
          {"language_model", std::move(language_model)},
          {"codec", std::move(codec)}};
}

void print_quantiles(const char* name, const Quantiles& q, const char* unit, int digits) {
  std::printf("  %-28s p50 %9.*f   p90 %9.*f   p99 %9.*f %s\n", name, digits, q.p50, digits, q.p90,
              digits, q.p99, unit);
}

void print_table(const BenchReport& report) {
  const RequestSpeed& requests = report.requests;
  std::printf("%s, %d cores, memory %.1f GB/s; lyre %s (%s, %s)\n", report.cpu.name.c_str(),
              report.cpu.usable_cores, report.memory_gb_per_s, kVersion, kCommit, kCompiler);
  std::printf("model %s: %s, weights %s, %.1f MB, KV %.1f MB\n\n", report.engine.model_name.c_str(),
              report.engine.language_model_backend.c_str(), report.engine.weights.c_str(),
              static_cast<double>(report.engine.weight_bytes) / 1e6,
              static_cast<double>(report.engine.kv_bytes) / 1e6);
  std::printf("Requests, %d one after another (%.1f s of audio)\n", requests.requests,
              requests.audio_s);
  std::printf("  %-28s %13.1f ms\n", "load", report.load_ms);
  std::printf("  %-28s %13.2f ms, %.2f times the median\n", "first request, first audio",
              requests.first_request_ms, requests.first_request_ms / requests.first_audio_ms.p50);
  print_quantiles("time to first audio", requests.first_audio_ms, "ms", 2);
  print_quantiles("silence before speech", requests.silence_ms, "ms", 0);
  print_quantiles("real-time factor", requests.real_time_factor, "", 4);
  std::printf("  %-28s %13.0f a second\n", "speech tokens", requests.tokens_per_s);
  std::printf("  %-28s %13.1f MB\n\n", "peak memory", static_cast<double>(report.peak_bytes) / 1e6);
  std::printf("Language model\n");
  for (const LanguageModelSpeed& speed : report.language_model) {
    std::printf(
        "  batch %-4d decode %8.0f tokens/s  step %7.3f ms  %8.2f MB  %6.2f GB/s  %3.0f %% of "
        "memory  prefill %8.0f tokens/s\n",
        speed.batch, speed.decode_tokens_per_s, speed.step_ms_p50,
        static_cast<double>(speed.bytes_per_step) / 1e6, speed.gb_per_s,
        100 * speed.gb_per_s / report.memory_gb_per_s, speed.prefill_tokens_per_s);
  }
  std::printf("Codec\n");
  for (const CodecSpeed& speed : report.codec) {
    std::printf("  streams %-2d %8.0f frames/s  push %7.3f ms  real-time factor %.4f\n",
                speed.streams, speed.frames_per_s, speed.frame_ms_p50, speed.real_time_factor);
  }
  std::fflush(stdout);
}

int bench(const BenchOptions& options) {
  Settings defaults;
  defaults.log.level = LogLevel::kWarning;
  int exit_code = kExitOk;
  std::optional<Settings> settings = load_model_settings(options.line, defaults, exit_code);
  if (!settings) return exit_code;
  const Result<BenchReport> report = measure(options, settings->engine);
  if (!report) {
    print_error(report.error().message);
    return model_exit_code(report.error());
  }
  if (options.as_json) {
    std::cout << indented_json(json::serialize(to_json(*report))) << '\n' << std::flush;
  } else {
    print_table(*report);
  }
  return kExitOk;
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench_app = app.add_subcommand("bench", "Measure latency and speed with a model");
  bench_app->add_option("-n,--requests", options->requests, "Requests to measure (default: 20)")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  bench_app->add_option("--text", options->text, "Text to speak (default: four short sentences)")
      ->type_name("TEXT");
  bench_app
      ->add_option("--batches", options->batches,
                   "Batch sizes for the language model and the codec (default: 1,8)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->type_name("N,...");
  bench_app->add_flag("--json", options->as_json, "Print JSON");
  add_settings(*bench_app, options->line,
               {SettingGroup::kModel, SettingGroup::kSampling, SettingGroup::kLog});
  bench_app->footer(
      "Examples:\n"
      "  lyre bench\n"
      "  lyre bench --model ORPHEUS_FOLDER --codec SNAC_FOLDER --weights int8 -n 50 --json > "
      "out.json");
  bench_app->callback([options, &exit_code] { exit_code = bench(*options); });
}

}  // namespace lyre::command
