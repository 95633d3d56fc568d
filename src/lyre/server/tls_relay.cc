#include "lyre/server/tls_relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <utility>

namespace lyre::server {
namespace net = boost::asio;
namespace ssl = net::ssl;
using boost::system::error_code;

namespace {

constexpr auto kTuple = net::as_tuple(net::use_awaitable);
constexpr size_t kBlockBytes = 16 * 1024;  // what a record of TLS holds
// For the client to answer the end of TLS, and for what it still sends: closing with unread bytes
// would reset the connection, and the client might never see the answer.
constexpr std::chrono::milliseconds kLingerTime{1000};
// The kernel would else take seconds of audio ahead of a slow client, see Connection.
constexpr int kMostUnsentBytes = 64 * 1024;

Error bad_file(const char* what, const std::filesystem::path& file, const error_code& failure) {
  return {ErrorCode::kInvalidArgument,
          std::string(what) + " " + file.string() +
              ": expected PEM that can be used, found: " + failure.message()};
}

}  // namespace

Status TlsContext::load(const std::filesystem::path& certificate,
                        const std::filesystem::path& key) {
  auto loaded = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = loaded->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(
      native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // of idle connections
  error_code failure;
  loaded->use_certificate_chain_file(certificate.string(), failure);
  if (failure) return bad_file("TLS certificate", certificate, failure);
  // A key with a password is refused; by default OpenSSL would ask the terminal for it.
  loaded->set_password_callback([](size_t, ssl::context::password_purpose) { return ""; }, failure);
  loaded->use_private_key_file(key.string(), ssl::context::pem, failure);
  if (failure) return bad_file("TLS key", key, failure);
  if (SSL_CTX_check_private_key(native) != 1) {
    return Error{ErrorCode::kInvalidArgument, "TLS key " + key.string() +
                                                  ": expected the key of the certificate " +
                                                  certificate.string() + ", found another"};
  }
  const std::lock_guard lock(mutex_);
  current_ = std::move(loaded);
  return ok_status();
}

std::shared_ptr<ssl::context> TlsContext::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

/// Everything but the constructor happens on the thread of the context.
class TlsRelay::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(net::io_context& context, std::shared_ptr<ssl::context> tls, net::ip::tcp::socket client,
       net::local::stream_protocol::socket inner, const TlsTimes& times)
      : context_(context),
        tls_(std::move(tls)),
        client_(std::move(client), *tls_),
        inner_(std::move(inner)),
        deadline_(context),
        times_(times) {
    error_code ignored;
    client_.next_layer().set_option(net::ip::tcp::no_delay(true), ignored);
    ::setsockopt(client_.next_layer().native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                 &kMostUnsentBytes, sizeof kMostUnsentBytes);
  }

  void start(std::function<void()> ended) {
    ended_ = std::move(ended);
    spawn(run());
  }
  void finish_soon() {
    net::post(context_, [self = shared_from_this()] {
      if (!self->established_) self->close();
    });
  }
  void abort() {
    net::post(context_, [self = shared_from_this()] { self->close(); });
  }

 private:
  void spawn(net::awaitable<void> part) {
    ++parts_;
    net::co_spawn(context_, std::move(part), [self = shared_from_this()](std::exception_ptr) {
      if (--self->parts_ > 0) return;
      self->close_never();
      self->close();
      self->ended_();
    });
  }

  net::awaitable<void> run() {
    close_after(times_.handshake);
    const auto [failure] = co_await client_.async_handshake(ssl::stream_base::server, kTuple);
    if (failure) {
      close();
      co_return;
    }
    close_never();
    established_ = true;
    spawn(carry_in());
    spawn(carry_out());
  }

  /// From the client to the Connection.
  net::awaitable<void> carry_in() {
    bool wanted = true;
    for (;;) {
      const auto [failure, count] =
          co_await client_.async_read_some(net::buffer(from_client_), kTuple);
      if (failure) break;
      if (!wanted) continue;  // for carry_out to end in peace, which takes a second at most
      const auto [unwritten, written] =
          co_await net::async_write(inner_, net::buffer(from_client_.data(), count), kTuple);
      wanted = !unwritten;
    }
    // What the Connection still has to say goes out, if there is anybody to hear it.
    error_code ignored;
    inner_.shutdown(net::socket_base::shutdown_send, ignored);
  }

  /// From the Connection to the client.
  net::awaitable<void> carry_out() {
    for (;;) {
      const auto [ended, count] = co_await inner_.async_read_some(net::buffer(to_client_), kTuple);
      if (ended) break;
      close_after(times_.write);
      const auto [failure, written] =
          co_await net::async_write(client_, net::buffer(to_client_.data(), count), kTuple);
      close_never();
      if (failure) {
        close();
        co_return;
      }
    }
    close_after(kLingerTime);
    co_await client_.async_shutdown(kTuple);  // says so, and waits for an answer
    error_code ignored;
    client_.next_layer().shutdown(net::socket_base::shutdown_send, ignored);
    // The deadline stands until carry_in() has read the client's end.
  }

  void close_after(std::chrono::milliseconds time) {
    deadline_.expires_after(time);
    deadline_.async_wait([self = shared_from_this()](const error_code& cancelled) {
      // The wait may have been over when the deadline was moved.
      if (!cancelled && self->deadline_.expiry() <= net::steady_timer::clock_type::now()) {
        self->close();
      }
    });
  }
  void close_never() { deadline_.expires_at(net::steady_timer::time_point::max()); }

  void close() {
    error_code ignored;
    client_.next_layer().close(ignored);
    inner_.close(ignored);
  }

  net::io_context& context_;
  const std::shared_ptr<ssl::context> tls_;  // as it was when the client came
  ssl::stream<net::ip::tcp::socket> client_;
  net::local::stream_protocol::socket inner_;
  net::steady_timer deadline_;
  const TlsTimes times_;
  std::function<void()> ended_;
  int parts_ = 0;  // coroutines that run
  bool established_ = false;
  std::array<char, kBlockBytes> from_client_, to_client_;
};

TlsRelay::TlsRelay(net::io_context& context, std::shared_ptr<ssl::context> tls,
                   net::ip::tcp::socket client, net::local::stream_protocol::socket inner,
                   const TlsTimes& times)
    : impl_(std::make_shared<Impl>(context, std::move(tls), std::move(client), std::move(inner),
                                   times)) {}
TlsRelay::~TlsRelay() = default;
void TlsRelay::start(std::function<void()> ended) { impl_->start(std::move(ended)); }
void TlsRelay::finish_soon() { impl_->finish_soon(); }
void TlsRelay::abort() { impl_->abort(); }

}  // namespace lyre::server
