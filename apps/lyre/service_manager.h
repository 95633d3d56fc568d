#pragma once

#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace lyre::command {

/// Tells systemd, or whoever set NOTIFY_SOCKET, how the service is: the datagram protocol of
/// sd_notify(3), for units of Type=notify. Without the variable, and when nobody listens, nothing
/// happens. Any thread.
class ServiceManager {
 public:
  /// Path of a Unix datagram socket, or '@' and the name of an abstract one; empty: nobody.
  explicit ServiceManager(std::string socket) : socket_(std::move(socket)) {}
  static ServiceManager from_environment();
  bool present() const noexcept { return !socket_.empty(); }

  /// Lines of VARIABLE=VALUE. False if there was somebody to tell and it failed.
  bool notify(std::string_view lines) const noexcept;

 private:
  std::string socket_;
};

/// While it lives, the service manager is asked for more time to start: how long a model takes to
/// read is not known. `manager` outlives it.
class StartingService {
 public:
  explicit StartingService(const ServiceManager& manager);

 private:
  std::jthread thread_;
};

}  // namespace lyre::command
