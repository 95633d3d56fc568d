// lyre serve: listens first, then loads, then warms up, so that a probe can tell these from "gone"
// and nobody's first request pays for them.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/base/log.h"
#include "lyre/base/trace.h"
#include "lyre/build_info.h"
#include "lyre/engine/engine.h"
#include "lyre/exit_code.h"
#include "lyre/ignored_variables.h"
#include "lyre/profiling.h"
#include "lyre/server/access_log.h"
#include "lyre/server/api_keys.h"
#include "lyre/server/engine_service.h"
#include "lyre/server/process_usage.h"
#include "lyre/server/server.h"
#include "lyre/server/voice_aliases.h"
#include "lyre/service_manager.h"
#include "lyre/start_timeline.h"
#include "lyre/stop_signals.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace {

constinit trace::Operation kListen("start.listen"), kLoad("start.load");

// For those who wait for the model when it will never come: long enough to tell them so.
constexpr std::chrono::milliseconds kToTellTheWaiting{1000};
// How often the engine is asked whether its device is still there.
constexpr std::chrono::seconds kHealthInterval{1};

/// The wait of the main thread for the signal that ends the server.
class StopRequest {
 public:
  explicit StopRequest(const ServiceManager& manager) : manager_(manager) {}

  void signal(int count) {
    const std::unique_lock lock(mutex_);
    manager_.notify("STOPPING=1\nSTATUS=Stopping");
    if (!loaded_) {
      // Nothing runs that could be finished; only those who wait for the model are told.
      if (server_ != nullptr) server_->stop(kToTellTheWaiting);
      ::_exit(kExitOk);
    }
    if (count > 1) ::_exit(kExitInterrupted);  // whoever asks twice means it
    requested_ = true;
    if (server_ != nullptr) server_->begin_stop();
    changed_.notify_one();
  }
  /// Signals stop this server while it lives.
  class Target {
   public:
    Target(StopRequest& stop, server::Server& server) : stop_(stop) { stop_.set_server(&server); }
    ~Target() { stop_.set_server(nullptr); }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

   private:
    StopRequest& stop_;
  };
  /// Calls it if there is a server to call it with; signals wait meanwhile.
  void with_server(const std::function<void(server::Server&)>& call) {
    const std::lock_guard lock(mutex_);
    if (server_ != nullptr) call(*server_);
  }
  void loaded() {
    const std::lock_guard lock(mutex_);
    loaded_ = true;
  }
  /// True as soon as the stop is requested, false when the time is over.
  bool wait_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [&] { return requested_; });
  }

 private:
  void set_server(server::Server* server) {
    const std::lock_guard lock(mutex_);
    server_ = server;
  }

  const ServiceManager& manager_;
  std::mutex mutex_;
  std::condition_variable changed_;
  server::Server* server_ = nullptr;
  bool loaded_ = false, requested_ = false;
};

std::string url(const server::ServerConfig& config, uint16_t port) {
  const bool ipv6 = config.host.find(':') != std::string::npos;
  return (config.tls_certificate.empty() ? "http://" : "https://") +
         (ipv6 ? "[" + config.host + "]" : config.host) + ":" + std::to_string(port);
}

std::string failed_steps(const WarmupReport& report) {
  std::string names;
  for (const WarmupStepReport& step : report.steps) {
    if (step.outcome != WarmupStepReport::Outcome::kFailed) continue;
    names += (names.empty() ? "" : ",") + step.name;
  }
  return names;
}

void log_ready(const Settings& settings, const server::Server& server, const EngineInfo& info,
               double load_ms, const WarmupReport& warmup) {
  log_info("ready", {{"url", url(settings.server, server.port())},
                     {"model", info.model_name},
                     {"family", info.family},
                     {"voices", info.voices.size()},
                     {"default_voice", info.default_voice},
                     {"backend", info.language_model_backend},
                     {"device", info.device},
                     {"weights", info.weights},
                     {"load_ms", load_ms},
                     {"ready_ms", server.ready_ms().value_or(0)},
                     {"warm", warmup.warm},
                     {"warmup_ms", warmup.total_ms},
                     {"first_request_ms", warmup.first_request_ms.value_or(0)},
                     {"failed_steps", failed_steps(warmup)}});
}

