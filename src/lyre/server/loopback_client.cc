#include "lyre/server/loopback_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "lyre/server/warmup_key.h"

namespace lyre::server {
namespace net = boost::asio;
namespace http = boost::beast::http;
namespace {

// How soon a stop is noticed while nothing comes.
constexpr std::chrono::milliseconds kLookForStop{20};
constexpr uint64_t kMostBodyBytes = 16 << 20;

Error failed(const char* what) {
  return {ErrorCode::kInternal, std::string(what) + ": " + std::strerror(errno)};
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

LoopbackClient::LoopbackClient(LoopbackClient&& other) noexcept
    : patience_(other.patience_),
      stop_(std::move(other.stop_)),
      socket_(std::exchange(other.socket_, -1)) {}

LoopbackClient::~LoopbackClient() {
  if (socket_ >= 0) ::close(socket_);
}

/// Until the socket is ready for one of the events.
Status LoopbackClient::wait(short events, TimePoint deadline, const char* what) {
  for (;;) {
    if (stop_.stop_requested()) return Error{ErrorCode::kCancelled, "the server is stopping"};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      return Error{ErrorCode::kDeadlineExceeded, std::string(what) + ": nothing came within " +
                                                     std::to_string(patience_.count()) + " ms"};
    }
    pollfd waited{socket_, events, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::min(left, kLookForStop).count()));
    if (ready > 0) return ok_status();
    if (ready < 0 && errno != EINTR) return failed(what);
  }
}

Status LoopbackClient::connect(const net::ip::tcp::endpoint& server) {
  socket_ = ::socket(server.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return failed("socket");
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket_, server.data(), static_cast<socklen_t>(server.size())) == 0) {
    return ok_status();
  }
  if (errno != EINPROGRESS && errno != EINTR) return failed("connect");
  LYRE_RETURN_IF_ERROR(wait(POLLOUT, Clock::now() + patience_, "connect"));
  socklen_t size = sizeof errno;
  int outcome = 0;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &outcome, &size);
  errno = outcome;
  if (outcome != 0) return failed("connect");
  return ok_status();
}

Result<LoopbackAnswer> LoopbackClient::exchange(std::string_view request, size_t head_bytes) {
  const TimePoint begin = Clock::now();
  const TimePoint deadline = begin + patience_;
  while (!request.empty()) {
    const ssize_t count = ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      request.remove_prefix(static_cast<size_t>(count));
    } else if (!would_block()) {
      return failed("send");
    } else {
      LYRE_RETURN_IF_ERROR(wait(POLLOUT, deadline, "send"));
    }
  }
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(kMostBodyBytes);
  LoopbackAnswer answer;
  std::array<char, 16 * 1024> bytes;
  size_t unparsed = 0;
  while (!parser.is_done()) {
    if (unparsed == bytes.size()) {
      return Error{ErrorCode::kDataCorrupt, "the response is not HTTP: its header does not end"};
    }
    const ssize_t count = ::recv(socket_, bytes.data() + unparsed, bytes.size() - unparsed, 0);
    if (count < 0 && would_block()) {
      LYRE_RETURN_IF_ERROR(wait(POLLIN, deadline, "response"));
      continue;
    }
    if (count < 0) return failed("receive");
    if (count == 0) {
      return Error{ErrorCode::kDataCorrupt, "the connection was closed before the response ended"};
    }
    unparsed += static_cast<size_t>(count);
    boost::system::error_code failure;
    size_t parsed = 0;
    for (bool more = true; more && !parser.is_done() && parsed < unparsed;) {
      const size_t used =
          parser.put(net::const_buffer(bytes.data() + parsed, unparsed - parsed), failure);
      parsed += used;
      more = used > 0 && !failure;
    }
    if (failure && failure != http::error::need_more) {
      return Error{ErrorCode::kDataCorrupt, "the response is not HTTP: " + failure.message()};
    }
    std::copy(bytes.begin() + static_cast<ptrdiff_t>(parsed),
              bytes.begin() + static_cast<ptrdiff_t>(unparsed), bytes.begin());
    unparsed -= parsed;
    if (answer.first_audio_ms == 0 && parser.get().body().size() > head_bytes) {
      answer.first_audio_ms = milliseconds_since(begin);
    }
  }
  const auto& response = parser.get();
  answer.status = static_cast<int>(response.result_int());
  const auto io_thread = response[kIoThreadHeader];
  answer.io_thread = number({io_thread.data(), io_thread.size()});
  answer.body = std::move(parser.get().body());
  return answer;
}

}  // namespace lyre::server
