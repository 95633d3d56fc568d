#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/sampling_params.h"
#include "lyre/base/token.h"
#include "lyre/text/prompt_template.h"
#include "lyre/text/tokenizer.h"

namespace lyre {

struct Voice {
  std::string name;
  std::string description;  // what {description} stands for, unless the request has its own
  std::string language;
  std::string gender;
};

/// How a family of models is prompted: data of a JSON file (src/lyre/text/families, format in
/// docs/voices.md).
struct PromptFamily {
  std::string name;
  std::string description;
  std::string source;               // where the layout is published
  std::vector<std::string> prefix;  // names of added tokens before the text, in order
  std::string text_template;        // "{voice}: {text}"; {description} for families that take one
  std::vector<std::string> suffix;  // names of added tokens after the text
  std::string first_code;           // name of the token of slot 0, code 0
  std::vector<std::string>
      stop;  // names of the tokens that end the speech; those that a vocabulary lacks are left out
  std::vector<std::string> detect;  // a model belongs to this family if its tokenizer has all of
                                    // these; none: only by name
  std::vector<std::string>
      tags;  // sounds that users may write in the text ("<laugh>"); one that is an added token of
             // the vocabulary is that token, all others are text
  SamplingOverrides sampling;  // defaults
  std::vector<Voice> voices;
  std::string default_voice;
};

/// A built-in family by name, or a family file by path (it has a slash or ends in ".json").
/// kNotFound lists the names.
Result<PromptFamily> load_family(const std::string& name_or_path);
std::vector<std::string> family_names();
/// The built-in family whose `detect` tokens the tokenizer has (the most specific one, that with
/// most of them, wins).
Result<PromptFamily> detect_family(const Tokenizer& tokenizer);

/// The file voice.json in a model folder, or a voices file given by the user: family, voices,
/// default voice. All optional.
struct VoiceFile {
  std::string family;  // a name, or a path (relative to the voice file in the file, not here)
  std::vector<Voice> voices;
  std::string default_voice;
  SamplingOverrides sampling;
};
Result<VoiceFile> load_voice_file(const std::filesystem::path& file);

/// A voice name becomes part of prompts, logs and pages: UTF-8 of 1 to 64 characters without
/// controls and invisible format characters, and without white space at its ends. kInvalidArgument.
Status validate_voice_name(std::string_view name);

/// A family bound to one tokenizer and codebook: names are ids now. Immutable; any thread.
///
/// The map from slots to codebooks is the same for all families, since it is that of the codec:
/// see codec/code_frame.h.
class PromptBuilder {
 public:
  /// kDataCorrupt naming the special token that the tokenizer lacks.
  static Result<PromptBuilder> bind(const PromptFamily& family, const Tokenizer& tokenizer,
                                    int codebook_size);

  const CodeLayout& layout() const noexcept { return layout_; }
  /// Appends the prompt ids, built as ids and never as a string. Added tokens are recognised where
  /// they begin and end in the template's own text ("<spk_{voice}>"), and the family's tags in the
  /// text; whatever else stands in voice, text and description is text. Without a description, that
  /// of the voice is taken. The tokenizer given to bind must still live.
  Status build(std::string_view voice, std::string_view text, std::string_view description,
               std::vector<TokenId>& out) const;

 private:
  Result<std::string_view> described(std::string_view voice, std::string_view description) const;

  const Tokenizer* tokenizer_ = nullptr;
  CodeLayout layout_;
  std::vector<TokenId> prefix_, suffix_;
  std::vector<TemplatePart> template_;
  std::vector<TokenId> tags_;  // those that are tokens
  std::vector<Voice> voices_;
  std::string default_voice_;
};

}  // namespace lyre
