#include "lyre/server/server.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "lyre/base/trace.h"
#include "lyre/server/connection.h"
#include "lyre/server/loopback_warmup.h"
#include "lyre/server/server_state.h"
#include "lyre/server/tls_relay.h"

namespace lyre::server {
namespace net = boost::asio;
using boost::system::error_code;
using net::ip::tcp;
using local = net::local::stream_protocol;

namespace {

/// An io_context with its one thread: everything of a connection happens on it, without locks.
struct IoThread {
  int index = 0;
  net::io_context context{1};
  net::executor_work_guard<net::io_context::executor_type> work{context.get_executor()};
  std::thread thread;
};

/// Its thread is the first.
template <class Protocol>
struct Listener {
  explicit Listener(net::io_context& context) : acceptor(context), may_accept(context) {}

  typename Protocol::acceptor acceptor;
  net::steady_timer may_accept;  // cancelled when there is room
};

// What the kernel holds between a Connection and its TlsRelay: audio ahead of a slow client.
constexpr int kMostInnerBytes = 32 * 1024;

Error cannot_listen(const std::string& where, const std::string& why,
                    ErrorCode code = ErrorCode::kUnavailable) {
  return {code, "cannot listen on " + where + ": " + why};
}

/// A server that was killed leaves its socket behind: removes it if nobody listens there any more.
Status remove_stale_socket(net::io_context& context, const local::endpoint& endpoint) {
  const std::string path = endpoint.path();
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? ok_status() : cannot_listen(path, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return cannot_listen(path, "there is a file that is no socket", ErrorCode::kInvalidArgument);
  }
  local::socket probe(context);
  error_code failure;
  probe.connect(endpoint, failure);
  if (!failure) return cannot_listen(path, "another process listens there");
  if (failure != net::error::connection_refused) return cannot_listen(path, failure.message());
  if (::unlink(path.c_str()) != 0) return cannot_listen(path, std::strerror(errno));
  return ok_status();
}

}  // namespace

class Server::Impl {
 public:
  explicit Impl(ServerConfig config) : state_(std::move(config)) {}
  ~Impl();

  Status listen();
  void start();
  bool stop(std::chrono::milliseconds patience);
  ServiceWarmup::MakeSteps own_steps();
  Status reload_certificate();

  ServerState state_;
  tcp::endpoint listening_;

 private:
  Status listen_on_port();
  Status listen_on_unix_socket();
  template <class Protocol>
  net::awaitable<void> accept(Listener<Protocol>& listener);
  // Any thread.
  void add(IoThread& io, tcp::socket socket);
  void add(IoThread& io, local::socket socket);
  bool admit(const std::string& address);
  void leave(const std::string& address);
  void start_connection(IoThread& io, ByteStream::socket_type socket, Peer peer,
                        std::function<void()> ended);
  void start_relay(IoThread& io, tcp::socket socket, Peer peer);
  Result<int> connect_locally(int io_thread);
  void wake_listeners();

