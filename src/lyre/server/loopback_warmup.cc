#include "lyre/server/loopback_warmup.h"

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "lyre/audio/wav.h"
#include "lyre/base/clock.h"
#include "lyre/server/loopback_client.h"
#include "lyre/server/warmup_key.h"

namespace lyre::server {
namespace {
using boost::asio::ip::tcp;

struct SpokenRequest {
  const char* path;
  const char* fields;  // of the body, beside the text
  size_t head_bytes;   // before the first sample
};
/// What every io thread speaks.
constexpr std::array kSpokenRequests = {
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"wav")", kWavHeaderBytes},
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"pcm")", 0},
    SpokenRequest{"/v1/audio/speech/stream", "", 0},
};
/// What one of them speaks: cold here are libraries, which all threads share. One line for each
/// encoder, the events, and the ways that samples go on through the time stretch and the resampler.
constexpr std::array kEncodedRequests = {
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"mp3")", 0},
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"opus")", 0},
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"aac")", 0},
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"flac")", 0},
    SpokenRequest{"/v1/audio/speech", R"(,"response_format":"raw","response_encoding":"pcm_mulaw")",
                  0},
    SpokenRequest{"/v1/audio/speech",
                  R"(,"response_format":"mp3","speed":1.25,"stream_format":"sse")", 0},
};
constexpr int kFrameTokens = 7;
// Enough for the first and the steady audio.
constexpr int kSpokenTokens = 8 * kFrameTokens;

/// The seed makes each start do the same.
std::string body_of(const SpokenRequest& request, int max_tokens) {
  return R"({"input":"Hello there.","seed":1,"max_tokens":)" + std::to_string(max_tokens) +
         request.fields + "}";
}

tcp::endpoint reachable(const tcp::endpoint& listening) {
  const auto address = listening.address();
  if (!address.is_unspecified()) return listening;
  if (address.is_v6()) return {boost::asio::ip::address_v6::loopback(), listening.port()};
  return {boost::asio::ip::address_v4::loopback(), listening.port()};
}

std::string head(const char* method, const char* path, const std::string& key) {
  return std::string(method) + " " + path + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lyre\r\n" +
         kWarmupHeader + ": " + key + "\r\n";
}

std::string get(const char* path, const std::string& key) {
  return head("GET", path, key) + "\r\n";
}

