#include "lyre/server/web_socket.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <cctype>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "lyre/server/api_error.h"
#include "lyre/server/text_session.h"

namespace lyre::server {
namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using std::chrono::steady_clock;
using ErrorCode = boost::system::error_code;

namespace {

constexpr auto kTuple = net::as_tuple(net::use_awaitable);
// A socket that is closing waits this long for the other side's close.
constexpr std::chrono::seconds kCloseTime{5};

/// Whether a header that is a list of words has this one, which is in lower case.
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string entry(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    std::erase_if(entry, [](char c) { return c == ' ' || c == '\t'; });
    std::transform(entry.begin(), entry.end(), entry.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (entry == word) return true;
  }
  return false;
}

/// The handshake as the library of the socket wants to see it.
http::request<http::empty_body> handshake(const HttpRequest& request) {
  http::request<http::empty_body> head(http::verb::get, request.path, 11);
  for (const HttpHeader& header : request.headers) head.insert(header.name, header.value);
  return head;
}

/// The stream, behind what was read from it already.
class SocketStream {
 public:
  SocketStream(ByteStream& stream, beast::flat_buffer& early) : stream_(stream), early_(early) {}

  using executor_type = ByteStream::executor_type;
  executor_type get_executor() { return stream_.get_executor(); }
  ByteStream& next_layer() { return stream_; }  // what a timeout closes

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    const size_t count = net::buffer_copy(buffers, early_.data());
    early_.consume(count);
    return net::async_initiate<Token, void(ErrorCode, size_t)>(
        [this, buffers, count](auto&& handler) {
          if (count == 0) {
            stream_.async_read_some(buffers, std::forward<decltype(handler)>(handler));
          } else {
            net::post(get_executor(),
                      beast::bind_front_handler(std::forward<decltype(handler)>(handler),
                                                ErrorCode(), count));
          }
        },
        token);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return stream_.async_write_some(buffers, std::forward<Token>(token));
  }

  // How the socket says goodbye to what lies below it.
  template <class Handler>
  friend void async_teardown(beast::role_type role, SocketStream& stream, Handler&& handler) {
    async_teardown(role, stream.stream_, std::forward<Handler>(handler));
  }

 private:
  ByteStream& stream_;
  beast::flat_buffer& early_;
};

bool is_key(std::string_view key) {
  // 16 bytes in base 64.
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.end() - 2,
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '/'; });
}

/// One socket: a coroutine that writes what the session has to say, and another that reads.
class WebSocket {
 public:
  WebSocket(const WebSocketLink& link, TextProtocol protocol, AccessRecord& record)
      : link_(link),
        record_(record),
        socket_(link_.stream, link_.early),
        idle_(link_.context),
        turn_(link_.context),
        deadline_(link_.context),
        protocol_(std::move(protocol)) {}

  net::awaitable<void> run(const HttpRequest& request) {
    link_.stream.expires_never();  // the socket and deadline_ keep the time
    set_options();
    const auto head = handshake(request);
    const auto [refused] = co_await socket_.async_accept(head, kTuple);
    if (refused) {
      record_.error = refused.message();
      co_return;
    }
    session_.emplace(std::move(protocol_), host(request.client));
    net::co_spawn(link_.context, read(), [this](std::exception_ptr failure) {
      if (failure) end_reading("an exception");
      reading_ = false;
      link_.wakeup->wake_here();
    });
    watch_idleness();
    try {
      co_await write();
    } catch (const std::exception& failure) {  // memory ran out: this socket only
      end_reading(failure.what());
    }
    session_->disconnected();
    idle_.cancel();
    turn_.cancel();
    close_after(kCloseTime);  // the other side may take its time to go
    while (reading_) co_await link_.wakeup->wait();
    deadline_.cancel();
    while (timers_ > 0) co_await link_.wakeup->wait();
  }

 private:
  void set_options() {
    const ServerConfig& config = link_.state.config();
    // Pings at half of it; a client that does not even answer those is not there any more.
    socket_.set_option(websocket::stream_base::timeout{kCloseTime, config.idle_timeout, true});
    socket_.set_option(websocket::stream_base::decorator(
        [id = record_.request_id](websocket::response_type& response) {
          response.set("x-request-id", id);
          response.set(http::field::server, "lyre");
        }));
    socket_.read_message_max(config.max_body_bytes);
    socket_.auto_fragment(false);
    socket_.control_callback([this](websocket::frame_type kind, beast::string_view) {
      // read() returns only when the other side has closed its stream too.
      if (kind == websocket::frame_type::close) end_reading("");
    });
  }

  TextSessionHost host(const std::string& client) {
    TextSessionHost host;
    host.enter_queue = [&state = link_.state, client](std::function<void()> wake) {
      return state.admission().enter(client, std::move(wake));
    };
    host.queue_wait = link_.state.config().queue_wait;
    host.voice_aliases = [&state = link_.state] { return state.voice_aliases(); };
    host.service = [&state = link_.state] { return state.service(); };
    host.wake = [wakeup = link_.wakeup] { wakeup->wake(); };
    host.spoken = [&state = link_.state](const AccessRecord& record) {
      state.request_counts().add_speech(record);
      if (state.config().access_log) state.config().access_log(record);
    };
    host.record = record_;
    host.most_waiting_bytes = link_.state.config().max_body_bytes;
    return host;
  }

