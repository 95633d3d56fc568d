#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lyre::server::test {

/// A response as it came over the wire, chunks kept apart.
struct WireResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::vector<std::string> chunks;             // of a chunked body
  std::string body;                            // all of it
  std::map<std::string, std::string> trailers;
  bool complete = false;  // the end that the framing promises was seen
};

/// Blocking TCP client that knows nothing of the server's code: bytes out, bytes in. Every read
/// gives up after a minute, so a server that hangs fails the test instead of the run.
class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return socket_ >= 0; }
  int descriptor() const { return socket_; }
  /// False if the server has gone.
  bool send(std::string_view bytes);
  /// The next bytes, empty at the end of the stream or after a reset.
  std::string receive(size_t most = 65'536);
  /// Everything up to the end of the stream.
  std::string receive_all();
  bool was_reset() const { return reset_; }
  void close();
  /// Closes with a reset, as a program that is killed does.
  void close_abruptly();
  void finish_sending();  // half-close

  /// Reads the head of a response.
  WireResponse read_head();
  /// The next chunk of a chunked body, empty at its end (then the trailers are in the response) or
  /// when the stream broke off (then response.complete is false).
  std::string read_chunk(WireResponse& response);
  /// A whole response, whatever its framing.
  WireResponse read_response(bool head_only = false);

  /// Sends a request and reads the response.
  WireResponse exchange(std::string_view request);

 private:
  std::optional<std::string> read_line();
  bool read_exactly(size_t bytes, std::string& out);

  int socket_ = -1;
  bool reset_ = false;
  std::string buffer_;
};

inline void add_header(const std::string& line, std::map<std::string, std::string>& headers) {
  const size_t colon = line.find(": ");
  if (colon == line.npos) return;
  std::string name = line.substr(0, colon);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  headers[name] = line.substr(colon + 2);
}

inline TestClient::TestClient(uint16_t port, int receive_buffer_bytes) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{60, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (receive_buffer_bytes > 0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof receive_buffer_bytes);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) close();
}

inline TestClient::~TestClient() { close(); }

inline void TestClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

inline void TestClient::close_abruptly() {
  const linger reset{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close();
}

inline void TestClient::finish_sending() { ::shutdown(socket_, SHUT_WR); }

inline bool TestClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

inline std::string TestClient::receive(size_t most) {
  if (!buffer_.empty()) {
    std::string bytes = buffer_.substr(0, most);
    buffer_.erase(0, bytes.size());
    return bytes;
  }
  std::string bytes(most, '\0');
  const ssize_t count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count < 0 && errno == ECONNRESET) reset_ = true;
  bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return bytes;
}

inline std::string TestClient::receive_all() {
  std::string all;
  for (std::string bytes = receive(); !bytes.empty(); bytes = receive()) all += bytes;
  return all;
}

inline std::optional<std::string> TestClient::read_line() {
  for (;;) {
    if (const size_t end = buffer_.find("\r\n"); end != buffer_.npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return line;
    }
    std::string kept = std::exchange(buffer_, {});
    const std::string more = receive();
    buffer_ = kept + more;
    if (more.empty()) return std::nullopt;
  }
}

inline bool TestClient::read_exactly(size_t bytes, std::string& out) {
  while (bytes > 0) {
    const std::string more = receive(bytes);
    if (more.empty()) return false;
    out += more;
    bytes -= more.size();
  }
  return true;
}

inline WireResponse TestClient::read_head() {
  WireResponse response;
  const auto status = read_line();
  if (!status || status->size() < 12 || !status->starts_with("HTTP/1.1 ")) return response;
  response.status = std::atoi(status->c_str() + 9);
  for (auto line = read_line(); line && !line->empty(); line = read_line()) {
    add_header(*line, response.headers);
  }
  return response;
}

inline std::string TestClient::read_chunk(WireResponse& response) {
  const auto size_line = read_line();
  if (!size_line || size_line->empty()) return "";
  const size_t size = std::strtoul(size_line->c_str(), nullptr, 16);
  std::string chunk;
  if (size == 0) {
    for (auto line = read_line(); line; line = read_line()) {
      if (line->empty()) {
        response.complete = true;
        break;
      }
      add_header(*line, response.trailers);
    }
    return "";
  }
  if (!read_exactly(size, chunk) || read_line() != "") return "";
  response.chunks.push_back(chunk);
  response.body += chunk;
  return chunk;
}

inline WireResponse TestClient::read_response(bool head_only) {
  WireResponse response = read_head();
  if (response.status == 0) return response;
  if (head_only || response.status == 204 || response.status == 100) {
    response.complete = true;
  } else if (response.headers.count("transfer-encoding") > 0) {
    while (!read_chunk(response).empty()) {
    }
  } else if (const auto length = response.headers.find("content-length");
             length != response.headers.end()) {
    response.complete =
        read_exactly(std::strtoul(length->second.c_str(), nullptr, 10), response.body);
  } else {
    response.body = receive_all();
    response.complete = !reset_;
  }
  return response;
}

inline WireResponse TestClient::exchange(std::string_view request) {
  if (!send(request)) return {};
  return read_response(request.starts_with("HEAD"));
}

/// "GET <path> HTTP/1.1" with a Host header.
inline std::string get(std::string_view path, std::string_view headers = "") {
  std::string request = "GET ";
  request.append(path).append(" HTTP/1.1\r\nHost: test\r\n").append(headers).append("\r\n");
  return request;
}

/// POST of a JSON body.
inline std::string post(std::string_view path, std::string_view body,
                        std::string_view headers = "") {
  std::string request = "POST ";
  request.append(path).append(" HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n");
  request.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  request.append(headers).append("\r\n").append(body);
  return request;
}

}  // namespace lyre::server::test
