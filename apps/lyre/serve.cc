// lyre serve: listens first, then loads, so that a probe can tell "loading" from "gone".
#include <sys/types.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "lyre/base/clock.h"
#include "lyre/base/log.h"
#include "lyre/build_info.h"
#include "lyre/engine/engine.h"
#include "lyre/exit_code.h"
#include "lyre/model_location.h"
#include "lyre/server/access_log.h"
#include "lyre/server/engine_service.h"
#include "lyre/server/server.h"
#include "lyre/stop_signals.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace {

/// The wait of the main thread for the signal that ends the server.
class StopRequest {
 public:
  void signal(int count) {
    const std::unique_lock lock(mutex_);
    // While the model loads nothing is running that could be finished; and whoever asks twice
    // means it.
    if (!serving_) ::_exit(kExitOk);
    if (count > 1) ::_exit(kExitInterrupted);
    requested_ = true;
    changed_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    serving_ = true;
    changed_.wait(lock, [&] { return requested_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool serving_ = false, requested_ = false;
};

std::string url(const server::ServerConfig& config, uint16_t port) {
  const bool ipv6 = config.host.find(':') != std::string::npos;
  return "http://" + (ipv6 ? "[" + config.host + "]" : config.host) + ":" + std::to_string(port);
}

int serve(const CommandLine& line) {
  Result<Settings> settings = load_settings(line);
  if (!settings) {
    print_error(settings.error().message);
    return kExitUsage;
  }
  if (Status located = locate_models(own_executable(), *settings); !located) {
    print_error(located.error().message);
    return kExitModel;
  }
  StopRequest stop;
  const StopSignals signals([&](int count, int) { stop.signal(count); });

  // Declared before the server, which refers to it and so must end first.
  std::unique_ptr<Engine> engine;
  settings->server.version = kVersion;
  settings->server.access_log = server::log_access;
  auto opened = server::Server::open(settings->server);
  if (!opened) {
    print_error(opened.error().message);
    return opened.error().code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed;
  }
  const std::unique_ptr<server::Server> server = *std::move(opened);
  log_info("listening", {{"url", url(settings->server, server->port())}});

  const TimePoint start = Clock::now();
  auto loaded = Engine::open(settings->engine);
  if (!loaded) {
    print_error(loaded.error().message);
    return model_exit_code(loaded.error());
  }
  engine = *std::move(loaded);
  server->serve(server::serve_engine(*engine));
  const EngineInfo& info = engine->info();
  log_info("ready", {{"url", url(settings->server, server->port())},
                     {"model", info.model_name},
                     {"family", info.family},
                     {"voices", info.voices.size()},
                     {"default_voice", info.default_voice},
                     {"backend", info.language_model_backend},
                     {"weights", info.weights},
                     {"load_ms", milliseconds_since(start)}});
  stop.wait();
  log_info("stopping", {{"running", engine->stats().running}, {"seconds", settings->stop_seconds}});
  if (!server->stop(std::chrono::seconds(settings->stop_seconds))) {
    log_warning("streams were cut off by the stop");
  }
  log_info("stopped");
  return kExitOk;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto line = std::make_shared<CommandLine>();
  CLI::App* serve_app = app.add_subcommand("serve", "Serve speech over HTTP");
  add_settings(
      *serve_app, *line,
      {SettingGroup::kServer, SettingGroup::kModel, SettingGroup::kSampling, SettingGroup::kLog});
  serve_app->footer(
      "Examples:\n"
      "  lyre serve\n"
      "  lyre serve --host 0.0.0.0 --port 80 --model ORPHEUS_FOLDER --codec SNAC_FOLDER\n"
      "  curl http://127.0.0.1:9090/v1/audio/speech -d '{\"input\": \"Hello.\"}' -o hello.wav\n"
      "GET / lists the endpoints; docs/http.md describes them. SIGTERM ends running streams "
      "first.");
  serve_app->callback([line, &exit_code] { exit_code = serve(*line); });
}

}  // namespace lyre::command
