#include "lyre/settings.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "lyre/base/parse_switch.h"
#include "lyre/base/quote.h"
#include "lyre/server/voice_aliases.h"

namespace lyre::command {
namespace {

Error expected(std::string what, std::string_view found) {
  return {ErrorCode::kInvalidArgument, "expected " + std::move(what) + ", found " + quote(found)};
}

template <class T>
bool parse(const std::string& text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [stopped, failure] = std::from_chars(text.data(), end, value);
  return failure == std::errc() && stopped == end;
}

template <class T>
Status read_integer(const std::string& text, T least, T most, T& out) {
  T value{};
  if (!parse(text, value) || value < least || value > most) {
    return expected("an integer from " + std::to_string(least) + " to " + std::to_string(most),
                    text);
  }
  out = value;
  return ok_status();
}

template <class T>
Status read_integer(const std::string& text, T least, T most, std::optional<T>& out) {
  return read_integer(text, least, most, out.emplace());
}

template <class T, class Value>
Status assign(T& out, const Value& value) {
  out = value;
  return ok_status();
}

/// Ranges of sampling are the engine's to check, for they hold for requests too.
Status read_number(const std::string& text, std::optional<float>& out) {
  float value = 0;
  if (!parse(text, value) || !std::isfinite(value)) return expected("a number", text);
  out = value;
  return ok_status();
}

Status read_switch(const std::string& text, bool& out) {
  LYRE_ASSIGN_OR_RETURN(out, parse_switch(text));
  return ok_status();
}

/// "30", "30s", "500ms", "5m", "off".
Status read_seconds(std::string_view text, double& out) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  static constexpr Unit kUnits[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}};
  constexpr double kMostSeconds = 86'400;
  std::string number(text);
  double unit_seconds = 1;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    number = text.substr(0, text.size() - unit.name.size());
    unit_seconds = unit.seconds;
    break;
  }
  double value = 0;
  const bool off = text == "off";
  if (!off && (!parse(number, value) || !(value >= 0 && value * unit_seconds <= kMostSeconds))) {
    return expected("seconds up to a day, as 30, 500ms, 30s or 5m, or off", text);
  }
  out = value * unit_seconds;
  return ok_status();
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
  }
  return parts;
}

constexpr int kMostInt = std::numeric_limits<int>::max();
constexpr auto kModel = SettingGroup::kModel;
constexpr auto kSampling = SettingGroup::kSampling;
constexpr auto kServer = SettingGroup::kServer;
constexpr auto kWarmup = SettingGroup::kWarmup;
constexpr auto kProfiling = SettingGroup::kProfiling;
constexpr auto kLog = SettingGroup::kLog;
constexpr auto kValue = SettingKind::kValue;
constexpr auto kPath = SettingKind::kPath;
constexpr auto kPathOrNone = SettingKind::kPathOrNone;
constexpr auto kSwitch = SettingKind::kSwitch;
constexpr auto kPairs = SettingKind::kPairs;