/// Warms up as the settings say and announces, when the time for it has come, that the server is
/// ready.
void make_ready(const Settings& settings, const ServiceManager& manager, server::Server& server,
                Engine& engine, double load_ms, StartTimeline& timeline) {
  const auto announce = [&](const WarmupReport& warmup) {
    log_ready(settings, server, engine.info(), load_ms, warmup);
    manager.notify("READY=1\nSTATUS=Ready");
    timeline.ready();
  };
  server::SpeechService service = server::serve_engine(engine);
  if (settings.default_max_tokens) {
    service.speak = [speak = std::move(service.speak),
                     most = *settings.default_max_tokens](server::SpeechRequest request) {
      if (!request.max_tokens) request.max_tokens = most;
      return speak(std::move(request));
    };
  }
  if (!settings.warmup) {
    server.serve(std::move(service));
    announce({});
    return;
  }
  manager.notify("STATUS=Warming up");
  server::Server::StartWarmup options;
  options.whole = settings.engine.snac_warmup.value_or(true);
  const bool ready_when_loaded = settings.server.ready_when == server::ReadyWhen::kLoaded;
  if (ready_when_loaded) options.begun = [&] { announce({}); };
  const WarmupReport warmup = server.warm_up_and_serve(std::move(service), options);
  if (!ready_when_loaded) {
    if (server.ready_ms()) announce(warmup);  // else it was stopped before
    return;
  }
  log_info("warmed up", {{"warm", warmup.warm},
                         {"warmup_ms", warmup.total_ms},
                         {"first_request_ms", warmup.first_request_ms.value_or(0)},
                         {"failed_steps", failed_steps(warmup)}});
}

/// Keys are read before anybody may come in, and again by SIGHUP.
Status read_api_keys(const std::filesystem::path& file, server::Server& server) {
  LYRE_ASSIGN_OR_RETURN(server::ApiKeys keys, server::ApiKeys::read(file));
  if (server::readable_by_everybody(file)) {
    log_warning("everybody may read the file of API keys; chmod o-r", {{"file", file.string()}});
  }
  log_info("API keys", {{"file", file.string()}, {"keys", keys.size()}});
  server.set_api_keys(std::move(keys));
  return ok_status();
}

/// What may change while the server runs: API keys, names for voices and the
/// certificate. What is bad is told, and what was there before stays.
void reload(const CommandLine& line, const Settings& started, server::Server& server) {
  const auto tell = [](const char* what, const Status& status) {
    if (status) {
      log_info("reloaded", {{"what", what}});
    } else {
      log_error("not reloaded", {{"what", what}, {"error", status.error().message}});
    }
  };
  if (!started.api_keys_file.empty()) {
    tell("api keys", read_api_keys(started.api_keys_file, server));
  }
  const auto read_aliases = [&]() -> Status {
    LYRE_ASSIGN_OR_RETURN(Settings settings, load_settings(line, {}));
    return server.set_voice_aliases(std::move(settings.server.voice_aliases));
  };
  tell("voice aliases", read_aliases());
  if (!started.server.tls_certificate.empty()) {
    tell("TLS certificate", server.reload_certificate());
  }
}

