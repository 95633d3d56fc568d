#include "lyre/server/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdio>
#include <ctime>
#include <exception>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/base/trace.h"
#include "lyre/server/authorization.h"
#include "lyre/server/cors.h"
#include "lyre/server/request_id.h"
#include "lyre/server/response_head.h"
#include "lyre/server/trace_context.h"
#include "lyre/server/warmup_key.h"
#include "lyre/server/web_socket.h"

namespace lyre::server {
namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using std::chrono::steady_clock;

namespace {

// All but the first over suspensions, beside each other.
constinit trace::Operation kRoute("server.route"), kRequest("server.request"),
    kRead("server.read", "body_bytes"), kFirstByte("server.first_byte"),
    kWrite("server.write", "bytes");

constexpr auto kTuple = net::as_tuple(net::use_awaitable);
constexpr size_t kReadBytes = 8 * 1024;
constexpr size_t kMostUserAgentBytes = 200;  // in the log
// Pipelined requests that are read while audio is sent. With more the reading stops, and a client
// that leaves is noticed by the next write only.
constexpr size_t kMostReadAheadBytes = 64 * 1024;
// Of a chunked request, beside as many bytes as its body may have.
constexpr size_t kMostFramingBytes = 64 * 1024;
// Samples of a chunk at most: 0.34 s at 24 kHz. A chunk is what is there, it waits for nothing.
constexpr size_t kMostChunkSamples = 8192;
// How long and how much is read of what still comes in before the socket is closed: closing with
// unread bytes would reset the connection, and the client might never see the answer.
constexpr std::chrono::milliseconds kLingerTime{1000};
constexpr size_t kMostLingerBytes = 1024 * 1024;

double milliseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// Path and query of a request target: "/a?b", or the absolute form that proxies send,
/// "http://host/a?b".
void split_target(std::string_view target, HttpRequest& request) {
  if (const size_t scheme = target.find("://"); !target.starts_with('/') && scheme != target.npos) {
    const size_t path = target.find_first_of("/?", scheme + 3);
    target = path == target.npos ? std::string_view("/") : target.substr(path);
  }
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != target.npos) request.query = target.substr(question + 1);
}

void append_chunk(std::string_view payload, std::string& out) {
  char size[24];
  const int length = std::snprintf(size, sizeof size, "%zx\r\n", payload.size());
  out.append(size, static_cast<size_t>(length)).append(payload).append("\r\n");
}

/// Counts while it lives.
class Counted {
 public:
  explicit Counted(std::atomic<int64_t>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int64_t>& count_;
};

}  // namespace

/// One request and its response.
struct Connection::Exchange {
  HttpRequest request;
  AccessRecord record;
  bool keep_alive = false;
  bool http_1_1 = false;
  std::optional<ApiError> refusal;  // instead of a request
  AdmissionQueue::Place place;      // held while the engine has work with the request
  steady_clock::time_point begin = steady_clock::now();

  HeadOptions head(BodyFraming framing) const {
    return {framing, keep_alive, !http_1_1, record.request_id};
  }
};

Connection::Connection(net::io_context& context, int io_thread, ByteStream::socket_type socket,
                       Peer peer, const ServerState& state)
    : context_(context),
      io_thread_(io_thread),
      stream_(std::move(socket)),
      buffer_(state.config().max_header_bytes + kMostReadAheadBytes + kReadBytes),
      state_(state),
      wakeup_(std::make_shared<Wakeup>(context)),
      peer_(std::move(peer)) {
  ErrorCode failure;
  stream_.socket().set_option(net::ip::tcp::no_delay(true), failure);
  stream_.socket().non_blocking(true, failure);  // for write_all
  // Without it the kernel would take megabytes, minutes of audio, ahead of a client that reads at
  // the speed of speech, and the engine would never learn that it could serve others first.
  const int most_unsent_bytes = 128 * 1024;
  ::setsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most_unsent_bytes,
               sizeof most_unsent_bytes);
}

Connection::~Connection() = default;

void Connection::start(std::function<void()> ended) {
  net::co_spawn(context_, run(),
                [self = shared_from_this(), ended = std::move(ended)](std::exception_ptr) {
                  // An exception is memory that ran out: this connection ends, the others go on.
                  self->stream_.close();
                  ended();
                });
}

