#include "lyre/warmup_run.h"

#include <bit>
#include <boost/json.hpp>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/engine/speak.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

/// FNV-1a over the bits of the samples.
class SampleHash {
 public:
  void add(std::span<const float> samples) {
    for (const float sample : samples) {
      const auto bits = std::bit_cast<uint32_t>(sample);
      for (int shift = 0; shift < 32; shift += 8) {
        hash_ = (hash_ ^ ((bits >> shift) & 0xff)) * 0x100000001b3;
      }
    }
  }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash_));
    return digits;
  }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

Status speak_once(Engine& engine, const SynthesisRequest& request, WarmupRun& run) {
  WarmupRun::Request times;
  SampleHash hash;
  const TimePoint start = Clock::now();
  TimePoint first{};
  LYRE_ASSIGN_OR_RETURN(const SpeechSummary summary,
                        speak(engine, request, [&](std::span<const float> samples) {
                          if (first == TimePoint{}) first = Clock::now();
                          hash.add(samples);
                          return true;
                        }));
  times.total_ms = milliseconds_since(start);
  times.first_audio_ms = milliseconds(first - start);
  if (summary.samples == 0) {
    return Error{ErrorCode::kInternal, "the model ended without any speech; try another --seed"};
  }
  if (!run.requests.empty() && hash.text() != run.audio_hash) {
    return Error{ErrorCode::kInternal, "request " + std::to_string(run.requests.size() + 1) +
                                           " of a process gave other audio than its first: " +
                                           hash.text() + ", not " + run.audio_hash};
  }
  run.requests.push_back(times);
  run.audio_hash = hash.text();
  run.audio_s = static_cast<double>(summary.samples) / engine.info().sample_rate_hz;
  return ok_status();
}

/// Until the first frame has come out; nothing if a step of these failed or is not there.
std::optional<double> codec_first_ms(const WarmupReport& report) {
  double sum_ms = 0;
  for (const WarmupStepReport& step : report.steps) {
    if (!step.name.starts_with("codec.")) continue;
    if (step.outcome != WarmupStepReport::Outcome::kOk) return std::nullopt;
    sum_ms += step.duration_ms;
    if (step.name == "codec.first_frame") return sum_ms;
  }
  return std::nullopt;
}

json::value number_or_null(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

std::optional<double> to_number(const json::value& value) {
  if (value.is_null()) return std::nullopt;
  return value.to_number<double>();
}

WarmupRun from_json(const json::object& object) {
  WarmupRun run;
  run.warm = object.at("warm").as_bool();
  run.load_ms = object.at("load_ms").to_number<double>();
  run.warmup_ms = object.at("warmup_ms").to_number<double>();
  for (const json::value& step : object.at("failed_steps").as_array()) {
    run.failed_steps.emplace_back(step.as_string());
  }
  for (const json::value& request : object.at("requests").as_array()) {
    run.requests.push_back({request.at("first_audio_ms").to_number<double>(),
                            request.at("total_ms").to_number<double>()});
  }
  run.audio_s = object.at("audio_s").to_number<double>();
  run.audio_hash = json::value_to<std::string>(object.at("audio_hash"));
  run.codec_first_ms = to_number(object.at("codec_first_ms"));
  run.codec_again_ms = to_number(object.at("codec_again_ms"));
  return run;
}

}  // namespace

Result<WarmupRun> measure_warmup_run(EngineConfig config, bool warm,
                                     const SynthesisRequest& request, int requests) {
  // Whatever the environment says: this is what is compared.
  config.snac_warmup = false;
  config.keep_warm_seconds = 0;
  WarmupRun run;
  run.warm = warm;
  const TimePoint start = Clock::now();
  LYRE_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::open(config));
  run.load_ms = milliseconds_since(start);
  if (warm) {
    const WarmupReport report = engine->warmup_models();
    run.warmup_ms = report.total_ms;
    run.codec_first_ms = codec_first_ms(report);
    for (const WarmupStepReport& step : report.steps) {
      if (step.outcome == WarmupStepReport::Outcome::kOk) continue;
      run.failed_steps.push_back(step.name + ": " + step.error);
    }
  }
  for (int i = 0; i <= requests; ++i) LYRE_RETURN_IF_ERROR(speak_once(*engine, request, run));
  if (warm) {
    WarmupOptions codec_only;
    codec_only.language_model = false;
    run.codec_again_ms = codec_first_ms(engine->warmup_models(codec_only));
  }
  return run;
}

std::string to_json_line(const WarmupRun& run) {
  json::array requests;
  for (const WarmupRun::Request& request : run.requests) {
    requests.push_back(
        {{"first_audio_ms", request.first_audio_ms}, {"total_ms", request.total_ms}});
  }
  json::object object;
  object["warm"] = run.warm;
  object["load_ms"] = run.load_ms;
  object["warmup_ms"] = run.warmup_ms;
  object["failed_steps"] = json::array(run.failed_steps.begin(), run.failed_steps.end());
  object["requests"] = std::move(requests);
  object["audio_s"] = run.audio_s;
  object["audio_hash"] = run.audio_hash;
  object["codec_first_ms"] = number_or_null(run.codec_first_ms);
  object["codec_again_ms"] = number_or_null(run.codec_again_ms);
  return json::serialize(object);
}

Result<WarmupRun> parse_warmup_run(std::string_view line) {
  try {
    return from_json(json::parse(line).as_object());
  } catch (const std::exception& wrong) {
    return Error{ErrorCode::kInternal, std::string("expected a process's measurement in JSON: ") +
                                           wrong.what() + ", found '" + std::string(line) + "'"};
  }
}

}  // namespace lyre::command
