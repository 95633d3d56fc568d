#include "lyre/server/readiness.h"

#include <utility>

#include "lyre/server/process_age.h"

namespace lyre::server {

void Readiness::begin_warmup() {
  const std::lock_guard lock(mutex_);
  if (now_.phase == Phase::kLoading) now_.phase = Phase::kWarming;
  now_.warming = true;
  now_.steps.clear();
  settle();
}

void Readiness::add_step(const WarmupStepReport& step) {
  const std::lock_guard lock(mutex_);
  now_.steps.push_back(step);
}

void Readiness::end_warmup(WarmupResult result) {
  const std::lock_guard lock(mutex_);
  if (now_.phase == Phase::kWarming) now_.phase = Phase::kReady;
  now_.warming = false;
  now_.steps = result.report.steps;
  now_.last = std::move(result);
  ++now_.warmup_runs;
  settle();
}

void Readiness::skip_warmup() {
  const std::lock_guard lock(mutex_);
  if (now_.phase == Phase::kLoading) now_.phase = Phase::kReady;
  settle();
}

void Readiness::begin_stop() {
  const std::lock_guard lock(mutex_);
  now_.phase = Phase::kStopping;
  settle();
}

void Readiness::settle() {
  now_.admits =
      now_.phase == Phase::kReady || (now_.phase == Phase::kWarming && when_ == ReadyWhen::kLoaded);
  if (now_.admits && !now_.ready_ms) now_.ready_ms = process_age_ms();
  admits_.store(now_.admits, std::memory_order_release);
  if (!now_.admits && now_.phase != Phase::kStopping) return;
  for (const auto& wake : waiting_) wake();
}

Readiness::Snapshot Readiness::snapshot() const {
  const std::lock_guard lock(mutex_);
  Snapshot now = now_;
  now.waiting = waiting_.size();
  return now;
}

std::optional<Readiness::Place> Readiness::wait(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  const bool over = now_.admits || now_.phase == Phase::kStopping;
  if (!over && waiting_.size() >= most_waiting_) return std::nullopt;
  Place place(*this, waiting_.insert(waiting_.end(), std::move(wake)));
  if (over) (*place.at_)();
  return place;
}

Readiness::Place::~Place() {
  if (readiness_ == nullptr) return;
  const std::lock_guard lock(readiness_->mutex_);
  readiness_->waiting_.erase(at_);
}

const char* phase_name(Readiness::Phase phase) noexcept {
  switch (phase) {
    case Readiness::Phase::kLoading:
      return "loading";
    case Readiness::Phase::kWarming:
      return "warming";
    case Readiness::Phase::kReady:
      return "ready";
    case Readiness::Phase::kStopping:
      return "stopping";
  }
  return "unknown";
}

}  // namespace lyre::server