  std::vector<std::unique_ptr<IoThread>> threads_;
  std::optional<Listener<tcp>> port_;
  std::optional<Listener<local>> unix_socket_;
  std::unique_ptr<TlsContext> tls_;  // null: the port speaks plain HTTP

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;  // under mutex_
  std::unordered_set<std::shared_ptr<TlsRelay>> relays_;         // under mutex_
  std::unordered_map<std::string, int> open_of_address_;         // connections, under mutex_
  std::once_flag stopped_;
  bool stopped_clean_ = true;
};

Status Server::Impl::listen() {
  for (int i = 0; i < std::max(1, state_.config().io_threads); ++i) {
    threads_.push_back(std::make_unique<IoThread>());
    threads_.back()->index = i;
  }
  const ServerConfig& config = state_.config();
  if (config.tls_certificate.empty() != config.tls_key.empty()) {
    return Error{ErrorCode::kInvalidArgument, config.tls_key.empty()
                                                  ? "tls_certificate is given without tls_key"
                                                  : "tls_key is given without tls_certificate"};
  }
  if (!config.tls_certificate.empty()) {
    tls_ = std::make_unique<TlsContext>();
    LYRE_RETURN_IF_ERROR(reload_certificate());
  }
  LYRE_RETURN_IF_ERROR(listen_on_port());
  if (config.unix_socket.empty()) return ok_status();
  return listen_on_unix_socket();
}

Status Server::Impl::reload_certificate() {
  if (!tls_) return ok_status();
  return tls_->load(state_.config().tls_certificate, state_.config().tls_key);
}

Status Server::Impl::listen_on_port() {
  net::io_context& context = threads_.front()->context;
  const std::string& host = state_.config().host;
  const std::string port = std::to_string(state_.config().port);
  const std::string where = host + ":" + port;
  error_code failure;
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(
      host, port, tcp::resolver::passive | tcp::resolver::numeric_service, failure);
  if (failure || found.empty()) {
    return cannot_listen(where, "the host is not known (" + failure.message() + ")",
                         ErrorCode::kInvalidArgument);
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  port_.emplace(context);
  tcp::acceptor& acceptor = port_->acceptor;
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.set_option(net::socket_base::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(net::socket_base::max_listen_connections, failure);
  if (!failure) listening_ = acceptor.local_endpoint(failure);
  if (failure) return cannot_listen(where, failure.message());
  return ok_status();
}

Status Server::Impl::listen_on_unix_socket() {
  net::io_context& context = threads_.front()->context;
  const std::string path = state_.config().unix_socket.string();
  // With its final zero.
  constexpr size_t kMostPathBytes = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMostPathBytes) {
    return cannot_listen(path,
                         "expected a path of at most " + std::to_string(kMostPathBytes) +
                             " bytes, found " + std::to_string(path.size()),
                         ErrorCode::kInvalidArgument);
  }
  const local::endpoint endpoint(path);
  LYRE_RETURN_IF_ERROR(remove_stale_socket(context, endpoint));
  unix_socket_.emplace(context);
  local::acceptor& acceptor = unix_socket_->acceptor;
  error_code failure;
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (failure) {
    unix_socket_.reset();  // there is nothing to remove
    return cannot_listen(path, failure.message());
  }
  // Nobody can connect before listen().
  if (::chmod(path.c_str(), 0660) != 0) return cannot_listen(path, std::strerror(errno));
  acceptor.listen(net::socket_base::max_listen_connections, failure);
  if (failure) return cannot_listen(path, failure.message());
  return ok_status();
}

ServiceWarmup::MakeSteps Server::Impl::own_steps() {
  LoopbackTarget target;
  target.listening = listening_;
  if (tls_) target.connect = [this](int io_thread) { return connect_locally(io_thread); };
  target.key = state_.warmup_key();
  target.io_threads = static_cast<int>(threads_.size());
  target.patience = state_.config().warmup_patience;
  target.slow_frame = state_.config().warmup_slow_frame;
  return [target](std::stop_token stop) { return loopback_steps(target, std::move(stop)); };
}

void Server::Impl::start() {
  net::io_context& context = threads_.front()->context;
  net::co_spawn(context, accept(*port_), [](std::exception_ptr) {});
  if (unix_socket_) net::co_spawn(context, accept(*unix_socket_), [](std::exception_ptr) {});
  for (auto& io : threads_) {
    io->thread = std::thread([io = io.get()] {
      trace::name_thread("io " + std::to_string(io->index));
      io->context.run();
    });
  }
}

template <class Protocol>
net::awaitable<void> Server::Impl::accept(Listener<Protocol>& listener) {
  for (size_t turn = 0; !state_.stopping(); ++turn) {
    // Connections beyond the limit wait in the kernel's queue.
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        // A relay may outlive its connection, until the client has taken everything.
        const size_t open = std::max(connections_.size(), relays_.size());
        if (open < static_cast<size_t>(state_.config().max_connections)) break;
        listener.may_accept.expires_at(net::steady_timer::time_point::max());
      }
      co_await listener.may_accept.async_wait(net::as_tuple(net::use_awaitable));
      if (state_.stopping()) co_return;
    }
    IoThread& io = *threads_[turn % threads_.size()];
    auto [failure, socket] =
        co_await listener.acceptor.async_accept(io.context, net::as_tuple(net::use_awaitable));
    if (!failure) {
      add(io, std::move(socket));
    } else if (!listener.acceptor.is_open()) {
      co_return;
    } else {
      // The client left in the queue, or the process has no descriptor left: the latter would come
      // back at once until a connection ends.
      listener.may_accept.expires_after(std::chrono::milliseconds(50));
      co_await listener.may_accept.async_wait(net::as_tuple(net::use_awaitable));
    }
  }
}