  net::awaitable<void> read() {
    beast::flat_buffer message;
    // Also while the socket closes: that is how the other side's close is seen.
    for (bool open = true; open;) {
      const auto [failure, count] = co_await socket_.async_read(message, kTuple);
      if (failure) {
        end_reading(failure == websocket::error::closed ? "" : failure.message());
        open = false;
      } else {
        record_.request_bytes += static_cast<int64_t>(count);
        last_heard_ = steady_clock::now();
        if (socket_.got_text()) {
          session_->receive_text({static_cast<const char*>(message.data().data()), message.size()});
        } else {
          session_->receive_binary();
        }
        message.clear();
        link_.wakeup->wake_here();
      }
    }
  }

  void end_reading(std::string why) {
    left_ = true;
    if (record_.error.empty()) record_.error = std::move(why);
    session_->disconnected();  // at once, even if a write waits for the client
    link_.wakeup->wake_here();
  }

  net::awaitable<void> write() {
    for (;;) {
      if (link_.gone || left_) co_return;
      if (link_.draining) session_->finish_soon();
      std::optional<OutgoingMessage> message = session_->next();
      if (!message) {
        wake_at(session_->deadline());
        co_await link_.wakeup->wait();
        continue;
      }
      close_after(link_.state.config().write_timeout);
      if (message->kind == OutgoingMessage::Kind::kClose) {
        websocket::close_reason reason;
        reason.code = static_cast<uint16_t>(message->code);
        reason.reason = message->bytes;
        if (message->code != CloseCode::kNormal && message->code != CloseCode::kGoingAway) {
          record_.error = message->bytes;
        }
        co_await socket_.async_close(reason, kTuple);
        co_return;
      }
      socket_.text(message->kind == OutgoingMessage::Kind::kText);
      const auto [failure, count] =
          co_await socket_.async_write(net::buffer(message->bytes), kTuple);
      deadline_.cancel();
      if (failure) {
        end_reading(failure.message());
        co_return;
      }
      record_.body_bytes += static_cast<int64_t>(count);
      last_heard_ = steady_clock::now();
    }
  }

  /// Unless deadline_ is cancelled, or set anew.
  void close_after(std::chrono::milliseconds time) {
    deadline_.expires_after(time);
    ++timers_;
    deadline_.async_wait([this](ErrorCode cancelled) {
      --timers_;
      link_.wakeup->wake_here();
      if (!cancelled) link_.stream.close();
    });
  }

  /// Once for each time: setting it anew would wake as well.
  void wake_at(const std::optional<steady_clock::time_point>& time) {
    if (!time || turn_.expiry() == *time) return;
    turn_.expires_at(*time);
    ++timers_;
    turn_.async_wait([this](ErrorCode) {
      --timers_;
      link_.wakeup->wake_here();
    });
  }

  void watch_idleness() {
    const auto timeout = session_->idle_timeout().value_or(link_.state.config().idle_timeout);
    idle_.expires_at(std::max(last_heard_, steady_clock::now() - timeout) + timeout);
    ++timers_;
    idle_.async_wait([this, timeout](ErrorCode cancelled) {
      --timers_;
      link_.wakeup->wake_here();
      if (cancelled || left_) return;
      if (session_->busy()) last_heard_ = steady_clock::now();
      if (steady_clock::now() - last_heard_ >= timeout) {
        session_->timed_out();
      } else {
        watch_idleness();
      }
    });
  }

  const WebSocketLink& link_;
  AccessRecord& record_;
  websocket::stream<SocketStream, false> socket_;  // false: no compression
  net::steady_timer idle_, turn_, deadline_;       // deadline_: of a write, or of the end
  TextProtocol protocol_;                          // moves into the session
  std::optional<TextSession> session_;
  steady_clock::time_point last_heard_ = steady_clock::now();
  bool reading_ = true;  // read() runs
  bool left_ = false;    // nothing more comes in
  int timers_ = 0;       // whose handlers have not been called
};

}  // namespace

HttpResponse web_socket_response(const HttpRequest& request, TextProtocol protocol) {
  HttpResponse response;
  if (request.method != "GET" || !has_word(request.header("upgrade"), "websocket") ||
      !has_word(request.header("connection"), "upgrade") ||
      request.header("sec-websocket-version") != "13") {
    response = error_response(
        {426, "This is a WebSocket: ask for an upgrade to it, version 13.", "", "not_a_websocket"});
    response.headers.push_back({"Upgrade", "websocket"});
    response.headers.push_back({"Connection", "Upgrade"});
    response.headers.push_back({"Sec-WebSocket-Version", "13"});
    return response;
  }
  if (!is_key(request.header("sec-websocket-key"))) {
    return error_response(
        {400, "Sec-WebSocket-Key must be 16 bytes in base64.", "", "bad_request"});
  }
  response.status = 101;
  response.web_socket = std::make_shared<TextProtocol>(std::move(protocol));
  return response;
}

net::awaitable<void> run_web_socket(const WebSocketLink& link, const HttpRequest& request,
                                    TextProtocol& protocol, AccessRecord& record) {
  WebSocket socket(link, std::move(protocol), record);
  co_await socket.run(request);
}

}  // namespace lyre::server
