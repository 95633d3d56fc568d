#include "lyre/text_input.h"

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "lyre/base/quote.h"
#include "lyre/base/utf8.h"

namespace lyre::command {
namespace {

Error bad_input(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<std::string> read_stream(std::istream& stream, const std::string& name) {
  std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (stream.bad()) return bad_input("cannot read " + name);
  return text;
}

Result<std::string> read_source(const TextSource& source) {
  const bool dash = source.words == std::vector<std::string>{"-"};
  if (!source.words.empty() && !source.file.empty()) {
    return bad_input("give the text or --file, not both");
  }
  if (!source.file.empty() && source.file != "-") {
    std::ifstream stream(source.file, std::ios::binary);
    if (!stream) return bad_input("cannot read the text file " + quote(source.file));
    return read_stream(stream, quote(source.file));
  }
  if (!source.words.empty() && !dash) {
    std::string text;
    for (const std::string& word : source.words) text += (text.empty() ? "" : " ") + word;
    return text;
  }
  if (!dash && source.file.empty() && ::isatty(STDIN_FILENO) == 1) {
    return bad_input("nothing to say: give a text, --file FILE, or '-' for standard input");
  }
  return read_stream(std::cin, "standard input");
}

}  // namespace

Result<std::string> read_text(const TextSource& source) {
  LYRE_ASSIGN_OR_RETURN(std::string text, read_source(source));
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // the mark of some editors
  if (const auto bad = find_invalid_utf8(text)) {
    return bad_input("the text is not UTF-8: byte " + std::to_string(*bad) + " is " +
                     quote(std::string_view(text).substr(*bad, 1)));
  }
  if (text.find_first_not_of(" \t\r\n\v\f") == text.npos) {
    return bad_input("the text is empty: there is nothing to say");
  }
  return text;
}

}  // namespace lyre::command
