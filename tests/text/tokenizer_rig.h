#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/text/byte_alphabet.h"
#include "lyre/text/code_point.h"
#include "lyre/text/tokenizer.h"
#include "support/paths.h"

namespace lyre::test {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline boost::json::value read_json(const std::filesystem::path& path) {
  return boost::json::parse(read_text(path));
}

inline std::vector<TokenId> ids_of(const boost::json::value& array) {
  std::vector<TokenId> ids;
  for (const auto& id : array.as_array()) ids.push_back(id.to_number<TokenId>());
  return ids;
}

inline std::string text_of(const boost::json::value& string) {
  return std::string(string.as_string().c_str(), string.as_string().size());
}

inline Tokenizer load_tokenizer(const std::filesystem::path& path) {
  Result<Tokenizer> tokenizer = Tokenizer::load(path);
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *std::move(tokenizer);
}

inline std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids;
  const Status status = tokenizer.encode(text, ids);
  EXPECT_TRUE(status) << status.error().message;
  return ids;
}

inline std::vector<TokenId> encode_with_specials(const Tokenizer& tokenizer,
                                                 std::string_view text) {
  std::vector<TokenId> ids;
  const Status status = tokenizer.encode_with_specials(text, ids);
  EXPECT_TRUE(status) << status.error().message;
  return ids;
}

/// Writes tokenizer.json files of one's own: the 256 byte letters are ids 0..255 in byte order.
class TokenizerJson {
 public:
  std::string pre_tokenizer =
      R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+| ?\\p{L}+|\\s+"},)"
      R"("behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";
  std::string normalizer = "null";
  std::string decoder = R"({"type":"ByteLevel"})";
  std::string model_members = R"("type":"BPE","ignore_merges":false)";
  std::vector<std::pair<std::string, TokenId>> pieces;  // besides the letters, byte letters spelled
  std::vector<std::string> merges;                      // JSON of each
  std::vector<std::string> added;                       // JSON of each

  static std::string quoted(std::string_view text) {
    return boost::json::serialize(
        boost::json::value(boost::json::string_view(text.data(), text.size())));
  }
  void add_token(TokenId id, std::string_view content, std::string_view flags = "") {
    added.push_back("{\"id\":" + std::to_string(id) + ",\"content\":" + quoted(content) +
                    std::string(flags) + "}");
  }
  std::string text() const {
    std::string vocab;
    for (int byte = 0; byte < 256; ++byte) {
      std::string letter;
      append_utf8(byte_letter(static_cast<uint8_t>(byte)), letter);
      vocab += (byte > 0 ? "," : "") + quoted(letter) + ":" + std::to_string(byte);
    }
    for (const auto& [piece, id] : pieces) vocab += "," + quoted(piece) + ":" + std::to_string(id);
    return "{\"added_tokens\":[" + joined(added) + "],\"normalizer\":" + normalizer +
           ",\"pre_tokenizer\":" + pre_tokenizer + ",\"decoder\":" + decoder + ",\"model\":{" +
           model_members + ",\"vocab\":{" + vocab + "},\"merges\":[" + joined(merges) + "]}}";
  }
  Result<Tokenizer> parse() const { return Tokenizer::parse(text(), "t.json"); }

 private:
  static std::string joined(const std::vector<std::string>& items) {
    std::string out;
    for (const std::string& item : items) out += (out.empty() ? "" : ",") + item;
    return out;
  }
};

}  // namespace lyre::test
