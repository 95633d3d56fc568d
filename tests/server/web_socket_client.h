#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/test_client.h"

namespace lyre::server::test {

/// A message or a control frame as it came.
struct WireFrame {
  int opcode = -1;  // 1 text, 2 binary, 8 close, 9 ping, 10 pong; -1: the stream ended
  std::string payload;
  bool final = false;

  /// Of a close frame; 1005: it names none.
  int close_code() const {
    if (payload.size() < 2) return 1005;
    return (static_cast<unsigned char>(payload[0]) << 8) | static_cast<unsigned char>(payload[1]);
  }
};

/// Blocking WebSocket client that knows nothing of the server's code, and that can send what no
/// decent client would.
class WebSocketClient {
 public:
  WebSocketClient(uint16_t port, std::string_view path, std::string_view headers = "",
                  int receive_buffer_bytes = 0)
      : client_(port, receive_buffer_bytes) {
    std::string request = "GET ";
    request.append(path).append(" HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n");
    request.append("Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    request.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    request.append(headers).append("\r\n");
    client_.send(request);
    response_ = client_.read_head();
  }

  const WireResponse& response() const { return response_; }
  TestClient& raw() { return client_; }

  bool send_text(std::string_view text) { return send_frame(1, text); }
  bool send_close(int code) {
    const char payload[] = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
    return send_frame(8, {payload, sizeof payload});
  }
  bool send_frame(int opcode, std::string_view payload, bool final = true, bool masked = true) {
    std::string frame;
    frame += static_cast<char>((final ? 0x80 : 0) | opcode);
    const int mask_bit = masked ? 0x80 : 0;
    if (payload.size() < 126) {
      frame += static_cast<char>(mask_bit | static_cast<int>(payload.size()));
    } else if (payload.size() < 65'536) {
      frame += static_cast<char>(mask_bit | 126);
      for (int shift = 8; shift >= 0; shift -= 8) {
        frame += static_cast<char>((payload.size() >> shift) & 0xff);
      }
    } else {
      frame += static_cast<char>(mask_bit | 127);
      for (int shift = 56; shift >= 0; shift -= 8) {
        frame += static_cast<char>((payload.size() >> shift) & 0xff);
      }
    }
    const std::string_view mask = "\x12\x34\x56\x78";
    if (masked) frame += mask;
    for (size_t i = 0; i < payload.size(); ++i) {
      frame += static_cast<char>(payload[i] ^ (masked ? mask[i % 4] : '\0'));
    }
    return client_.send(frame);
  }

  /// The next frame.
  WireFrame receive() {
    WireFrame frame;
    std::string head = take(2);
    if (head.size() < 2) return frame;
    uint64_t size = static_cast<unsigned char>(head[1]) & 0x7f;
    if (size >= 126) {
      const std::string length = take(size == 126 ? 2 : 8);
      size = 0;
      for (const char byte : length) size = (size << 8) | static_cast<unsigned char>(byte);
    }
    frame.payload = take(size);
    if (frame.payload.size() < size) return frame;
    frame.final = (static_cast<unsigned char>(head[0]) & 0x80) != 0;
    frame.opcode = head[0] & 0x0f;
    return frame;
  }
  /// The payload of the next text frame; of anything else, what it is.
  std::string receive_text() {
    const WireFrame frame = receive();
    if (frame.opcode == 1) return frame.payload;
    if (frame.opcode == 8) return "close " + std::to_string(frame.close_code());
    return "opcode " + std::to_string(frame.opcode);
  }
  /// So many bytes of binary frames, or fewer if another frame comes or the stream ends.
  std::string receive_binary(size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const WireFrame frame = receive();
      if (frame.opcode != 2) break;
      all += frame.payload;
    }
    return all;
  }

 private:
  std::string take(size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const std::string more = client_.receive(bytes - all.size());
      if (more.empty()) break;
      all += more;
    }
    return all;
  }

  TestClient client_;
  WireResponse response_;
};

}  // namespace lyre::server::test