const Setting kTable[] = {
    {"voice_dir", "--voice-dir", "LYRE_VOICE_DIR", nullptr, "DIR",
     "Folder with lm/ and codec/ (default: the demo voice)", kModel, kPath,
     [](Settings& s, const std::string& v) { return assign(s.voice_dir, v); }},
    {"model", "--model", "LYRE_MODEL", "MODEL_NAME", "DIR",
     "Hugging Face folder of an Orpheus-type model, or a folder with lm/ and codec/", kModel, kPath,
     [](Settings& s, const std::string& v) { return assign(s.engine.model, v); }},
    {"codec", "--codec", "LYRE_CODEC", nullptr, "DIR", "SNAC 24 kHz folder", kModel, kPath,
     [](Settings& s, const std::string& v) { return assign(s.engine.codec, v); }},
    {"family", "--family", "LYRE_FAMILY", nullptr, "NAME|FILE",
     "Prompt family, or a family file (default: found from the model)", kModel, kValue,
     [](Settings& s, const std::string& v) { return assign(s.engine.family, v); }},
    {"voices", "--voices", "LYRE_VOICES", "AVAILABLE_VOICES", "A,B,...",
     "Names of the model's voices, the first is the default", kModel, kValue,
     [](Settings& s, const std::string& v) { return assign(s.engine.voices, split_at_commas(v)); }},
    {"voices_file", "--voices-file", "LYRE_VOICES_FILE", nullptr, "FILE",
     "JSON file with names, languages and descriptions of the voices", kModel, kPath,
     [](Settings& s, const std::string& v) { return assign(s.engine.voices_file, v); }},
    {"backend", "--backend", "LYRE_BACKEND", nullptr, "auto|cpu|cuda|reference",
     "What computes; auto is a GPU if there is one, else the CPU (default: auto)", kModel, kValue,
     [](Settings& s, const std::string& v) -> Status {
       if (v == "auto") {
         s.engine.backend = BackendChoice::kAuto;
       } else if (v == "cpu") {
         s.engine.backend = BackendChoice::kCpu;
       } else if (v == "reference") {
         s.engine.backend = BackendChoice::kReference;
       } else if (v == "cuda") {
         s.engine.backend = BackendChoice::kCuda;
       } else {
         return expected("auto, cpu, cuda or reference", v);
       }
       return ok_status();
     }},
    {"device", "--device", "LYRE_DEVICE", nullptr, "N",
     "Which GPU, see lyre inspect --device (default: 0)", kModel, kValue,
     [](Settings& s, const std::string& v) { return read_integer(v, 0, 1023, s.engine.device); }},
    {"weights", "--weights", "LYRE_WEIGHTS", nullptr, "stored|int8|fp8",
     "Format of the language model's weights in memory: as they are stored, int8 (CPU) or fp8 (GPU) "
     "(default: stored)",
     kModel, kValue,
     [](Settings& s, const std::string& v) -> Status {
       if (v == "stored" || v == "as-stored") {  // the latter is its older name
         s.engine.weights = WeightChoice::kAsStored;
       } else if (v == "int8") {
         s.engine.weights = WeightChoice::kInt8;
       } else if (v == "fp8") {
         s.engine.weights = WeightChoice::kFp8;
       } else {
         return expected("stored, int8 or fp8", v);
       }
       return ok_status();
     }},
    {"kv", "--kv", "LYRE_KV", nullptr, "default|fp8",
     "Format of its keys and values: 16 bits, or fp8 (GPU) (default: default)", kModel, kValue,
     [](Settings& s, const std::string& v) -> Status {
       if (v != "default" && v != "fp8") return expected("default or fp8", v);
       s.engine.kv = v == "fp8" ? KvChoice::kFp8 : KvChoice::kDefault;
       return ok_status();
     }},
    {"kv_tokens", "--kv-tokens", "LYRE_KV_TOKENS", nullptr, "N",
     "Tokens whose keys and values are kept, over all requests; fewer let some of them wait "
     "(default: 0, max_batch times max_sequence_tokens)",
     kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, int64_t{0}, int64_t{1} << 40, s.engine.kv_tokens);
     }},
    {"cache_dir", "--cache-dir", "LYRE_CACHE_DIR", nullptr, "DIR|none",
     "Folder for converted weights, see docs/weight-cache.md (default: lyre in $XDG_CACHE_HOME or "
     "~/.cache)",
     kModel, kPathOrNone,
     [](Settings& s, const std::string& v) {
       return assign(s.engine.cache_folder, v == kNone ? std::string() : v);
     }},
    {"threads", "--threads", "LYRE_THREADS", nullptr, "N",
     "Threads that compute (default: 0, every usable core)", kModel, kValue,
     [](Settings& s, const std::string& v) { return read_integer(v, 0, 1024, s.engine.threads); }},
    {"max_batch", "--max-batch", "LYRE_MAX_BATCH", "TRT_MAX_BATCH_SIZE", "N",
     "Requests that are spoken at the same time (default: 16, on a GPU 64)", kModel, kValue,
     [](Settings& s, const std::string& v) {
       s.max_batch_chosen = true;
       return read_integer(v, 1, 65'536, s.engine.max_batch);
     }},
    {"max_queue", "--max-queue", "LYRE_MAX_QUEUE", nullptr, "N",
     "Requests that may wait; more are refused (default: 64)", kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 0, kMostInt, s.engine.max_queue);
     }},
    {"max_sequence_tokens", "--max-sequence-tokens", "LYRE_MAX_SEQUENCE_TOKENS", "TRT_MAX_SEQ_LEN", "N",
     "Prompt and speech of one segment; sizes the KV memory (default: 4096)", kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 16, kMostInt, s.engine.max_sequence_tokens);
     }},
    {"max_text_bytes", "--max-text-bytes", "LYRE_MAX_TEXT_BYTES", nullptr, "N",
     "Longest text of one request (default: 65536; for say 16 MiB)", kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, kMostInt, s.engine.max_text_bytes);
     }},
    {"text.first_clause_characters", "--text-first-clause-characters",
     "LYRE_TEXT_FIRST_CLAUSE_CHARACTERS", nullptr, "N",
     "Of text that comes piece by piece, the first segment may end at a clause border from so many "
     "characters on (default: 30)",
     kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, kMostInt, s.engine.text_pacing.first_clause_characters);
     }},
    {"text.first_most_characters", "--text-first-most-characters",
     "LYRE_TEXT_FIRST_MOST_CHARACTERS", nullptr, "N",
     "The first segment is cut between words when it would be longer (default: 120)", kModel,
     kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 16, kMostInt, s.engine.text_pacing.first_most_characters);
     }},
    {"text.least_characters", "--text-least-characters", "LYRE_TEXT_LEAST_CHARACTERS", nullptr, "N",
     "Later segments join sentences until they have so many characters (default: 40)", kModel,
     kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, kMostInt, s.engine.text_pacing.least_characters);
     }},
    {"text.clause_characters", "--text-clause-characters", "LYRE_TEXT_CLAUSE_CHARACTERS", nullptr,
     "N", "Later segments may end at a clause border from so many characters on (default: 120)",
     kModel, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, kMostInt, s.engine.text_pacing.clause_characters);
     }},
    {"text.most_characters", "--text-most-characters", "LYRE_TEXT_MOST_CHARACTERS", nullptr, "N",
     "Later segments are cut between words when they would be longer (default: 240)", kModel,
     kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 16, kMostInt, s.engine.text_pacing.most_characters);
     }},
    {"fast_start", "--fast-start", "LYRE_FAST_START", nullptr, "",
     "Send the first audio before its right context is there, and cross-fade to the exact samples",
     kModel, kSwitch,
     [](Settings& s, const std::string& v) { return read_switch(v, s.engine.fast_start); }},

    {"sampling.seed", "--seed", "LYRE_SEED", nullptr, "N",
     "The same seed and text give the same audio (default: a new one for each request)", kSampling,
     kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, uint64_t{0}, std::numeric_limits<uint64_t>::max(),
                           s.engine.sampling.seed);
     }},
    {"sampling.temperature", "--temperature", "LYRE_TEMPERATURE", "TRT_TEMPERATURE", "X",
     "0 is greedy (default: the model family's)", kSampling, kValue,
     [](Settings& s, const std::string& v) {
       return read_number(v, s.engine.sampling.temperature);
     }},
    {"sampling.top_p", "--top-p", "LYRE_TOP_P", "TRT_TOP_P", "X",
     "Nucleus, over 0 to 1; 1 is off (default: the family's)", kSampling, kValue,
     [](Settings& s, const std::string& v) { return read_number(v, s.engine.sampling.top_p); }},
    {"sampling.top_k", "--top-k", "LYRE_TOP_K", nullptr, "N",
     "Draw from the N most likely; 0 is off (default: the family's)", kSampling, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 0, kMostInt, s.engine.sampling.top_k);
     }},
    {"sampling.min_p", "--min-p", "LYRE_MIN_P", nullptr, "X",
     "Least share of the likeliest, 0 to below 1; 0 is off (default: the family's)", kSampling,
     kValue,
     [](Settings& s, const std::string& v) { return read_number(v, s.engine.sampling.min_p); }},
    {"sampling.repetition_penalty", "--repetition-penalty", "LYRE_REPETITION_PENALTY", "TRT_REPETITION_PENALTY", "X",
     "1 is off (default: the family's)", kSampling, kValue,
     [](Settings& s, const std::string& v) {
       return read_number(v, s.engine.sampling.repetition_penalty);
     }},
    {"sampling.legal_slots", "--legal-slots", "LYRE_LEGAL_SLOTS", nullptr, "",
     "Draw only ids that may follow (default: true; --legal-slots=false is for experiments)",
     kSampling, kSwitch,
     [](Settings& s, const std::string& v) {
       return read_switch(v, s.engine.sampling.legal_slots.emplace());
     }},

    {"server.host", "--host", "LYRE_HOST", nullptr, "ADDRESS",
     "Address to listen on; 0.0.0.0 for every network (default: 127.0.0.1)", kServer, kValue,
     [](Settings& s, const std::string& v) { return assign(s.server.host, v); }},
    {"server.port", "--port", "LYRE_PORT", nullptr, "N",
     "0 takes any free one and tells it (default: 9090)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, uint16_t{0}, uint16_t{65'535}, s.server.port);
     }},
    {"server.unix_socket", "--unix-socket", "LYRE_UNIX_SOCKET", nullptr, "PATH",
     "Unix socket to listen on as well, for its owner and group (default: none)", kServer, kPath,
     [](Settings& s, const std::string& v) { return assign(s.server.unix_socket, v); }},
    {"server.tls_certificate", "--tls-certificate", "LYRE_TLS_CERTIFICATE", nullptr, "FILE",
     "PEM, with its chain: the port speaks TLS only (default: none, plain HTTP)", kServer, kPath,
     [](Settings& s, const std::string& v) { return assign(s.server.tls_certificate, v); }},
    {"server.tls_key", "--tls-key", "LYRE_TLS_KEY", nullptr, "FILE",
     "PEM, the key of the certificate, without a password", kServer, kPath,
     [](Settings& s, const std::string& v) { return assign(s.server.tls_key, v); }},
    {"server.io_threads", "--io-threads", "LYRE_IO_THREADS", nullptr, "N",
     "Threads for connections (default: 2)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, 256, s.server.io_threads);
     }},
    {"server.max_connections", "--max-connections", "LYRE_MAX_CONNECTIONS", nullptr, "N",
     "Open connections; more wait to be accepted (default: 16384)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, 1'000'000, s.server.max_connections);
     }},
    {"server.max_connections_per_address", "--max-connections-per-address",
     "LYRE_MAX_CONNECTIONS_PER_ADDRESS", nullptr, "N",
     "The same from one address; more are closed at once (default: 0, no limit)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 0, 1'000'000, s.server.max_connections_of_an_address);
     }},
    {"server.queue_wait_seconds", "--queue-wait-seconds", "LYRE_QUEUE_WAIT_SECONDS", nullptr, "N",
     "How long a request waits for its turn before it gets 429 (default: 30)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       int seconds = 0;
       Status status = read_integer(v, 0, 86'400, seconds);
       if (status) s.server.queue_wait = std::chrono::seconds(seconds);
       return status;
     }},
    {"server.max_queue_per_client", "--max-queue-per-client", "LYRE_MAX_QUEUE_PER_CLIENT", nullptr,
     "N", "Requests of one API key or address that may wait (default: 0, max_queue)", kServer,
     kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 0, kMostInt, s.server.max_queue_of_a_client);
     }},
    {"server.max_tokens", "--max-tokens-default", "LYRE_MAX_TOKENS", "TRT_MAX_TOKENS", "N",
     "Speech tokens of a request that names no max_tokens (default: as many as a sequence holds)",
     kServer, kValue,
     [](Settings& s, const std::string& v) {
       return read_integer(v, 1, kMostInt, s.default_max_tokens);
     }},
    {"server.api_keys_file", "--api-keys-file", "LYRE_API_KEYS_FILE", nullptr, "FILE",
     "Requests must carry one of these keys, a line each: NAME KEY (default: none needed)", kServer,
     kPath, [](Settings& s, const std::string& v) { return assign(s.api_keys_file, v); }},
    {"server.metrics_need_key", "--metrics-need-key", "LYRE_METRICS_NEED_KEY", nullptr, "",
     "So does /metrics (default: false)", kServer, kSwitch,
     [](Settings& s, const std::string& v) { return read_switch(v, s.server.metrics_need_key); }},
    {"server.cors_origins", "--cors-origins", "LYRE_CORS_ORIGINS", nullptr, "A,B,...",
     "Origins whose pages may call the server; * for every one (default: none)", kServer, kValue,
     [](Settings& s, const std::string& v) {
       return assign(s.server.cors_origins, split_at_commas(v));
     }},
    {"server.trusted_proxies", "--trusted-proxies", "LYRE_TRUSTED_PROXIES", nullptr, "A,B,...",
     "Addresses or ranges whose X-Forwarded-For or Forwarded is believed (default: none)", kServer,
     kValue,
     [](Settings& s, const std::string& v) -> Status {
       s.server.trusted_proxies.clear();
       for (const std::string& text : split_at_commas(v)) {
         LYRE_ASSIGN_OR_RETURN(const auto range, server::AddressRange::parse(text));
         s.server.trusted_proxies.push_back(range);
       }
       return ok_status();
     }},
    {"voice_aliases", "--voice-aliases", "LYRE_VOICE_ALIASES", nullptr, "NAME=VOICE,...",
     "Other names for voices; in the file also a table (default: OpenAI's names stand for the "
     "model's voices in turn)",
     kServer, kPairs,
     [](Settings& s, const std::string& v) -> Status {
       LYRE_ASSIGN_OR_RETURN(s.server.voice_aliases, server::parse_voice_aliases(v));
       return ok_status();
     }},
    {"server.stop_seconds", "--stop-seconds", "LYRE_STOP_SECONDS", nullptr, "N",
     "Time for running streams to end after SIGTERM (default: 30)", kServer, kValue,
     [](Settings& s, const std::string& v) { return read_integer(v, 0, 86'400, s.stop_seconds); }},

    {"warmup", "--warmup", "LYRE_WARMUP", nullptr, "",
     "Warm everything up when the server starts (default: true)", kWarmup, kSwitch,
     [](Settings& s, const std::string& v) { return read_switch(v, s.warmup); }},
    {"snac_warmup", "--snac-warmup", "LYRE_SNAC_WARMUP", "ENABLE_SNAC_WARMUP", "",
     "The codec and whole requests are part of that (default: true)", kWarmup, kSwitch,
     [](Settings& s, const std::string& v) {
       return read_switch(v, s.engine.snac_warmup.emplace());
     }},
    {"ready_when", "--ready-when", "LYRE_READY_WHEN", nullptr, "loaded|warm",
     "When requests are let through and /readyz is 200 (default: warm)", kWarmup, kValue,
     [](Settings& s, const std::string& v) -> Status {
       if (v != "loaded" && v != "warm") return expected("loaded or warm", v);
       s.server.ready_when = v == "warm" ? server::ReadyWhen::kWarm : server::ReadyWhen::kLoaded;
       return ok_status();
     }},
    {"early_requests", "--early-requests", "LYRE_EARLY_REQUESTS", nullptr, "wait|refuse",
     "What becomes of requests that come before (default: wait)", kWarmup, kValue,
     [](Settings& s, const std::string& v) -> Status {
       if (v != "wait" && v != "refuse") return expected("wait or refuse", v);
       s.server.early_requests =
           v == "wait" ? server::EarlyRequests::kWait : server::EarlyRequests::kRefuse;
       return ok_status();
     }},
    {"early_wait_seconds", "--early-wait-seconds", "LYRE_EARLY_WAIT_SECONDS", nullptr, "N",
     "How long one of those waits before it gets 503 (default: 30)", kWarmup, kValue,
     [](Settings& s, const std::string& v) {
       int seconds = 0;
       Status status = read_integer(v, 0, 86'400, seconds);
       if (status) s.server.early_wait = std::chrono::seconds(seconds);
       return status;
     }},
    {"keep_warm", "--keep-warm", "LYRE_KEEP_WARM", nullptr, "INTERVAL",
     "Idle for so long, run what keeps the models warm: 30, 500ms, 30s, 5m, off (default: off)",
     kWarmup, kValue,
     [](Settings& s, const std::string& v) { return read_seconds(v, s.engine.keep_warm_seconds); }},
    {"warmup_faults", "--warmup-faults", "LYRE_WARMUP_FAULTS", nullptr, "STEP=KIND,...",
     "Make steps of the warm-up fail, to try out what follows: error, throw, alloc or stall:MS",
     kWarmup, kValue,
     [](Settings& s, const std::string& v) { return assign(s.engine.warmup_faults, v); }},

    {"start_timeline", "--start-timeline", "LYRE_START_TIMELINE", nullptr, "text|FILE",
     "Show the way from the start of the program to ready: as a chart on standard error, or as a "
     "trace file for ui.perfetto.dev",
     kServer, kValue,
     [](Settings& s, const std::string& v) { return assign(s.start_timeline, v); }},
    {"profiling", "--profiling", "LYRE_PROFILING", "ENABLE_PROFILING", "",
     "Record where the time goes and print it at the end (default: false)", kProfiling, kSwitch,
     [](Settings& s, const std::string& v) { return read_switch(v, s.profiling); }},

    {"log.level", "--log-level", "LYRE_LOG_LEVEL", "LOG_LEVEL", "LEVEL",
     "debug, info, warning, error or off (default: info for serve, else warning)", kLog, kValue,
     [](Settings& s, const std::string& v) -> Status {
       LYRE_ASSIGN_OR_RETURN(s.log.level, parse_log_level(v));
       return ok_status();
     }},
    {"log.format", "--log-format", "LYRE_LOG_FORMAT", "LOG_FORMAT", "text|json",
     "Form of the log on standard error (default: text)", kLog, kValue,
     [](Settings& s, const std::string& v) -> Status {
       LYRE_ASSIGN_OR_RETURN(s.log.format, parse_log_format(v));
       return ok_status();
     }},
};

}  // namespace

std::span<const Setting> settings_table() { return kTable; }

}  // namespace lyre::command