void Connection::finish_soon() {
  net::post(context_, [self = shared_from_this()] {
    self->draining_ = true;
    self->wakeup_->wake_here();  // who waits for a place sees that there will be none
    if (self->idle_) self->stream_.close();
  });
}

void Connection::abort() {
  net::post(context_, [self = shared_from_this()] {
    self->draining_ = self->gone_ = true;
    self->stream_.close();
    self->wakeup_->wake_here();
  });
}

Connection::Task<> Connection::run() {
  // g++ 12 miscompiles co_await in the condition of a loop.
  for (bool more = true; more;) {
    more = co_await serve_one();
  }
  co_await close_politely();
}

Connection::Task<bool> Connection::serve_one() {
  if (draining_) co_return false;
  if (buffer_.size() == 0) {
    idle_ = true;
    stream_.expires_after(state_.config().idle_timeout);
    const auto [failure, count] =
        co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kTuple);
    idle_ = false;
    if (failure) {
      gone_ = true;
      co_return false;
    }
    buffer_.commit(count);
  }
  Exchange exchange;
  exchange.record.client = peer_.address;
  if (peer_.port > 0) exchange.record.client += ":" + std::to_string(peer_.port);
  const bool arrived = co_await read_request(exchange);
  trace::record_since(kRead, exchange.begin, exchange.record.request_bytes);
  exchange.begin = steady_clock::now();
  if (!arrived) co_return false;
  const Counted in_flight(state_.request_counts().in_flight);
  HttpResponse response;
  if (exchange.refusal) {
    // Where the next request starts is not known, or the body was not asked for.
    unread_ = true;
    exchange.keep_alive = false;
    response = error_response(*exchange.refusal);
  } else {
    response = co_await answer(exchange);
  }
  add_cors_headers(exchange.request, state_.config(), response);
  bool more = false;
  if (gone_) {
    exchange.record.status = 499;
    exchange.record.error = "the client left before there was an answer";
  } else if (response.audio) {
    more = co_await send_audio(exchange, response);
  } else if (response.web_socket) {
    co_await become_web_socket(exchange, *response.web_socket);
  } else {
    more = co_await send_plain(exchange, response);
  }
  trace::record_since(kRequest, exchange.begin);
  exchange.record.duration_ms = milliseconds_since(exchange.begin);
  state_.request_times().add(exchange.record);
  state_.request_counts().add(exchange.record);
  if (state_.config().access_log) state_.config().access_log(exchange.record);
  co_return more;
}

/// The response to a request that was read whole; of no use if the client is gone.
Connection::Task<HttpResponse> Connection::answer(Exchange& exchange) {
  const HttpRequest& request = exchange.request;
  RouteTable::Match match = state_.routes().find(request.method, request.path);
  exchange.record.route = match.path;
  if (match.admission != Admission::kAlways && !request.warm_up && !state_.readiness().admits()) {
    const std::optional<ApiError> refusal = co_await wait_until_ready(exchange);
    if (refusal) co_return error_response(*refusal);
    if (gone_) co_return HttpResponse();
  }
  if (match.admission == Admission::kSpeech && !request.warm_up) {
    const std::optional<ApiError> refusal = co_await wait_for_place(exchange);
    if (refusal) co_return error_response(*refusal);
    if (gone_) co_return HttpResponse();
  }
  HttpResponse response = route(exchange, std::move(match));
  if (response.later) co_await wait_for_later(response);
  if (request.warm_up) {
    response.headers.push_back({kIoThreadHeader, std::to_string(io_thread_)});
  }
  co_return response;
}

/// Until requests are let through, the time is over, the server stops or the client leaves.
Connection::Task<std::optional<ApiError>> Connection::wait_until_ready(Exchange& exchange) {
  if (state_.config().early_requests == EarlyRequests::kRefuse) co_return not_ready_error();
  Readiness& readiness = state_.readiness();
  const std::optional<Readiness::Place> place =
      readiness.wait([wakeup = wakeup_] { wakeup->wake(); });
  if (!place) co_return not_ready_error();
  exchange.record.early = true;
  net::steady_timer deadline(context_, state_.config().early_wait);
  deadline.async_wait([wakeup = wakeup_](ErrorCode cancelled) {
    if (!cancelled) wakeup->wake_here();
  });
  start_watching();
  while (!gone_ && !state_.stopping() && !readiness.admits() &&
         steady_clock::now() < deadline.expiry()) {
    co_await wakeup_->wait();
  }
  deadline.cancel();
  co_await stop_watching();
  if (gone_ || readiness.admits()) co_return std::nullopt;
  co_return not_ready_error();
}