void Server::Impl::wake_listeners() {
  net::post(threads_.front()->context, [this] {
    port_->may_accept.cancel();
    if (unix_socket_) unix_socket_->may_accept.cancel();
  });
}

/// False if too many of this address are here; else leave() must follow.
bool Server::Impl::admit(const std::string& address) {
  const int most_of_an_address = state_.config().max_connections_of_an_address;
  const std::lock_guard lock(mutex_);
  int& open = open_of_address_[address];
  if (most_of_an_address > 0 && open >= most_of_an_address) return false;
  ++open;
  return true;
}

void Server::Impl::leave(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto open = open_of_address_.find(address);
  if (--open->second == 0) open_of_address_.erase(open);
}

void Server::Impl::add(IoThread& io, tcp::socket socket) {
  Peer peer;
  error_code failure;
  if (const auto from = socket.remote_endpoint(failure); !failure) {
    peer = {from.address().to_string(failure), from.port()};
  }
  if (!admit(peer.address)) return;  // closes the socket
  if (tls_) return start_relay(io, std::move(socket), std::move(peer));
  const std::string address = peer.address;
  start_connection(io, std::move(socket), std::move(peer), [this, address] { leave(address); });
}

/// Clients of a Unix socket cannot be told apart, so there is no limit for each.
void Server::Impl::add(IoThread& io, local::socket socket) {
  start_connection(io, std::move(socket), {"unix", 0}, [] {});
}

/// The connection begins with the handshake, which ends it if it fails: so one limit holds for
/// both.
void Server::Impl::start_relay(IoThread& io, tcp::socket socket, Peer peer) {
  const std::string address = peer.address;
  local::socket inner(io.context), outer(io.context);
  error_code failure;
  net::local::connect_pair(inner, outer, failure);
  if (failure) return leave(address);  // no descriptor left
  const net::socket_base::send_buffer_size most(kMostInnerBytes);
  inner.set_option(most, failure);
  outer.set_option(most, failure);
  const TlsTimes times{state_.config().header_timeout, state_.config().write_timeout};
  auto relay = std::make_shared<TlsRelay>(io.context, tls_->current(), std::move(socket),
                                          std::move(inner), times);
  {
    const std::lock_guard lock(mutex_);
    relays_.insert(relay);
    if (state_.stopping()) relay->finish_soon();  // as below
  }
  start_connection(io, std::move(outer), std::move(peer), [] {});
  TlsRelay& started = *relay;
  started.start([this, address, relay = std::move(relay)] {
    leave(address);
    {
      const std::lock_guard lock(mutex_);
      relays_.erase(relay);
      changed_.notify_all();
    }
    wake_listeners();
  });
}

