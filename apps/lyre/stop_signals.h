#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace lyre::command {

/// SIGINT and SIGTERM as calls on a thread of its own, where locks and output are allowed. Make it
/// before any other thread: those inherit that the signals are left to it. One at a time.
class StopSignals {
 public:
  /// `on_signal` is told how many have come, from 1, and which.
  /// `on_reload` is called for each SIGHUP; without it that signal keeps its own effect.
  explicit StopSignals(std::function<void(int count, int signal)> on_signal,
                       std::function<void()> on_reload = {});
  ~StopSignals();  // the signals have their former effect again
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  const bool reloads_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace lyre::command