/// Until it is the request's turn, the time is over, the server stops or the client leaves, which
/// gives up the place.
Connection::Task<std::optional<ApiError>> Connection::wait_for_place(Exchange& exchange) {
  Result<AdmissionQueue::Place> place =
      state_.admission().enter(exchange.request.client, [wakeup = wakeup_] { wakeup->wake(); });
  if (!place) {
    co_return ApiError{429, "The server is busy: " + place.error().message + ".", "", "queue_full"};
  }
  exchange.place = *std::move(place);
  exchange.record.placed = exchange.place.granted();
  if (exchange.record.placed) co_return std::nullopt;
  const auto begin = steady_clock::now();
  net::steady_timer deadline(context_, state_.config().queue_wait);
  deadline.async_wait([wakeup = wakeup_](ErrorCode cancelled) {
    if (!cancelled) wakeup->wake_here();
  });
  start_watching();
  while (!gone_ && !state_.stopping() && !exchange.place.granted() &&
         steady_clock::now() < deadline.expiry()) {
    co_await wakeup_->wait();
  }
  deadline.cancel();
  co_await stop_watching();
  exchange.record.queue_ms = milliseconds_since(begin);
  exchange.record.placed = exchange.place.granted();
  if (gone_ || exchange.record.placed) co_return std::nullopt;
  exchange.place = AdmissionQueue::Place();
  if (state_.stopping()) co_return not_ready_error();
  co_return ApiError{429,
                     "The server is busy: no place became free within " +
                         std::to_string(state_.config().queue_wait.count()) + " ms.",
                     "", "queue_timeout"};
}

/// Puts the response that comes later in the place of the one that promises it.
Connection::Task<> Connection::wait_for_later(HttpResponse& response) {
  struct Letterbox {
    std::mutex mutex;
    std::optional<HttpResponse> response;
  };
  const auto box = std::make_shared<Letterbox>();
  try {
    response.later([box, wakeup = wakeup_](HttpResponse&& later) {
      {
        const std::lock_guard lock(box->mutex);
        box->response = std::move(later);
      }
      wakeup->wake();
    });
  } catch (const std::exception& failure) {  // memory or threads ran out: this request only
    response = error_response({500, failure.what(), "", "internal"});
    co_return;
  }
  start_watching();
  for (bool arrived = false; !arrived && !gone_;) {
    {
      const std::lock_guard lock(box->mutex);
      arrived = box->response.has_value();
    }
    if (!arrived) co_await wakeup_->wait();
  }
  co_await stop_watching();
  const std::lock_guard lock(box->mutex);
  if (box->response) response = *std::exchange(box->response, std::nullopt);
}

