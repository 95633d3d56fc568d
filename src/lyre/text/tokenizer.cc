#include "lyre/text/tokenizer.h"

#include <fstream>
#include <utility>

#include "lyre/base/trace.h"
#include "lyre/base/utf8.h"
#include "lyre/text/byte_alphabet.h"
#include "lyre/text/code_point.h"
#include "lyre/text/tokenizer_file.h"

namespace lyre {
namespace {

// Positions inside a word are 32-bit; requests are far smaller than this.
constexpr size_t kMostTextBytes = size_t{1} << 30;

constinit trace::Operation kOpen("open.tokenizer");

Status check_text(std::string_view utf8) {
  if (utf8.size() > kMostTextBytes)
    return Error{ErrorCode::kInvalidArgument,
                 "text of " + std::to_string(utf8.size()) + " bytes is too long to tokenise"};
  if (const std::optional<size_t> bad = find_invalid_utf8(utf8))
    return Error{ErrorCode::kInvalidArgument,
                 "text is not valid UTF-8 at byte " + std::to_string(*bad)};
  return ok_status();
}

}  // namespace

class Tokenizer::Impl {
 public:
  explicit Impl(TokenizerParts parts) : parts_(std::move(parts)) {}

  const TokenizerParts& parts() const { return parts_; }

  // Precondition: valid UTF-8.
  Status encode_text(std::string_view text, std::vector<TokenId>& out) const {
    if (text.empty()) return ok_status();
    std::vector<size_t> ends = {text.size()}, finer;
    for (const SplitPattern& split : parts_.splits) {
      finer.clear();
      size_t begin = 0;
      for (const size_t end : ends) {
        LYRE_RETURN_IF_ERROR(split.split(text, begin, end, finer));
        begin = end;
      }
      ends.swap(finer);
    }
    std::vector<TokenId> letters;
    MergeTable::Scratch scratch;
    size_t begin = 0;
    for (const size_t end : ends) {
      encode_word(text.substr(begin, end - begin), letters, scratch, out);
      begin = end;
    }
    return ok_status();
  }

 private:
  void encode_word(std::string_view word, std::vector<TokenId>& letters,
                   MergeTable::Scratch& scratch, std::vector<TokenId>& out) const {
    if (parts_.ignore_merges) {
      const TokenId id = parts_.pieces.find(word);
      if (id != PieceTable::kNone) {
        out.push_back(id);
        return;
      }
    }
    letters.clear();
    for (const char byte : word) letters.push_back(parts_.byte_id[static_cast<uint8_t>(byte)]);
    parts_.merges.apply(letters, scratch, out);
  }

  TokenizerParts parts_;
};

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  const trace::Span span(kOpen);
  std::ifstream file(tokenizer_json, std::ios::binary);
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(tokenizer_json, error);
  if (!file || error)
    return Error{ErrorCode::kNotFound, tokenizer_json.string() + ": cannot be read"};
  std::string json(size, '\0');
  file.read(json.data(), static_cast<std::streamsize>(json.size()));
  if (file.gcount() != static_cast<std::streamsize>(json.size()))
    return Error{ErrorCode::kDataCorrupt, tokenizer_json.string() + ": shorter than its size says"};
  return parse(json, tokenizer_json.string());
}

Result<Tokenizer> Tokenizer::parse(std::string_view json, const std::string& name_for_errors) {
  LYRE_ASSIGN_OR_RETURN(TokenizerParts parts, parse_tokenizer_file(json, name_for_errors));
  return Tokenizer(std::make_unique<const Impl>(std::move(parts)));
}

Status Tokenizer::encode(std::string_view utf8, std::vector<TokenId>& out) const {
  LYRE_RETURN_IF_ERROR(check_text(utf8));
  return impl_->encode_text(utf8, out);
}

Status Tokenizer::encode_with_specials(std::string_view utf8, std::vector<TokenId>& out) const {
  LYRE_RETURN_IF_ERROR(check_text(utf8));
  std::vector<AddedTokenMatch> matches;
  impl_->parts().added.find_all(utf8, matches);
  size_t begin = 0;
  for (const AddedTokenMatch& match : matches) {
    LYRE_RETURN_IF_ERROR(impl_->encode_text(utf8.substr(begin, match.begin - begin), out));
    out.push_back(match.id);
    begin = match.end;
  }
  return impl_->encode_text(utf8.substr(begin), out);
}

Result<std::vector<AddedTokenMatch>> Tokenizer::find_added_tokens(std::string_view utf8) const {
  LYRE_RETURN_IF_ERROR(check_text(utf8));
  std::vector<AddedTokenMatch> matches;
  impl_->parts().added.find_all(utf8, matches);
  return matches;
}

std::string Tokenizer::decode(std::span<const TokenId> tokens) const {
  const TokenizerParts& parts = impl_->parts();
  std::string bytes;
  for (const TokenId id : tokens) {
    bytes += parts.added_bytes.has(id) ? parts.added_bytes.bytes(id) : parts.pieces.bytes(id);
  }
  // Characters may be spread over tokens, so validity is a matter of the whole.
  if (!find_invalid_utf8(bytes)) return bytes;
  std::string text;
  append_lossy_utf8(bytes, text);
  return text;
}

std::optional<TokenId> Tokenizer::find(std::string_view content) const {
  const TokenizerParts& parts = impl_->parts();
  TokenId id = parts.added.find(content);
  std::string bytes;
  if (id == PieceTable::kNone && !find_invalid_utf8(content) && spell_bytes(content, bytes))
    id = parts.pieces.find(bytes);
  return id == PieceTable::kNone ? std::nullopt : std::optional(id);
}

int Tokenizer::vocabulary_size() const noexcept { return impl_->parts().size; }

}  // namespace lyre
