#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <memory>

#include "lyre/server/access_record.h"
#include "lyre/server/byte_stream.h"
#include "lyre/server/http_message.h"
#include "lyre/server/server_state.h"
#include "lyre/server/text_protocol.h"
#include "lyre/server/wakeup.h"

namespace lyre::server {

/// 101 with the protocol, for a request that asks for a WebSocket; else the error. A handler's
/// answer to GET.
HttpResponse web_socket_response(const HttpRequest& request, TextProtocol protocol);

/// What a socket has of its connection. All of it outlives the socket.
struct WebSocketLink {
  boost::asio::io_context& context;
  ByteStream& stream;
  boost::beast::flat_buffer& early;  // read from the stream already
  const ServerState& state;
  std::shared_ptr<Wakeup> wakeup;
  // Changed on the thread of the context, with a wake.
  const bool& draining;  // what is spoken may end, nothing new begins
  const bool& gone;      // the stream is closed
};

/// Shakes hands and runs the protocol until the socket is closed, whoever closes it; then the
/// stream is of no further use. record: that of the request; gets what became of the socket. All
/// arguments outlive the coroutine; the protocol is moved from.
boost::asio::awaitable<void> run_web_socket(const WebSocketLink& link, const HttpRequest& request,
                                            TextProtocol& protocol, AccessRecord& record);

}  // namespace lyre::server