std::string post(const char* path, const std::string& key, std::string_view body) {
  return head("POST", path, key) +
         "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

/// A connection that the wanted io thread serves. They are dealt out in turn, but others connect as
/// well: so ask each which thread it has got.
Result<LoopbackClient> connect_to(int io_thread, const LoopbackTarget& target,
                                  std::stop_token stop) {
  for (int attempt = 0; attempt < 16 * target.io_threads; ++attempt) {
    LoopbackClient client(target.patience, stop);
    if (target.connect) {
      LYRE_ASSIGN_OR_RETURN(const int descriptor, target.connect(io_thread));
      client.take(descriptor);
    } else {
      LYRE_RETURN_IF_ERROR(client.connect(reachable(target.listening)));
    }
    LYRE_ASSIGN_OR_RETURN(const LoopbackAnswer answer, client.exchange(get("/readyz", target.key)));
    if (!answer.io_thread) {
      return Error{ErrorCode::kInternal, "GET /readyz: something else answers at this address"};
    }
    if (*answer.io_thread == io_thread) return client;
  }
  return Error{ErrorCode::kInternal,
               "no connection came to io thread " + std::to_string(io_thread)};
}

Status expect_ok(const char* method, const char* path, const LoopbackAnswer& answer) {
  if (answer.status == 200) return ok_status();
  // A full queue: there is no room beside what runs.
  const ErrorCode code = answer.status == 429 ? ErrorCode::kUnavailable : ErrorCode::kInternal;
  return Error{code, std::string(method) + " " + path + ": expected status 200, found " +
                         std::to_string(answer.status) + ": " +
                         answer.body.substr(0, answer.body.find('\n'))};
}

/// Milliseconds to the first audio.
Result<double> speak(LoopbackClient& client, const LoopbackTarget& target,
                     const SpokenRequest& request, int max_tokens) {
  LYRE_ASSIGN_OR_RETURN(
      const LoopbackAnswer answer,
      client.exchange(post(request.path, target.key, body_of(request, max_tokens)),
                      request.head_bytes));
  LYRE_RETURN_IF_ERROR(expect_ok("POST", request.path, answer));
  if (answer.body.size() <= request.head_bytes) {
    return Error{ErrorCode::kInternal, std::string("POST ") + request.path +
                                           ": expected audio, found " +
                                           std::to_string(answer.body.size()) + " bytes"};
  }
  return answer.first_audio_ms;
}

/// What the steps of one run find out. They run one after the other, whoever asks is another
/// thread.
struct Findings {
  std::atomic<bool> slow{false};            // a frame took longer than target.slow_frame
  std::atomic<double> first_audio_ms{0.0};  // of the last sentence; 0: none was spoken
};

/// A frame, and where the model is fast enough one on every path and then a sentence. Where it is
/// not, the other io threads serve lists only.
Status serve_one_of_each(int io_thread, const LoopbackTarget& target, std::stop_token stop,
                         Findings& findings) {
  LYRE_ASSIGN_OR_RETURN(LoopbackClient client, connect_to(io_thread, target, stop));
  for (const char* path : {"/v1/audio/voices", "/v1/models"}) {
    LYRE_ASSIGN_OR_RETURN(const LoopbackAnswer list, client.exchange(get(path, target.key)));
    LYRE_RETURN_IF_ERROR(expect_ok("GET", path, list));
  }
  if (findings.slow) return ok_status();
  const TimePoint begin = Clock::now();
  const auto first = static_cast<size_t>(io_thread) % kSpokenRequests.size();
  LYRE_RETURN_IF_ERROR(speak(client, target, kSpokenRequests[first], kFrameTokens));
  if (Clock::now() - begin > target.slow_frame) {
    findings.slow = true;
    return ok_status();
  }
  for (size_t i = 1; i < kSpokenRequests.size(); ++i) {
    const SpokenRequest& request = kSpokenRequests[(first + i) % kSpokenRequests.size()];
    LYRE_RETURN_IF_ERROR(speak(client, target, request, kFrameTokens));
  }
  LYRE_ASSIGN_OR_RETURN(findings.first_audio_ms,
                        speak(client, target, kSpokenRequests[first], kSpokenTokens));
  return ok_status();
}

/// A frame through every encoder. What a slow model leaves cold here is small against its frames.
Status serve_every_encoding(const LoopbackTarget& target, std::stop_token stop,
                            const Findings& findings) {
  if (findings.slow) return ok_status();
  LYRE_ASSIGN_OR_RETURN(LoopbackClient client, connect_to(0, target, stop));
  for (const SpokenRequest& request : kEncodedRequests) {
    LYRE_RETURN_IF_ERROR(speak(client, target, request, kFrameTokens));
  }
  return ok_status();
}

WarmupStep whole_step(std::string name, std::function<Status()> serve) {
  WarmupStep step;
  step.name = std::move(name);
  step.lane = WarmupLane::kWhole;
  step.run = [serve = std::move(serve)]() -> Result<WarmupStep::Progress> {
    LYRE_RETURN_IF_ERROR(serve());
    return WarmupStep::Progress::kDone;
  };
  return step;
}

}  // namespace

ServerSteps loopback_steps(const LoopbackTarget& target, std::stop_token stop) {
  ServerSteps server;
  const auto findings = std::make_shared<Findings>();
  for (int i = 0; i < target.io_threads; ++i) {
    server.steps.push_back(whole_step(
        "server.synthesis.io" + std::to_string(i),
        [i, target, stop, findings] { return serve_one_of_each(i, target, stop, *findings); }));
  }
  server.steps.push_back(whole_step("server.encodings", [target, stop, findings] {
    return serve_every_encoding(target, stop, *findings);
  }));
  server.first_request_ms = [findings]() -> std::optional<double> {
    if (findings->first_audio_ms <= 0) return std::nullopt;
    return findings->first_audio_ms.load();
  };
  return server;
}

}  // namespace lyre::server
