#include "lyre/server/response_head.h"

#include <cstdio>
#include <string_view>

namespace lyre::server {
namespace {

const char* reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";  // the phrase may be empty (RFC 9112, 4)
  }
}

void append_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    head += (byte < 0x20 && c != '\t') || byte == 0x7f ? '?' : c;
  }
  head += "\r\n";
}

}  // namespace

std::string http_date(std::time_t time) {
  // Names of its own: strftime would follow the locale.
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[utc.tm_wday],
                utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                utc.tm_sec);
  return text;
}

std::string response_head(const HttpResponse& response, const HeadOptions& options,
                          std::time_t now) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head.append(reason_phrase(response.status)).append("\r\n");
  append_header(head, "Date", http_date(now));
  append_header(head, "Server", "lyre");
  append_header(head, "x-request-id", options.request_id);
  if (!response.content_type.empty()) append_header(head, "Content-Type", response.content_type);
  for (const HttpHeader& header : response.headers) append_header(head, header.name, header.value);
  switch (options.framing) {
    case BodyFraming::kLength:
      // A 204 has no length (RFC 9110, 8.6).
      if (response.status != 204) {
        append_header(head, "Content-Length", std::to_string(response.body.size()));
      }
      break;
    case BodyFraming::kChunked:
      append_header(head, "Transfer-Encoding", "chunked");
      append_header(head, "Trailer", kFinishTrailer);
      break;
    case BodyFraming::kClose:
      break;
  }
  if (!options.keep_alive) {
    append_header(head, "Connection", "close");
  } else if (options.http_1_0) {
    append_header(head, "Connection", "keep-alive");
  }
  head += "\r\n";
  return head;
}

}  // namespace lyre::server
