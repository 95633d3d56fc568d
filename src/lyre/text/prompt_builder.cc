#include <algorithm>
#include <string>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/base/utf8.h"
#include "lyre/text/prompt_family.h"

namespace lyre {
namespace {

using Kind = TemplatePart::Kind;

Result<TokenId> find_token(const PromptFamily& family, const Tokenizer& tokenizer,
                           const std::string& token) {
  if (const std::optional<TokenId> id = tokenizer.find(token)) return *id;
  return Error{ErrorCode::kDataCorrupt, "the prompt family " + family.name + " needs the token " +
                                            quote(token) + ", which the tokenizer lacks"};
}

Status check_utf8(std::string_view text, const char* field) {
  if (const std::optional<size_t> bad = find_invalid_utf8(text))
    return Error{ErrorCode::kInvalidArgument,
                 std::string(field) + " is not valid UTF-8 at byte " + std::to_string(*bad)};
  return ok_status();
}

// A part of the filled-in template: bytes [begin, end).
struct FilledPart {
  Kind kind;
  size_t begin, end;
};

Kind kind_at(const std::vector<FilledPart>& parts, size_t byte) {
  const auto part =
      std::find_if(parts.begin(), parts.end(), [&](const FilledPart& p) { return byte < p.end; });
  return part->kind;
}

}  // namespace

Result<PromptBuilder> PromptBuilder::bind(const PromptFamily& family, const Tokenizer& tokenizer,
                                          int codebook_size) {
  const auto bad = [&family](const std::string& problem) {
    return Error{ErrorCode::kDataCorrupt, "prompt family " + family.name + ": " + problem};
  };
  if (codebook_size < 1)
    return bad("expected a codebook, found one of " + std::to_string(codebook_size));
  PromptBuilder builder;
  builder.tokenizer_ = &tokenizer;
  builder.voices_ = family.voices;
  builder.default_voice_ = family.default_voice;
  LYRE_ASSIGN_OR_RETURN(builder.template_, parse_prompt_template(family.text_template));
  for (const std::string& token : family.prefix) {
    LYRE_ASSIGN_OR_RETURN(const TokenId id, find_token(family, tokenizer, token));
    builder.prefix_.push_back(id);
  }
  for (const std::string& token : family.suffix) {
    LYRE_ASSIGN_OR_RETURN(const TokenId id, find_token(family, tokenizer, token));
    builder.suffix_.push_back(id);
  }
  for (const std::string& tag : family.tags) {
    if (const std::optional<TokenId> id = tokenizer.find(tag)) builder.tags_.push_back(*id);
  }

  CodeLayout& layout = builder.layout_;
  layout.codebook_size = codebook_size;
  LYRE_ASSIGN_OR_RETURN(layout.first_code, find_token(family, tokenizer, family.first_code));
  const int64_t codes = int64_t{CodeLayout::kSlots} * codebook_size;
  if (layout.first_code + codes > tokenizer.vocabulary_size()) {
    return bad("a codebook of " + std::to_string(codebook_size) + " needs ids " +
               std::to_string(layout.first_code) + " to " +
               std::to_string(layout.first_code + codes - 1) + ", but the vocabulary ends at " +
               std::to_string(tokenizer.vocabulary_size() - 1));
  }
  for (const std::string& token : family.stop) {
    const std::optional<TokenId> id = tokenizer.find(token);
    if (id && std::count(layout.stop_ids.begin(), layout.stop_ids.end(), *id) == 0)
      layout.stop_ids.push_back(*id);
  }
  if (layout.stop_ids.empty())
    return bad("the tokenizer has none of the tokens that end the speech (stop)");

  const auto is_code = [&layout](TokenId id) {
    return id >= layout.first_code && id < layout.end();
  };
  for (const auto* ids : {&builder.prefix_, &builder.suffix_, &builder.tags_, &layout.stop_ids}) {
    const auto code = std::find_if(ids->begin(), ids->end(), is_code);
    if (code != ids->end())
      return bad("token " + std::to_string(*code) + " of the prompt lies among the codes " +
                 std::to_string(layout.first_code) + " to " + std::to_string(layout.end() - 1));
  }
  return builder;
}

Result<std::string_view> PromptBuilder::described(std::string_view voice,
                                                  std::string_view description) const {
  if (!description.empty()) return description;
  const std::string_view name = voice.empty() ? std::string_view(default_voice_) : voice;
  for (const Voice& known : voices_) {
    if (known.name == name && !known.description.empty())
      return std::string_view(known.description);
  }
  return Error{ErrorCode::kInvalidArgument,
               "description: this model needs one, and voice " + quote(name) + " has none"};
}

Status PromptBuilder::build(std::string_view voice, std::string_view text,
                            std::string_view description, std::vector<TokenId>& out) const {
  LYRE_RETURN_IF_ERROR(check_utf8(voice, "voice"));
  LYRE_RETURN_IF_ERROR(check_utf8(text, "text"));
  LYRE_RETURN_IF_ERROR(check_utf8(description, "description"));

  std::string filled;
  std::vector<FilledPart> parts;
  for (const TemplatePart& part : template_) {
    std::string_view value = part.literal;
    if (part.kind == Kind::kVoice) {
      value = voice.empty() ? std::string_view(default_voice_) : voice;
      LYRE_RETURN_IF_ERROR(validate_voice_name(value));
    } else if (part.kind == Kind::kText) {
      value = text;
    } else if (part.kind == Kind::kDescription) {
      LYRE_ASSIGN_OR_RETURN(value, described(voice, description));
    }
    if (value.empty()) continue;
    parts.push_back({part.kind, filled.size(), filled.size() + value.size()});
    filled += value;
  }

  // Users' words are searched apart from ours, so that neither can complete a token of the other.
  std::vector<AddedTokenMatch> tokens;
  for (size_t first = 0; first < parts.size();) {
    const auto is_ours = [](const FilledPart& part) {
      return part.kind == Kind::kLiteral || part.kind == Kind::kVoice;
    };
    size_t last = first;
    while (is_ours(parts[first]) && last + 1 < parts.size() && is_ours(parts[last + 1])) ++last;
    const size_t begin = parts[first].begin;
    LYRE_ASSIGN_OR_RETURN(const std::vector<AddedTokenMatch> found,
                          tokenizer_->find_added_tokens(
                              std::string_view(filled).substr(begin, parts[last].end - begin)));
    for (AddedTokenMatch match : found) {
      match.begin += begin;
      match.end += begin;
      const bool is_tag =
          parts[first].kind == Kind::kText && std::count(tags_.begin(), tags_.end(), match.id) != 0;
      const bool is_of_template = kind_at(parts, match.begin) == Kind::kLiteral &&
                                  kind_at(parts, match.end - 1) == Kind::kLiteral;
      if (is_tag || is_of_template) tokens.push_back(match);
    }
    first = last + 1;
  }

  // What lies between two tokens is one run, ours and the user's together: merges across the border
  // are those of training.
  const size_t size_before = out.size();
  out.insert(out.end(), prefix_.begin(), prefix_.end());
  size_t begin = 0;
  const auto encode_run = [&](size_t end) {
    return tokenizer_->encode(std::string_view(filled).substr(begin, end - begin), out);
  };
  for (const AddedTokenMatch& token : tokens) {
    if (Status status = encode_run(token.begin); !status) {
      out.resize(size_before);
      return status;
    }
    out.push_back(token.id);
    begin = token.end;
  }
  if (Status status = encode_run(filled.size()); !status) {
    out.resize(size_before);
    return status;
  }
  out.insert(out.end(), suffix_.begin(), suffix_.end());
  return ok_status();
}

}  // namespace lyre
