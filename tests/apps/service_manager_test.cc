#include "lyre/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "support/temp_folder.h"

namespace lyre::command {
namespace {

/// The receiving end, as systemd has it.
class Listener {
 public:
  /// `name`: a path, or '@' and an abstract name.
  explicit Listener(const std::string& name) {
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const timeval patience{60, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const size_t size = offsetof(sockaddr_un, sun_path) + name.size();
    EXPECT_EQ(
        ::bind(socket_, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)),
        0)
        << std::strerror(errno);
  }
  ~Listener() { ::close(socket_); }
  std::string receive() {
    char text[256];
    const ssize_t count = ::recv(socket_, text, sizeof text, 0);
    return count < 0 ? "nothing came" : std::string(text, static_cast<size_t>(count));
  }

 private:
  int socket_ = -1;
};

std::string abstract_name() { return "@lyre-test-" + std::to_string(::getpid()); }

TEST(ServiceManager, IsToldThroughAPath) {
  const test::TempFolder folder;
  const std::string path = (folder.path() / "notify").string();
  Listener listener(path);
  const ServiceManager manager(path);
  EXPECT_TRUE(manager.notify("READY=1\nSTATUS=Ready"));
  EXPECT_EQ(listener.receive(), "READY=1\nSTATUS=Ready");
}

TEST(ServiceManager, IsToldThroughAnAbstractName) {
  Listener listener(abstract_name());
  EXPECT_TRUE(ServiceManager(abstract_name()).notify("STOPPING=1"));
  EXPECT_EQ(listener.receive(), "STOPPING=1");
}

TEST(ServiceManager, IsFoundInTheEnvironment) {
  ::setenv("NOTIFY_SOCKET", abstract_name().c_str(), 1);
  Listener listener(abstract_name());
  EXPECT_TRUE(ServiceManager::from_environment().present());
  EXPECT_TRUE(ServiceManager::from_environment().notify("READY=1"));
  EXPECT_EQ(listener.receive(), "READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(ServiceManager::from_environment().present());
}

TEST(ServiceManager, WithoutOneNothingHappens) {
  const ServiceManager nobody("");
  EXPECT_TRUE(nobody.notify("READY=1"));
  const StartingService starting(nobody);
}

TEST(ServiceManager, OneThatIsNotThereIsAFailure) {
  EXPECT_FALSE(ServiceManager("/nowhere/notify").notify("READY=1"));
  EXPECT_FALSE(ServiceManager(std::string(200, 'x')).notify("READY=1"));
}

TEST(ServiceManager, IsAskedForTimeWhileTheServiceStarts) {
  Listener listener(abstract_name());
  const ServiceManager manager(abstract_name());
  const StartingService starting(manager);
  EXPECT_EQ(listener.receive(), "EXTEND_TIMEOUT_USEC=15000000");
}

}  // namespace
}  // namespace lyre::command
