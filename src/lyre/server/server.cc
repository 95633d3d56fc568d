#include "lyre/server/server.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
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

namespace lyre::server {
namespace net = boost::asio;
using boost::system::error_code;
using net::ip::tcp;

namespace {

/// An io_context with its one thread: everything of a connection happens on it, without locks.
struct IoThread {
  int index = 0;
  net::io_context context{1};
  net::executor_work_guard<net::io_context::executor_type> work{context.get_executor()};
  std::thread thread;
};

}  // namespace

class Server::Impl {
 public:
  explicit Impl(ServerConfig config) : state_(std::move(config)) {}
  ~Impl();

  Status listen();
  void start();
  bool stop(std::chrono::milliseconds patience);
  ServiceWarmup::MakeSteps own_steps() const;

  ServerState state_;
  tcp::endpoint listening_;

 private:
  net::awaitable<void> accept();
  void add(IoThread& io, tcp::socket socket);

  std::vector<std::unique_ptr<IoThread>> threads_;
  std::optional<tcp::acceptor> acceptor_;  // on the first thread
  std::optional<net::steady_timer>
      may_accept_;  // on the first thread; cancelled when there is room

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;  // under mutex_
  std::unordered_map<std::string, int> open_of_address_;         // connections, under mutex_
  std::once_flag stopped_;
  bool stopped_clean_ = true;
};

Status Server::Impl::listen() {
  for (int i = 0; i < std::max(1, state_.config().io_threads); ++i) {
    threads_.push_back(std::make_unique<IoThread>());
    threads_.back()->index = i;
  }
  net::io_context& context = threads_.front()->context;
  const std::string& host = state_.config().host;
  const std::string port = std::to_string(state_.config().port);
  const std::string where = host + ":" + port;
  error_code failure;
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(
      host, port, tcp::resolver::passive | tcp::resolver::numeric_service, failure);
  if (failure || found.empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        "cannot listen on " + where + ": the host is not known (" + failure.message() + ")"};
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.emplace(context);
  acceptor_->open(endpoint.protocol(), failure);
  if (!failure) acceptor_->set_option(net::socket_base::reuse_address(true), failure);
  if (!failure) acceptor_->bind(endpoint, failure);
  if (!failure) acceptor_->listen(net::socket_base::max_listen_connections, failure);
  if (!failure) listening_ = acceptor_->local_endpoint(failure);
  if (failure) {
    return Error{ErrorCode::kUnavailable, "cannot listen on " + where + ": " + failure.message()};
  }
  may_accept_.emplace(context);
  return ok_status();
}

ServiceWarmup::MakeSteps Server::Impl::own_steps() const {
  LoopbackTarget target;
  target.listening = listening_;
  target.key = state_.warmup_key();
  target.io_threads = static_cast<int>(threads_.size());
  target.patience = state_.config().warmup_patience;
  target.slow_frame = state_.config().warmup_slow_frame;
  return [target](std::stop_token stop) { return loopback_steps(target, std::move(stop)); };
}

void Server::Impl::start() {
  net::co_spawn(threads_.front()->context, accept(), [](std::exception_ptr) {});
  for (auto& io : threads_) {
    io->thread = std::thread([io = io.get()] {
      trace::name_thread("io " + std::to_string(io->index));
      io->context.run();
    });
  }
}

net::awaitable<void> Server::Impl::accept() {
  for (size_t turn = 0; !state_.stopping(); ++turn) {
    // Connections beyond the limit wait in the kernel's queue.
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (connections_.size() < static_cast<size_t>(state_.config().max_connections)) break;
        may_accept_->expires_at(net::steady_timer::time_point::max());
      }
      co_await may_accept_->async_wait(net::as_tuple(net::use_awaitable));
      if (state_.stopping()) co_return;
    }
    IoThread& io = *threads_[turn % threads_.size()];
    auto [failure, socket] =
        co_await acceptor_->async_accept(io.context, net::as_tuple(net::use_awaitable));
    if (!failure) {
      add(io, std::move(socket));
    } else if (!acceptor_->is_open()) {
      co_return;
    } else {
      // The client left in the queue, or the process has no descriptor left: the latter would come
      // back at once until a connection ends.
      may_accept_->expires_after(std::chrono::milliseconds(50));
      co_await may_accept_->async_wait(net::as_tuple(net::use_awaitable));
    }
  }
}

void Server::Impl::add(IoThread& io, tcp::socket socket) {
  Peer peer;
  error_code failure;
  if (const auto from = socket.remote_endpoint(failure); !failure) {
    peer = {from.address().to_string(failure), from.port()};
  }
  const int most_of_an_address = state_.config().max_connections_of_an_address;
  {
    const std::lock_guard lock(mutex_);
    int& open = open_of_address_[peer.address];
    if (most_of_an_address > 0 && open >= most_of_an_address) return;  // closes the socket
    ++open;
  }
  ++state_.request_counts().connections;
  const std::string address = peer.address;
  auto connection = std::make_shared<Connection>(io.context, io.index, std::move(socket),
                                                 std::move(peer), state_);
  {
    const std::lock_guard lock(mutex_);
    connections_.insert(connection);
    // stop() told those that were there before.
    if (state_.stopping()) connection->finish_soon();
  }
  Connection& started = *connection;
  started.start([this, address, connection = std::move(connection)] {
    --state_.request_counts().connections;
    {
      const std::lock_guard lock(mutex_);
      const auto open = open_of_address_.find(address);
      if (--open->second == 0) open_of_address_.erase(open);
      connections_.erase(connection);
      changed_.notify_all();
    }
    net::post(threads_.front()->context, [this] { may_accept_->cancel(); });
  });
}

bool Server::Impl::stop(std::chrono::milliseconds patience) {
  std::call_once(stopped_, [&] {
    state_.begin_stop();
    net::post(threads_.front()->context, [this] {
      error_code ignored;
      acceptor_->close(ignored);
      may_accept_->cancel();
    });
    std::unique_lock lock(mutex_);
    for (const auto& connection : connections_) connection->finish_soon();
    const auto none = [this] { return connections_.empty(); };
    stopped_clean_ = changed_.wait_for(lock, patience, none);
    if (stopped_clean_) return;
    // A warm-up's requests to the server itself end with their connections.
    for (const auto& connection : connections_) connection->abort();
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
void Server::set_api_keys(ApiKeys keys) { impl_->state_.set_api_keys(std::move(keys)); }
void Server::begin_stop() { impl_->state_.begin_stop(); }
bool Server::stop(std::chrono::milliseconds patience) { return impl_->stop(patience); }

}  // namespace lyre::server
