#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/token.h"
#include "lyre/text/added_tokens.h"

namespace lyre {

/// Byte-level BPE of a Hugging Face tokenizer.json. Immutable after load; any thread.
class Tokenizer {
 public:
  static Result<Tokenizer> load(const std::filesystem::path& tokenizer_json);
  static Result<Tokenizer> parse(std::string_view json, const std::string& name_for_errors);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// Appends the ids of the text; added tokens in it, special or not, are ordinary text (what users
  /// type never controls the model). kInvalidArgument for invalid UTF-8, with the byte offset.
  Status encode(std::string_view utf8, std::vector<TokenId>& out) const;
  /// The same, but added tokens are recognised by their names. For templates that we wrote
  /// ourselves.
  Status encode_with_specials(std::string_view utf8, std::vector<TokenId>& out) const;
  /// Where encode_with_specials finds added tokens.
  Result<std::vector<AddedTokenMatch>> find_added_tokens(std::string_view utf8) const;
  /// UTF-8, with U+FFFD for bytes that are none; ids without a token are left out.
  std::string decode(std::span<const TokenId> tokens) const;

  /// Id of an added token or vocabulary entry by its exact content ("<custom_token_2>").
  std::optional<TokenId> find(std::string_view content) const;
  int vocabulary_size() const noexcept;  // largest id + 1

 private:
  class Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace lyre