/// False: the client left or took too long. What can be answered is in the exchange, a request or
/// a refusal.
Connection::Task<bool> Connection::read_request(Exchange& exchange) {
  const ServerConfig& config = state_.config();
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<uint32_t>(config.max_header_bytes));
  parser.body_limit(config.max_body_bytes);
  stream_.expires_after(config.header_timeout);
  auto [failure, count] = co_await http::async_read_header(stream_, buffer_, parser, kTuple);
  const auto& head = parser.get();
  exchange.record.request_id = request_id(view(head["x-request-id"]));
  if (failure) co_return refuse(exchange, failure);

  exchange.request.method = view(head.method_string());
  split_target(view(head.target()), exchange.request);
  for (const auto& field : head) {
    HttpHeader header{std::string(view(field.name_string())), std::string(view(field.value()))};
    for (char& c : header.name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    exchange.request.headers.push_back(std::move(header));
  }
  exchange.http_1_1 = head.version() >= 11;
  exchange.keep_alive = parser.keep_alive();
  exchange.request.warm_up = exchange.record.warm_up =
      same_key(view(head[kWarmupHeader]), state_.warmup_key());
  exchange.record.method = exchange.request.method;
  exchange.record.path = exchange.request.path;
  exchange.record.trace_id = trace_id(view(head["traceparent"]));
  exchange.record.user_agent = view(head[http::field::user_agent]).substr(0, kMostUserAgentBytes);
  exchange.request.client = client_address(peer_.address, exchange.request, config.trusted_proxies);
  if (exchange.request.client != peer_.address) exchange.record.client = exchange.request.client;
  // Before the body is read: strangers get no memory for theirs.
  exchange.refusal = authorize(exchange.request, state_);
  exchange.record.key_name = exchange.request.key_name;
  if (exchange.refusal) co_return true;
  if (exchange.http_1_1 && head.count(http::field::host) != 1) {
    exchange.refusal = {400, "HTTP/1.1 asks for exactly one Host header.", "", "bad_request"};
    co_return true;
  }
  const size_t codings = head.count(http::field::transfer_encoding);
  if (codings > 1 ||
      (codings == 1 && !beast::iequals(head[http::field::transfer_encoding], "chunked"))) {
    // What the parser takes for no body would be read as the next request: a smuggled one.
    exchange.refusal = {400, "The only Transfer-Encoding that is taken is chunked.", "",
                        "bad_request"};
    co_return true;
  }
  if (!parser.is_done() && exchange.http_1_1 && head.count(http::field::expect) > 0) {
    if (!beast::iequals(head[http::field::expect], "100-continue")) {
      exchange.refusal = {417, "Unknown Expect header.", "", "bad_request"};
      co_return true;
    }
    if (state_.routes().find(exchange.request.method, exchange.request.path).handler == nullptr) {
      // The answer is an error whatever the body is: say so instead of asking for it.
      unread_ = true;
      exchange.keep_alive = false;
      co_return true;
    }
    failure = co_await write_all("HTTP/1.1 100 Continue\r\n\r\n");
    if (failure) co_return false;
  }
  stream_.expires_after(config.body_timeout);
  // What frames the body is counted as well: a chunk of one byte may have an endless extension.
  size_t received = 0;
  while (!failure && !parser.is_done()) {
    std::tie(failure, count) = co_await http::async_read_some(stream_, buffer_, parser, kTuple);
    received += count;
    if (received > 2 * config.max_body_bytes + kMostFramingBytes) failure = http::error::body_limit;
  }
  if (failure) co_return refuse(exchange, failure);
  exchange.request.body = std::move(parser.get().body());
  exchange.record.request_bytes = static_cast<int64_t>(exchange.request.body.size());
  co_return true;
}

/// Words what Beast found wrong; false if nobody is there to read it.
bool Connection::refuse(Exchange& exchange, ErrorCode failure) {
  const ServerConfig& config = state_.config();
  const auto larger = [](const char* part, size_t limit) {
    return std::string("The request ") + part + " is larger than " + std::to_string(limit) +
           " bytes.";
  };
  if (failure == http::error::body_limit) {
    exchange.refusal = {413, larger("body", config.max_body_bytes), "", "body_too_large"};
  } else if (failure == http::error::header_limit || failure == http::error::buffer_overflow) {
    exchange.refusal = {431, larger("header", config.max_header_bytes), "", "header_too_large"};
  } else if (failure != http::error::end_of_stream && failure != http::error::partial_message &&
             failure.category() == http::make_error_code(http::error::bad_method).category()) {
    exchange.refusal = {400, "Malformed HTTP request: " + failure.message() + ".", "",
                        "bad_request"};
  } else {
    gone_ = true;
  }
  return exchange.refusal.has_value();
}

HttpResponse Connection::route(Exchange& exchange, RouteTable::Match match) const {
  HttpRequest& request = exchange.request;
  const bool options = request.method == "OPTIONS";
  if (match.allow.empty() && !(options && request.path == "*")) {
    return error_response(
        {404, "There is nothing at " + quote(request.path) + "; GET / lists what there is.", "",
         "not_found"});
  }
  if (match.handler == nullptr) {
    HttpResponse response;
    if (options) {
      response.status = 204;
    } else {
      response = error_response({405,
                                 quote(request.path) + " does not take " + quote(request.method) +
                                     "; it takes " + match.allow + ".",
                                 "", "method_not_allowed"});
    }
    response.headers.push_back(
        {"Allow", match.allow.empty() ? "GET, HEAD, POST, OPTIONS" : match.allow});
    return response;
  }
  try {
    const trace::Span span(kRoute);
    request.path_parameters = std::move(match.parameters);
    return (*match.handler)(request, state_);
  } catch (const std::exception& failure) {  // memory ran out, or a bug: this request only
    return error_response({500, failure.what(), "", "internal"});
  }
}

