#include "lyre/server/api_error.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace lyre::server {
namespace {
namespace json = boost::json;

std::string header(const HttpResponse& response, std::string_view name) {
  for (const HttpHeader& header : response.headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

TEST(ApiError, AllFourKeysAreAlwaysThere) {
  const HttpResponse response = error_response({400, "say \"it\"\n", "", ""});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.content_type, "application/json");
  const json::object error = json::parse(response.body).at("error").as_object();
  EXPECT_EQ(error.size(), 4u);
  EXPECT_EQ(error.at("message").as_string(), "say \"it\"\n");
  EXPECT_EQ(error.at("type").as_string(), "invalid_request_error");
  EXPECT_TRUE(error.at("param").is_null());
  EXPECT_TRUE(error.at("code").is_null());
  const json::object other =
      json::parse(error_response({400, "m", "input", "c"}).body).at("error").as_object();
  EXPECT_EQ(other.at("param").as_string(), "input");
  EXPECT_EQ(other.at("code").as_string(), "c");
}

TEST(ApiError, TellsClientsWhetherToTryAgain) {
  EXPECT_EQ(header(error_response({429, "full", "", ""}), "Retry-After"), "1");
  EXPECT_EQ(header(error_response({503, "loading", "", ""}), "Retry-After"), "1");
  EXPECT_EQ(header(error_response({500, "bug", "", ""}), "x-should-retry"), "false");
  EXPECT_EQ(header(error_response({400, "bad", "", ""}), "Retry-After"), "");
  EXPECT_EQ(header(error_response({400, "bad", "", ""}), "x-should-retry"), "");
}

TEST(ApiError, StatusOfEveryErrorCode) {
  const struct {
    ErrorCode code;
    int status;
  } cases[] = {{ErrorCode::kInvalidArgument, 400},   {ErrorCode::kNotFound, 400},
               {ErrorCode::kResourceExhausted, 429}, {ErrorCode::kCancelled, 503},
               {ErrorCode::kDeadlineExceeded, 504},  {ErrorCode::kDataCorrupt, 500},
               {ErrorCode::kDeviceLost, 500},        {ErrorCode::kUnavailable, 503},
               {ErrorCode::kInternal, 500}};
  for (const auto& c : cases) {
    const ApiError error = api_error({c.code, "why"});
    EXPECT_EQ(error.status, c.status) << error_code_name(c.code);
    EXPECT_EQ(error.message, "why");
  }
}

}  // namespace
}  // namespace lyre::server