int serve(const CommandLine& line) {
  int exit_code = kExitOk;
  std::optional<Settings> settings = load_model_settings(line, {}, exit_code);
  if (!settings) return exit_code;
  const Profiling profiling(settings->profiling);
  StartTimeline timeline(settings->start_timeline);
  const ServiceManager manager = ServiceManager::from_environment();
  StopRequest stop(manager);
  const StopSignals signals(
      [&](int count, int) { stop.signal(count); },
      [&] { stop.with_server([&](server::Server& server) { reload(line, *settings, server); }); });
  for (const IgnoredVariable& variable : ignored_variables(environ)) {
    log_warning("a variable of the environment has no effect",
                {{"name", variable.name}, {"why", variable.why}});
  }

  // Declared before the server, which refers to it and so must end first.
  std::unique_ptr<Engine> engine;
  server::ServerConfig& config = settings->server;
  config.version = kVersion;
  config.access_log = server::log_access;
  // As many as can be spoken or wait for their turn when the time has come, with connections left
  // for probes and for the warm-up's own requests.
  config.max_early_requests = static_cast<int>(
      std::min<int64_t>(config.max_connections / 2,
                        int64_t{settings->engine.max_batch} + settings->engine.max_queue));
  const int spare = std::min(server::kSparePlaces, settings->engine.max_queue);
  config.max_running = settings->engine.max_batch + spare;
  config.max_queue = settings->engine.max_queue - spare;
  // Sockets, and what models, log and cache have open beside them.
  const int64_t wanted_files = int64_t{config.max_connections} + 256;
  if (const int64_t files = server::raise_open_files(wanted_files); files < wanted_files) {
    log_warning("fewer open files are allowed than connections need",
                {{"limit", files}, {"wanted", wanted_files}});
  }
  auto opened = [&] {
    const trace::Span span(kListen);
    return server::Server::open(config);
  }();
  if (!opened) {
    print_error(opened.error().message);
    return opened.error().code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
  }
  const std::unique_ptr<server::Server> server = *std::move(opened);
  if (!settings->api_keys_file.empty()) {
    if (const Status read = read_api_keys(settings->api_keys_file, *server); !read) {
      print_error(read.error().message);
      return kExitUsage;
    }
  }
  const StopRequest::Target target(stop, *server);
  log_info("listening", {{"url", url(config, server->port())}});

  std::optional<StartingService> starting(manager);
  manager.notify("STATUS=Loading the model");
  const TimePoint start = Clock::now();
  EngineConfig engine_config = settings->engine;
  // For the server's own requests, and for a place that is free before the engine has dropped the
  // speech of the client that left it.
  engine_config.max_queue += server::kSparePlaces;
  engine_config.snac_warmup = false;  // a part of the warm-up that follows, if that is wanted
  auto loaded = [&] {
    const trace::Span span(kLoad);
    return Engine::open(engine_config);
  }();
  if (!loaded) {
    print_error(loaded.error().message);
    server->stop(kToTellTheWaiting);
    return model_exit_code(loaded.error());
  }
  engine = *std::move(loaded);
  if (!engine->info().device.empty()) {
    log_info("computing on a GPU",
             {{"name", engine->info().device}, {"device", settings->engine.device}});
  }
  const Status aliases =
      server::check_voice_aliases(config.voice_aliases, server::serve_engine(*engine).info);
  if (!aliases) {
    print_error(aliases.error().message);
    server->stop(kToTellTheWaiting);
    return kExitUsage;
  }
  stop.loaded();
  make_ready(*settings, manager, *server, *engine, milliseconds_since(start), timeline);
  starting.reset();

  while (!stop.wait_for(kHealthInterval)) {
    const Status health = engine->health();
    if (health) continue;
    // Nothing will be spoken any more: a new process is what helps.
    log_error("the engine failed", {{"error", health.error().message}});
    exit_code = kExitFailed;
    break;
  }
  log_info("stopping", {{"running", engine->stats().running}, {"seconds", settings->stop_seconds}});
  // The streams may take longer to end than the service manager would wait.
  manager.notify("STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=" +
                 std::to_string((int64_t{settings->stop_seconds} + 10) * 1'000'000));
  if (!server->stop(std::chrono::seconds(settings->stop_seconds))) {
    log_warning("streams were cut off by the stop");
  }
  log_info("stopped");
  return exit_code;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto line = std::make_shared<CommandLine>();
  CLI::App* serve_app = app.add_subcommand("serve", "Serve speech over HTTP");
  add_settings(*serve_app, *line,
               {SettingGroup::kServer, SettingGroup::kWarmup, SettingGroup::kModel,
                SettingGroup::kSampling, SettingGroup::kProfiling, SettingGroup::kLog});
  serve_app->footer(
      "Examples:\n"
      "  lyre serve\n"
      "  lyre serve --host 0.0.0.0 --port 80 --model ORPHEUS_FOLDER --codec SNAC_FOLDER\n"
      "  curl http://127.0.0.1:9090/v1/audio/speech -d '{\"input\": \"Hello.\"}' -o hello.mp3\n"
      "GET / lists the endpoints; docs/http.md describes them. SIGTERM ends running streams "
      "first.");
  serve_app->callback([line, &exit_code] { exit_code = serve(*line); });
}

}  // namespace lyre::command
