#include "lyre/server/service_warmup.h"

#include <exception>
#include <string>
#include <utility>

#include "lyre/base/clock.h"

namespace lyre::server {
namespace {

/// Stands for a warm-up that could not even report what happened.
WarmupReport failed_report(const char* why) {
  WarmupReport report;
  report.steps.push_back(
      {"warmup", WarmupLane::kWhole, WarmupStepReport::Outcome::kFailed, 0, 0, why});
  return report;
}

}  // namespace

ServiceWarmup::~ServiceWarmup() {
  request_stop();
  join();
}

void ServiceWarmup::prepare(std::shared_ptr<const SpeechService> service, MakeSteps make_steps) {
  const std::lock_guard lock(mutex_);
  service_ = std::move(service);
  make_steps_ = std::move(make_steps);
}

WarmupResult ServiceWarmup::prepare_and_run(std::shared_ptr<const SpeechService> service,
                                            MakeSteps make_steps, bool whole,
                                            const std::function<void()>& begun) {
  {
    const std::lock_guard lock(mutex_);
    service_ = std::move(service);
    make_steps_ = std::move(make_steps);
    running_ = true;
  }
  readiness_.begin_warmup();
  if (begun) begun();
  WarmupResult result = warm_up(whole);
  finish(result);
  return result;
}

bool ServiceWarmup::request(Done done) {
  const std::lock_guard lock(mutex_);
  if (service_ == nullptr || !service_->warm_up || stop_.stop_requested()) return false;
  if (!running_) {
    if (thread_.joinable()) thread_.join();  // the last run's, which has nothing left to do
    thread_ = std::thread([this] {
      readiness_.begin_warmup();
      finish(warm_up(true));
    });
    running_ = true;
  }
  waiting_.push_back(std::move(done));
  return true;
}

WarmupResult ServiceWarmup::warm_up(bool whole) {
  WarmupResult result;
  std::shared_ptr<const SpeechService> service;
  MakeSteps make_steps;
  {
    const std::lock_guard lock(mutex_);
    service = service_;
    make_steps = make_steps_;
  }
  if (!service->warm_up) return result;  // only in tests
  const TimePoint start = Clock::now();
  try {
    ServerSteps server;
    if (whole && make_steps) server = make_steps(stop_.get_token());
    WarmupOptions options;
    options.codec = whole;
    options.further_steps = std::move(server.steps);
    options.on_step = [this](const WarmupStepReport& step) { readiness_.add_step(step); };
    options.stop = stop_.get_token();
    result.report = service->warm_up(options);
    if (const auto measured = server.first_request_ms ? server.first_request_ms() : std::nullopt) {
      result.report.first_request_ms = measured;
      result.first_request_by_server = true;
    }
  } catch (const std::exception& failure) {  // memory ran out
    result.report = failed_report(failure.what());
    result.report.total_ms = milliseconds_since(start);
  }
  result.report.warm = result.report.warm && whole;
  return result;
}

void ServiceWarmup::finish(const WarmupResult& result) {
  readiness_.end_warmup(result);
  std::vector<Done> waiting;
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
    waiting.swap(waiting_);
  }
  for (const Done& done : waiting) done(result);
}

void ServiceWarmup::request_stop() { stop_.request_stop(); }

void ServiceWarmup::join() {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace lyre::server
