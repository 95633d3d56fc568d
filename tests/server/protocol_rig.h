#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lyre/server/server_state.h"
#include "server/fake_speech.h"

namespace lyre::server::test {
namespace json = boost::json;

/// Handlers called without a socket: what a request becomes, and the bytes of the body.
class Protocols : public testing::Test {
 protected:
  Protocols()
      : state([] {
          ServerConfig config;
          config.version = "1.2.3";
          return config;
        }()) {
    state.set_service(speech.service());
    state.readiness().skip_warmup();
  }

  HttpResponse call(const char* method, std::string_view target, std::string body = "") {
    const size_t question = target.find('?');
    HttpRequest request;
    request.method = method;
    request.path = target.substr(0, question);
    if (question != target.npos) request.query = target.substr(question + 1);
    const auto match = state.routes().find(method, request.path);
    EXPECT_NE(match.handler, nullptr) << target;
    if (match.handler == nullptr) return {};
    request.path_parameters = match.parameters;
    request.body = std::move(body);
    return (*match.handler)(request, state);
  }
  HttpResponse speak(std::string body) { return call("POST", "/v1/audio/speech", body); }
  json::object get(const char* path) {
    const HttpResponse response = call("GET", path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(response.content_type, "application/json") << path;
    return json::parse(response.body).as_object();
  }

  static std::string header(const HttpResponse& response, std::string_view name) {
    for (const HttpHeader& header : response.headers) {
      if (header.name == name) return header.value;
    }
    return "";
  }
  /// All that the body says of these samples, which come in pieces.
  static std::string whole_body(const HttpResponse& response, std::span<const float> samples) {
    std::string out;
    if (!response.audio) {
      ADD_FAILURE() << "no audio: " << response.body;
      return out;
    }
    while (!samples.empty()) {
      const size_t count = std::min<size_t>(samples.size(), 8192);
      EXPECT_TRUE(response.audio->body.write(samples.first(count), out).ok());
      samples = samples.subspan(count);
    }
    EXPECT_TRUE(response.audio->body.end(SpeechSummary{}, out).ok());
    return out;
  }

  FakeSpeech speech;
  ServerState state;
};

/// Without their ends.
inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

/// Of a string in JSON; what is not base 64 fails the test.
inline std::string decode_base64(const json::value& value) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string_view text(value.as_string().data(), value.as_string().size());
  EXPECT_EQ(text.size() % 4, 0u);
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const size_t digit = kDigits.find(c);
    EXPECT_NE(digit, kDigits.npos) << c;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 255);
  }
  return bytes;
}

}  // namespace lyre::server::test
