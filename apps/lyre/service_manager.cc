#include "lyre/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stop_token>

namespace lyre::command {

ServiceManager ServiceManager::from_environment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  return ServiceManager(socket == nullptr ? "" : socket);
}

bool ServiceManager::notify(std::string_view lines) const noexcept {
  if (socket_.empty()) return true;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  // An abstract name begins with a zero byte and ends with the length of the address.
  const bool abstract = socket_.front() == '@';
  if (abstract) address.sun_path[0] = '\0';
  const size_t size = offsetof(sockaddr_un, sun_path) + socket_.size() + (abstract ? 0 : 1);
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  // A service manager that does not read must hold nobody up for long.
  const timeval patience{1, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const ssize_t sent =
      ::sendto(descriptor, lines.data(), lines.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size));
  ::close(descriptor);
  return sent == static_cast<ssize_t>(lines.size());
}

StartingService::StartingService(const ServiceManager& manager) {
  if (!manager.present()) return;
  thread_ = std::jthread([&manager](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      manager.notify("EXTEND_TIMEOUT_USEC=15000000");
      never.wait_for(lock, stop, std::chrono::seconds(5), [] { return false; });
    }
  });
}

}  // namespace lyre::command