Connection::Task<bool> Connection::send_plain(Exchange& exchange, const HttpResponse& response) {
  if (draining_) exchange.keep_alive = false;
  exchange.record.status = response.status;
  exchange.record.error = response.error;
  exchange.record.error_code = response.error_code;
  out_ = response_head(response, exchange.head(BodyFraming::kLength), std::time(nullptr));
  if (exchange.request.method != "HEAD") {
    out_ += response.body;
    exchange.record.body_bytes = static_cast<int64_t>(response.body.size());
  }
  const ErrorCode failure = co_await write_all(out_);
  co_return !failure && exchange.keep_alive;
}

Connection::Task<> Connection::become_web_socket(Exchange& exchange, TextProtocol& protocol) {
  if (!exchange.http_1_1) {
    const HttpResponse refusal =
        error_response({400, "A WebSocket begins with HTTP/1.1.", "", "bad_request"});
    co_await send_plain(exchange, refusal);
    co_return;
  }
  exchange.record.status = 101;
  // A variable, because g++ 12 miscompiles a braced argument of what is awaited.
  const WebSocketLink link{context_, stream_, buffer_, state_, wakeup_, draining_, gone_};
  co_await run_web_socket(link, exchange.request, protocol, exchange.record);
  gone_ = true;
}

Connection::Task<bool> Connection::send_audio(Exchange& exchange, HttpResponse& response) {
  // Dies before the wait for the watcher: that is the cancellation.
  std::optional<PcmSource> pcm(std::move(response.audio->pcm));
  exchange.record.speech = true;
  exchange.record.voice = response.audio->voice;
  exchange.record.seed = response.audio->seed;
  pcm->notify([wakeup = wakeup_] { wakeup->wake(); });
  start_watching();
  const bool more = co_await speak(exchange, response, *pcm);
  pcm->notify({});
  pcm.reset();
  co_await stop_watching();
  co_return more && !gone_;
}

Connection::Task<bool> Connection::speak(Exchange& exchange, HttpResponse& response,
                                         PcmSource& pcm) {
  AccessRecord& record = exchange.record;
  AudioStream& audio = *response.audio;
  // Nothing is sent before there is audio: until then an error is a status, not a broken stream.
  while (!gone_ && pcm.readable() == 0 && pcm.state() == PcmSource::State::kOpen) {
    co_await wakeup_->wait();
  }
  if (gone_) {
    record.status = 499;
    record.finish = "disconnected";
    co_return false;
  }
  if (pcm.readable() == 0) {
    record.finish = "failed";
    const ApiError error =
        pcm.state() == PcmSource::State::kFailed
            ? api_error(pcm.error())
            : ApiError{500, "The model ended without any speech; try another seed.", "",
                       "no_speech"};
    const HttpResponse failed = (audio.error != nullptr ? audio.error : error_response)(error);
    co_return co_await send_plain(exchange, failed);
  }

  record.first_audio_ms = milliseconds_since(exchange.begin);
  record.status = 200;
  const bool chunked = exchange.http_1_1;
  // The stop is known before each connection has been told.
  exchange.keep_alive = exchange.keep_alive && chunked && !draining_ && !state_.stopping();
  out_ =
      response_head(response, exchange.head(chunked ? BodyFraming::kChunked : BodyFraming::kClose),
                    std::time(nullptr));
  payload_.clear();
  samples_.resize(kMostChunkSamples);
  int64_t samples = 0;
  steady_clock::time_point first_sent;
  Status written = ok_status();
  while (!gone_) {
    const size_t count = pcm.try_read(samples_);
    if (count == 0) {
      if (pcm.state() != PcmSource::State::kOpen) break;
      co_await wakeup_->wait();
      continue;
    }
    // A client who takes his time with what is made already keeps nobody waiting.
    if (pcm.complete()) exchange.place = AdmissionQueue::Place();
    written = audio.body.write({samples_.data(), count}, payload_);
    if (!written) break;
    if (samples == 0) {
      trace::record_since(kFirstByte, exchange.begin);
      first_sent = steady_clock::now();
    } else if (record.audio_s * 1e3 < milliseconds_since(first_sent)) {
      record.behind = true;
    }
    samples += static_cast<int64_t>(count);
    record.audio_s = static_cast<double>(samples) / audio.sample_rate_hz;
    co_await send_payload(exchange, chunked);
  }
  if (gone_) {
    record.finish = "disconnected";
    co_return false;
  }
  if (written && pcm.state() == PcmSource::State::kFinished) {
    written = audio.body.end(pcm.summary(), payload_);
  } else if (written) {
    written = pcm.error();
  }
  if (!written) {
    record.finish = "failed";
    record.error = written.error().message;
    // The client must not take this for the end: the body says so in its own words, or a chunked
    // one lacks its last chunk, or any other is cut by a reset.
    if (audio.body.fail) {
      audio.body.fail(written.error(), payload_);
    } else {
      if (!chunked) {
        ErrorCode ignored;
        stream_.socket().set_option(net::socket_base::linger(true, 0), ignored);
        gone_ = true;
      }
      co_return false;
    }
  } else {
    const SpeechSummary& summary = pcm.summary();
    record.finish = summary.reason == FinishReason::kLength ? "length" : "stop";
    record.prompt_tokens = summary.prompt_tokens;
    record.generated_tokens = summary.generated_tokens;
    record.frames = summary.frames;
  }
  co_await send_payload(exchange, chunked);
  if (chunked && !gone_) {
    out_ = "0\r\n";
    out_.append(kFinishTrailer).append(": ").append(record.finish).append("\r\n\r\n");
    const ErrorCode failure = co_await write_all(out_);
    if (failure) co_return false;
  }
  co_return exchange.keep_alive && !gone_;
}

