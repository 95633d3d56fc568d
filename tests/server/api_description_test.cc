// GET /openapi.json tells what the server has, and no more.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "server/protocol_rig.h"

namespace lyre::server::test {
namespace {

using Names = std::set<std::string>;
using ApiDescription = Protocols;

std::string upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return upper;
}

/// What a reference within the document, "#/paths/~1v1~1models", stands for; null: nothing.
const json::value* target_of(const json::value& document, const std::string& reference) {
  json::error_code failure;
  return reference.starts_with('#') ? document.find_pointer(reference.substr(1), failure) : nullptr;
}

void collect_references(const json::value& value, Names& references) {
  if (const json::array* array = value.if_array()) {
    for (const json::value& item : *array) collect_references(item, references);
  }
  if (const json::object* object = value.if_object()) {
    for (const auto& member : *object) {
      if (member.key() == "$ref") references.emplace(member.value().as_string());
      collect_references(member.value(), references);
    }
  }
}

TEST_F(ApiDescription, DescribesTheRoutesAndNoOthers) {
  const json::value document = get("/openapi.json");
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  Names described;
  for (const auto& path : document.at("paths").as_object()) {
    const json::value* item = &path.value();
    if (const json::value* reference = item->as_object().if_contains("$ref")) {
      item = target_of(document, std::string(reference->as_string()));
      ASSERT_NE(item, nullptr) << path.key();
    }
    for (const auto& method : item->as_object()) {
      described.insert(upper(method.key()) + " " + std::string(path.key()));
    }
  }
  const std::vector<std::string> routes = state.routes().list();
  EXPECT_EQ(described, Names(routes.begin(), routes.end()));
}

TEST_F(ApiDescription, EveryReferenceLeadsSomewhere) {
  const json::value document = get("/openapi.json");
  Names references;
  collect_references(document, references);
  EXPECT_GT(references.size(), 10u);
  for (const std::string& reference : references) {
    EXPECT_NE(target_of(document, reference), nullptr) << reference;
  }
}

TEST_F(ApiDescription, EveryOperationHasASummaryAndResponses) {
  const json::value document = get("/openapi.json");
  for (const auto& path : document.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      if (method.key() == "$ref") continue;
      const json::object& operation = method.value().as_object();
      EXPECT_FALSE(operation.at("summary").as_string().empty()) << path.key();
      EXPECT_FALSE(operation.at("responses").as_object().empty()) << path.key();
    }
  }
}

/// What the document shows as a request is one.
TEST_F(ApiDescription, TheExamplesSpeak) {
  const json::value document = get("/openapi.json");
  int spoken = 0;
  for (const auto& path : document.at("paths").as_object()) {
    const json::object& item = path.value().as_object();
    const json::value* post = item.if_contains("post");
    if (post == nullptr || !post->as_object().contains("requestBody")) continue;
    std::string target(path.key());
    if (const size_t voice = target.find("{voice_id}"); voice != target.npos) {
      target.replace(voice, 10, "ada");
    }
    const json::value& example =
        post->at("requestBody").at("content").at("application/json").at("example");
    const HttpResponse response = call("POST", target, json::serialize(example));
    EXPECT_TRUE(response.audio.has_value()) << target << response.body;
    ++spoken;
  }
  EXPECT_EQ(spoken, 6);
}

}  // namespace
}  // namespace lyre::server::test
