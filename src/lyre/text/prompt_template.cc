#include "lyre/text/prompt_template.h"

#include <algorithm>

#include "lyre/base/quote.h"

namespace lyre {
namespace {

using Kind = TemplatePart::Kind;

Error bad_template(const std::string& problem, size_t offset) {
  return {ErrorCode::kInvalidArgument, problem + " at offset " + std::to_string(offset)};
}

}  // namespace

Result<std::vector<TemplatePart>> parse_prompt_template(std::string_view text_template) {
  std::vector<TemplatePart> parts;
  const auto append_literal = [&parts](char c) {
    if (parts.empty() || parts.back().kind != Kind::kLiteral) parts.push_back({Kind::kLiteral, {}});
    parts.back().literal.push_back(c);
  };
  for (size_t at = 0; at < text_template.size(); ++at) {
    const char c = text_template[at];
    if (c != '{' && c != '}') {
      append_literal(c);
      continue;
    }
    if (at + 1 < text_template.size() && text_template[at + 1] == c) {
      append_literal(c);
      ++at;
      continue;
    }
    const size_t end = text_template.find('}', at);
    if (c == '}' || end == std::string_view::npos)
      return bad_template(std::string("unpaired ") + c, at);
    const std::string_view name = text_template.substr(at + 1, end - at - 1);
    if (name == "voice") {
      parts.push_back({Kind::kVoice, {}});
    } else if (name == "text") {
      parts.push_back({Kind::kText, {}});
    } else if (name == "description") {
      parts.push_back({Kind::kDescription, {}});
    } else {
      return bad_template("expected {voice}, {text} or {description}, found {" + quote(name) + "}",
                          at);
    }
    at = end;
  }
  const auto texts = std::count_if(parts.begin(), parts.end(), [](const TemplatePart& part) {
    return part.kind == Kind::kText;
  });
  if (texts != 1)
    return Error{ErrorCode::kInvalidArgument,
                 "expected {text} once, found it " + std::to_string(texts) + " times"};
  return parts;
}

}  // namespace lyre
