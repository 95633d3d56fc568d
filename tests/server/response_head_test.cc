#include "lyre/server/response_head.h"

#include <gtest/gtest.h>

namespace lyre::server {
namespace {

constexpr std::time_t kTime = 1795561980;  // 2026-11-24 23:13:00 UTC

HttpResponse response() {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = "{}";
  return response;
}

TEST(ResponseHead, FixedLength) {
  EXPECT_EQ(response_head(response(), {BodyFraming::kLength, true, false, "id-1"}, kTime),
            "HTTP/1.1 200 OK\r\n"
            "Date: Tue, 24 Nov 2026 23:13:00 GMT\r\n"
            "Server: lyre\r\n"
            "x-request-id: id-1\r\n"
            "Content-Type: application/json\r\n"
            "Content-Length: 2\r\n"
            "\r\n");
}

TEST(ResponseHead, ChunkedAnnouncesItsTrailer) {
  const std::string head =
      response_head(response(), {BodyFraming::kChunked, true, false, "i"}, kTime);
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), head.npos);
  EXPECT_NE(head.find("Trailer: x-lyre-finish-reason\r\n"), head.npos);
  EXPECT_EQ(head.find("Content-Length"), head.npos);
}

TEST(ResponseHead, CloseDelimitedHasNeitherLengthNorChunks) {
  const std::string head =
      response_head(response(), {BodyFraming::kClose, false, true, "i"}, kTime);
  EXPECT_EQ(head.find("Content-Length"), head.npos);
  EXPECT_EQ(head.find("chunked"), head.npos);
  EXPECT_NE(head.find("Connection: close\r\n"), head.npos);
}

TEST(ResponseHead, KeepAliveIsSaidToHttp10Only) {
  const std::string old = response_head(response(), {BodyFraming::kLength, true, true, "i"}, kTime);
  EXPECT_NE(old.find("Connection: keep-alive\r\n"), old.npos);
  const std::string today =
      response_head(response(), {BodyFraming::kLength, true, false, "i"}, kTime);
  EXPECT_EQ(today.find("Connection:"), today.npos);
}

TEST(ResponseHead, NoContentHasNoLength) {
  HttpResponse empty;
  empty.status = 204;
  const std::string head = response_head(empty, {}, kTime);
  EXPECT_EQ(head.find("Content-Length"), head.npos);
  EXPECT_TRUE(head.starts_with("HTTP/1.1 204 No Content\r\n"));
}

TEST(ResponseHead, AValueCannotStartAHeaderOfItsOwn) {
  HttpResponse evil = response();
  evil.headers.push_back({"x-lyre-voice", "a\r\nSet-Cookie: b\n\x7f"});
  const std::string head = response_head(evil, {}, kTime);
  EXPECT_NE(head.find("x-lyre-voice: a??Set-Cookie: b??\r\n"), head.npos) << head;
}

}  // namespace
}  // namespace lyre::server