/// Sends what is in payload_, behind what is in out_ already, and empties both.
Connection::Task<> Connection::send_payload(Exchange& exchange, bool chunked) {
  if (!chunked) {
    out_ += payload_;
  } else if (!payload_.empty()) {  // an empty chunk would be the last
    append_chunk(payload_, out_);
  }
  const ErrorCode failure = co_await write_all(out_);
  if (failure) {
    gone_ = true;
    exchange.record.error = failure.message();
  } else {
    exchange.record.body_bytes += static_cast<int64_t>(payload_.size());
  }
  payload_.clear();
  out_.clear();
}

/// The timeout starts anew with every byte that the client takes. Mostly the kernel takes
/// everything at once; only if it does not is there something to wait for, and the cost of timer
/// and queue.
Connection::Task<Connection::ErrorCode> Connection::write_all(std::string_view bytes) {
  const auto begin = trace::enabled() ? steady_clock::now() : steady_clock::time_point();
  const auto all_bytes = static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    ErrorCode failure;
    const net::const_buffer rest = net::buffer(bytes.data(), bytes.size());
    size_t count = stream_.socket().write_some(rest, failure);
    if (failure == net::error::would_block) {
      stream_.expires_after(state_.config().write_timeout);
      std::tie(failure, count) = co_await stream_.async_write_some(rest, kTuple);
    }
    if (failure) co_return failure;
    bytes.remove_prefix(count);
  }
  trace::record_since(kWrite, begin, all_bytes);
  co_return ErrorCode();
}

Connection::Task<> Connection::close_politely() {
  ErrorCode ignored;
  if (!gone_) {
    const bool more_may_come =
        unread_ || buffer_.size() > 0 || stream_.socket().available(ignored) > 0;
    stream_.socket().shutdown(net::socket_base::shutdown_send, ignored);
    stream_.expires_after(kLingerTime);
    for (size_t read = 0; more_may_come && read < kMostLingerBytes;) {
      buffer_.clear();
      const auto [failure, count] =
          co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kTuple);
      if (failure) break;
      read += count;
    }
  }
  stream_.close();
}

void Connection::start_watching() {
  watch_wanted_ = watching_ = true;
  net::co_spawn(context_, watch(), [self = shared_from_this()](std::exception_ptr) {
    self->watching_ = false;
    self->wakeup_->wake_here();
  });
}

Connection::Task<> Connection::stop_watching() {
  watch_wanted_ = false;
  ErrorCode ignored;
  if (watching_) stream_.socket().cancel(ignored);
  while (watching_) co_await wakeup_->wait();
}

Connection::Task<> Connection::watch() {
  stream_.expires_never();
  while (watch_wanted_ && buffer_.size() < kMostReadAheadBytes) {
    const auto [failure, count] =
        co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kTuple);
    buffer_.commit(count);
    if (!failure) continue;
    if (watch_wanted_) {
      // End of stream is a client that left: a half-closed one that still listens is no HTTP client
      // that we know of. Closing ends a write that waits for it.
      gone_ = true;
      stream_.close();
      wakeup_->wake_here();
    }
    co_return;
  }
}

}  // namespace lyre::server
