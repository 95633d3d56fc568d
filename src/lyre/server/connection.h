#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lyre/server/access_record.h"
#include "lyre/server/api_error.h"
#include "lyre/server/byte_stream.h"
#include "lyre/server/http_message.h"
#include "lyre/server/server_state.h"
#include "lyre/server/wakeup.h"

namespace lyre::server {

/// Who is at the other end.
struct Peer {
  std::string address;  // "127.0.0.1", "::1"; "unix" for a Unix socket
  int port = 0;         // 0: it has none
};

/// One client: a coroutine that owns socket and buffers and serves requests one after another, on
/// the one thread of its io_context. While audio is sent, a second coroutine reads ahead, which is
/// how a client that leaves is noticed; it then takes the audio away from the engine at once.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// `io_thread` is the number of the thread that runs the context.
  Connection(boost::asio::io_context& context, int io_thread, ByteStream::socket_type socket,
             Peer peer, const ServerState& state);
  ~Connection();

  /// `ended` is called on the connection's thread when everything is over.
  void start(std::function<void()> ended);

  /// Any thread: ends after the response in progress, at once if there is none.
  void finish_soon();
  /// Any thread: ends now.
  void abort();

 private:
  struct Exchange;
  template <class T = void>
  using Task = boost::asio::awaitable<T>;
  using ErrorCode = boost::system::error_code;

  Task<> run();
  // Tasks with bool: false ends the connection.
  Task<bool> serve_one();
  Task<bool> read_request(Exchange& exchange);
  bool refuse(Exchange& exchange, ErrorCode failure);
  Task<HttpResponse> answer(Exchange& exchange);
  Task<std::optional<ApiError>> wait_until_ready(Exchange& exchange);
  Task<std::optional<ApiError>> wait_for_place(Exchange& exchange);
  Task<> wait_for_later(HttpResponse& response);
  HttpResponse route(Exchange& exchange, RouteTable::Match match) const;
  Task<bool> send_plain(Exchange& exchange, const HttpResponse& response);
  Task<> become_web_socket(Exchange& exchange, TextProtocol& protocol);
  Task<bool> send_audio(Exchange& exchange, HttpResponse& response);
  Task<bool> speak(Exchange& exchange, HttpResponse& response, PcmSource& pcm);
  Task<> send_payload(Exchange& exchange, bool chunked);

  Task<ErrorCode> write_all(std::string_view bytes);
  Task<> close_politely();

  void start_watching();
  Task<> stop_watching();
  Task<> watch();

  boost::asio::io_context& context_;
  const int io_thread_;
  ByteStream stream_;
  boost::beast::flat_buffer buffer_;  // read and not yet parsed
  const ServerState& state_;
  std::shared_ptr<Wakeup> wakeup_;
  const Peer peer_;

  bool idle_ = false;      // waiting for the first byte of a request
  bool draining_ = false;  // no further request
  bool gone_ = false;      // the client left or the connection was aborted
  bool unread_ = false;    // the rest of a refused request may still come in
  bool watching_ = false;  // watch() runs
  bool watch_wanted_ = false;

  // Reused from chunk to chunk.
  std::vector<float> samples_;
  std::string payload_, out_;
};

}  // namespace lyre::server
