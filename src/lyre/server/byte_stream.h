#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>

namespace lyre::server {

/// The bytes of one client, whatever carries them: TCP, a Unix socket, or the pair of sockets
/// behind which a TlsRelay speaks TLS. One type, so that what is spoken over it is compiled once.
/// An AsyncStream for Beast: async_read_some, async_write_some, expires_after, cancel, close;
/// websocket::stream<ByteStream&> takes it as it is. The socket does not block:
/// socket().write_some() writes what fits at once.
using ByteStream = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;

}  // namespace lyre::server
