#include "lyre/stop_signals.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace lyre::command {
namespace {

/// SIGUSR1 is how the destructor ends the waiting thread.
sigset_t signals(bool reloads) {
  sigset_t set;
  sigemptyset(&set);
  if (reloads) sigaddset(&set, SIGHUP);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

}  // namespace

StopSignals::StopSignals(std::function<void(int, int)> on_signal, std::function<void()> on_reload)
    : reloads_(on_reload != nullptr) {
  const sigset_t set = signals(reloads_);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ =
      std::thread([this, set, on_signal = std::move(on_signal), on_reload = std::move(on_reload)] {
        for (int count = 0;;) {
          int signal = 0;
          if (sigwait(&set, &signal) != 0) continue;
          if (signal == SIGHUP) {
            on_reload();
          } else if (signal != SIGUSR1) {
            on_signal(++count, signal);
          } else if (ending_) {
            return;
          }
        }
      });
}

StopSignals::~StopSignals() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
  const sigset_t set = signals(reloads_);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace lyre::command