/// `ended` is called on the thread of the connection.
void Server::Impl::start_connection(IoThread& io, ByteStream::socket_type socket, Peer peer,
                                    std::function<void()> ended) {
  ++state_.request_counts().connections;
  auto connection = std::make_shared<Connection>(io.context, io.index, std::move(socket),
                                                 std::move(peer), state_);
  {
    const std::lock_guard lock(mutex_);
    connections_.insert(connection);
    // stop() told those that were there before.
    if (state_.stopping()) connection->finish_soon();
  }
  Connection& started = *connection;
  started.start([this, ended = std::move(ended), connection = std::move(connection)] {
    --state_.request_counts().connections;
    ended();
    {
      const std::lock_guard lock(mutex_);
      connections_.erase(connection);
      changed_.notify_all();
    }
    wake_listeners();
  });
}

/// A connection of the server with itself, past the listeners.
Result<int> Server::Impl::connect_locally(int io_thread) {
  if (state_.stopping()) return Error{ErrorCode::kCancelled, "the server is stopping"};
  IoThread& io = *threads_[static_cast<size_t>(io_thread)];
  local::socket mine(io.context), server(io.context);
  error_code failure;
  net::local::connect_pair(mine, server, failure);
  if (!failure) mine.native_non_blocking(true, failure);
  int descriptor = -1;
  if (!failure) descriptor = mine.release(failure);
  if (failure) return Error{ErrorCode::kInternal, "socketpair: " + failure.message()};
  add(io, std::move(server));
  return descriptor;
}

bool Server::Impl::stop(std::chrono::milliseconds patience) {
  std::call_once(stopped_, [&] {
    state_.begin_stop();
    // While it is listened on: no other server takes its place before it has gone.
    if (unix_socket_) ::unlink(state_.config().unix_socket.c_str());
    net::post(threads_.front()->context, [this] {
      error_code ignored;
      if (port_) port_->acceptor.close(ignored);
      if (unix_socket_) unix_socket_->acceptor.close(ignored);
    });
    wake_listeners();
    std::unique_lock lock(mutex_);
    for (const auto& connection : connections_) connection->finish_soon();
    for (const auto& relay : relays_) relay->finish_soon();
    const auto none = [this] { return connections_.empty() && relays_.empty(); };
    stopped_clean_ = changed_.wait_for(lock, patience, none);
    if (stopped_clean_) return;
    // A warm-up's requests to the server itself end with their connections.
    for (const auto& connection : connections_) connection->abort();
    for (const auto& relay : relays_) relay->abort();
    changed_.wait(lock, none);
  });
  state_.warmup().join();
  state_.background().join();
  return stopped_clean_;
}

Server::Impl::~Impl() {
  stop(std::chrono::milliseconds(0));
  for (auto& io : threads_) {
    io->work.reset();
    io->context.stop();
  }
  for (auto& io : threads_) {
    if (io->thread.joinable()) io->thread.join();
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::open(ServerConfig config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  LYRE_RETURN_IF_ERROR(impl->listen());
  impl->start();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::serve(SpeechService service) {
  ServerState& state = impl_->state_;
  state.warmup().prepare(state.set_service(std::move(service)), impl_->own_steps());
  state.readiness().skip_warmup();
}

WarmupReport Server::warm_up_and_serve(SpeechService service, const StartWarmup& options) {
  ServerState& state = impl_->state_;
  return state.warmup()
      .prepare_and_run(state.set_service(std::move(service)), impl_->own_steps(), options.whole,
                       options.begun)
      .report;
}

std::optional<double> Server::ready_ms() const {
  return impl_->state_.readiness().snapshot().ready_ms;
}

uint16_t Server::port() const noexcept { return impl_->listening_.port(); }
Status Server::set_voice_aliases(VoiceAliases aliases) {
  return impl_->state_.set_voice_aliases(std::move(aliases));
}
Status Server::reload_certificate() { return impl_->reload_certificate(); }
void Server::set_api_keys(ApiKeys keys) { impl_->state_.set_api_keys(std::move(keys)); }
void Server::begin_stop() { impl_->state_.begin_stop(); }
bool Server::stop(std::chrono::milliseconds patience) { return impl_->stop(patience); }

}  // namespace lyre::server
