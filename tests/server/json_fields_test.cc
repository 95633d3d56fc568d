#include "lyre/server/json_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace lyre::server {
namespace {

std::string error_of(std::string_view body) {
  const JsonFields fields(body);
  return fields.error() == nullptr ? "" : fields.error()->message;
}

TEST(JsonFields, BrokenJsonTellsLineAndColumn) {
  const struct {
    std::string_view body;
    std::string_view position;
  } cases[] = {
      {"", "line 1, column 1"},
      {"{", "line 1, column 2"},
      {R"({"input": "hi",})", "line 1, column 16"},
      {"{\n  \"input\": hello}", "line 2, column 12"},
      {"{\"input\": \"h\u00e4\u00e4\",}", "line 1, column 17"},
      {"{\"input\": \"hi\"} x", "line 1, column 17"},
      {"\xef\xbb\xbf{}", "line 1, column 1"},
      {"{\"a\": 01}", "line 1, column 8"},
  };
  for (const auto& c : cases) {
    const std::string message = error_of(c.body);
    EXPECT_NE(message.find("not valid JSON"), message.npos) << c.body << " -> " << message;
    EXPECT_NE(message.find(c.position), message.npos) << c.body << " -> " << message;
  }
}

TEST(JsonFields, InvalidUtf8TellsThePosition) {
  const std::string message = error_of("{\n\"input\": \"a\xff\"}");
  EXPECT_NE(message.find("UTF-8"), message.npos) << message;
  EXPECT_NE(message.find("line 2, column 12"), message.npos) << message;
}

TEST(JsonFields, LoneSurrogatesAndDeepNestingAreErrors) {
  EXPECT_NE(error_of(R"({"input": "\ud800"})"), "");
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_NE(error_of(deep).find("deep"), std::string::npos) << error_of(deep);
}

TEST(JsonFields, OnlyAnObjectWillDo) {
  for (const char* body : {"[]", "1", "\"text\"", "null", "true"}) {
    EXPECT_NE(error_of(body).find("must be a JSON object"), std::string::npos) << body;
  }
}

TEST(JsonFields, ReadsEveryKind) {
  JsonFields fields(
      R"({"t": "h\u00e4", "b": true, "n": 0.5, "i": -3, "u": 18446744073709551615, "z": null,
          "whole": 2, "v": {"id": "ada"}, "w": "max"})");
  EXPECT_EQ(fields.text("t"), "h\u00e4");
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.number("n"), 0.5);
  EXPECT_EQ(fields.number("whole"), 2.0);
  EXPECT_EQ(fields.integer("i"), -3);
  EXPECT_EQ(fields.unsigned_integer("u"), UINT64_MAX);
  EXPECT_EQ(fields.text_or_id("v"), "ada");
  EXPECT_EQ(fields.text_or_id("w"), "max");
  EXPECT_EQ(fields.text("z"), std::nullopt);
  EXPECT_EQ(fields.text("absent"), std::nullopt);
  EXPECT_EQ(fields.error(), nullptr);
}

TEST(JsonFields, ANumberWithinAnObject) {
  JsonFields fields(R"({"o": {"n": 0.5, "z": null}, "nothing": null})");
  EXPECT_EQ(fields.number("o", "n"), 0.5);
  EXPECT_EQ(fields.number("o", "z"), std::nullopt);
  EXPECT_EQ(fields.number("o", "absent"), std::nullopt);
  EXPECT_EQ(fields.number("nothing", "n"), std::nullopt);
  EXPECT_EQ(fields.number("absent", "n"), std::nullopt);
  EXPECT_EQ(fields.error(), nullptr);
  for (const auto& [body, param] :
       {std::pair(R"({"o": {"n": "x"}})", "o.n"), std::pair(R"({"o": {"n": 1e999}})", "o.n"),
        std::pair(R"({"o": [1]})", "o")}) {
    JsonFields wrong(body);
    EXPECT_EQ(wrong.number("o", "n"), std::nullopt);
    ASSERT_NE(wrong.error(), nullptr) << body;
    EXPECT_EQ(wrong.error()->param, param) << body;
  }
}

TEST(JsonFields, WrongTypeNamesFieldExpectedAndFound) {
  const char* body = R"({"x": [1]})";
  const auto check = [&](auto read, std::string_view expected) {
    JsonFields fields(body);
    EXPECT_FALSE(read(fields).has_value());
    ASSERT_NE(fields.error(), nullptr);
    EXPECT_EQ(fields.error()->param, "x");
    EXPECT_NE(fields.error()->message.find(expected), std::string::npos) << fields.error()->message;
    EXPECT_NE(fields.error()->message.find("an array"), std::string::npos)
        << fields.error()->message;
  };
  check([](JsonFields& f) { return f.text("x"); }, "a string");
  check([](JsonFields& f) { return f.boolean("x"); }, "true or false");
  check([](JsonFields& f) { return f.number("x"); }, "a finite number");
  check([](JsonFields& f) { return f.integer("x"); }, "an integer");
  check([](JsonFields& f) { return f.unsigned_integer("x"); }, "an integer from 0");
  check([](JsonFields& f) { return f.text_or_id("x"); }, "\"id\"");
}

TEST(JsonFields, NumbersThatDoNotFit) {
  for (const char* value : {"1e999", "-1e999", "1e39", "-1e300"}) {
    const std::string body = std::string("{\"x\": ") + value + "}";
    JsonFields fields(body);
    EXPECT_EQ(fields.number("x"), std::nullopt) << value;
    EXPECT_NE(fields.error(), nullptr) << value;
  }
  for (const char* value : {"-1", "0.5", "18446744073709551616", "1e30"}) {
    const std::string body = std::string("{\"x\": ") + value + "}";
    JsonFields fields(body);
    EXPECT_EQ(fields.unsigned_integer("x"), std::nullopt) << value;
    EXPECT_NE(fields.error(), nullptr) << value;
  }
  for (const char* value : {"2147483648", "0.5", "-1e10"}) {
    const std::string body = std::string("{\"x\": ") + value + "}";
    JsonFields fields(body);
    EXPECT_EQ(fields.integer("x"), std::nullopt) << value;
    EXPECT_NE(fields.error(), nullptr) << value;
  }
}

TEST(JsonFields, AnIdOfAnotherTypeOrNoneIsAnError) {
  for (const char* body : {R"({"voice": {"id": 3}})", R"({"voice": {}})", R"({"voice": 3})"}) {
    JsonFields fields(body);
    EXPECT_EQ(fields.text_or_id("voice"), std::nullopt);
    ASSERT_NE(fields.error(), nullptr) << body;
    EXPECT_EQ(fields.error()->param, "voice");
  }
}

TEST(JsonFields, TheFirstErrorStays) {
  JsonFields fields(R"({"a": 1, "b": 2})");
  EXPECT_EQ(fields.text("a"), std::nullopt);
  EXPECT_EQ(fields.boolean("b"), std::nullopt);
  EXPECT_EQ(fields.required_text("c"), "");
  fields.fail({400, "mine", "d", ""});
  ASSERT_NE(fields.error(), nullptr);
  EXPECT_EQ(fields.error()->param, "a");
}

TEST(JsonFields, RequiredTextIsMissing) {
  for (const char* body : {"{}", R"({"input": null})"}) {
    JsonFields fields(body);
    fields.required_text("input");
    ASSERT_NE(fields.error(), nullptr) << body;
    EXPECT_EQ(fields.error()->param, "input");
    EXPECT_EQ(fields.error()->status, 400);
  }
}

}  // namespace
}  // namespace lyre::server
