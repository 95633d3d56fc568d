#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>

#include "lyre/base/result.h"

namespace boost::asio::ssl {
class context;
}

namespace lyre::server {

/// The certificate and key that clients are shown. Any thread.
class TlsContext {
 public:
  /// PEM; behind the certificate may stand its chain. For the handshakes from now on.
  /// kInvalidArgument names the file that is bad; what was loaded before stays.
  Status load(const std::filesystem::path& certificate, const std::filesystem::path& key);
  /// Null before the first load().
  std::shared_ptr<boost::asio::ssl::context> current() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> current_;
};

struct TlsTimes {
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds write{30'000};  // until the client has taken a block of 16 KiB
};

/// The TLS of one client: shakes hands, then carries bytes between the client and the inner end of
/// a pair of sockets, of which the Connection has the other. So only this file knows of TLS, and
/// HTTP is compiled once. 16 KiB are under way in each direction, beside what the kernel holds.
///
/// An end is passed on: when the client sends no more, the Connection reads the end of the stream;
/// when the Connection closes, the client gets what is under way and the end of TLS, and a second
/// later at the latest its socket is closed.
class TlsRelay {
 public:
  /// Both sockets belong to the context, which has one thread.
  TlsRelay(boost::asio::io_context& context, std::shared_ptr<boost::asio::ssl::context> tls,
           boost::asio::ip::tcp::socket client, boost::asio::local::stream_protocol::socket inner,
           const TlsTimes& times);
  ~TlsRelay();

  /// `ended` is called on the relay's thread when both sockets are closed.
  void start(std::function<void()> ended);
  /// Any thread: ends now if the handshake is not over. Else the end of the Connection ends it.
  void finish_soon();
  /// Any thread: ends now.
  void abort();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace lyre::server
