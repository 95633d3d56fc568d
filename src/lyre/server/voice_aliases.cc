#include "lyre/server/voice_aliases.h"

#include <algorithm>

#include "lyre/base/quote.h"

namespace lyre::server {
namespace {

constexpr std::string_view kOpenAiVoices[] = {"alloy", "ash",   "ballad", "coral", "echo",
                                              "fable", "onyx",  "nova",   "sage",  "shimmer",
                                              "verse", "marin", "cedar"};

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

const VoiceAlias* find_alias(const VoiceAliases& aliases, std::string_view name) {
  const auto found = std::find_if(aliases.begin(), aliases.end(),
                                  [&](const VoiceAlias& alias) { return alias.name == name; });
  return found == aliases.end() ? nullptr : &*found;
}

bool has_voice(const ServiceInfo& info, std::string_view name) {
  return std::any_of(info.voices.begin(), info.voices.end(),
                     [&](const ServedVoice& voice) { return voice.name == name; });
}

std::string voice_names(const ServiceInfo& info) {
  std::string names;
  for (const ServedVoice& voice : info.voices) names += (names.empty() ? "" : ", ") + voice.name;
  return names;
}

}  // namespace

Result<VoiceAliases> parse_voice_aliases(std::string_view text) {
  VoiceAliases aliases;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view pair = trim(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    const std::string_view name = trim(pair.substr(0, equals));
    const std::string_view voice =
        equals == pair.npos ? std::string_view() : trim(pair.substr(equals + 1));
    if (name.empty() || voice.empty()) {
      return Error{ErrorCode::kInvalidArgument, "expected NAME=VOICE,..., found " + quote(pair)};
    }
    if (find_alias(aliases, name) != nullptr) {
      return Error{ErrorCode::kInvalidArgument,
                   "expected each name once, found " + quote(name) + " twice"};
    }
    aliases.push_back({std::string(name), std::string(voice)});
  }
  return aliases;
}

Status check_voice_aliases(const VoiceAliases& aliases, const ServiceInfo& info) {
  if (info.voices.empty()) return ok_status();  // the model takes any name
  for (const VoiceAlias& alias : aliases) {
    if (!has_voice(info, alias.voice)) {
      return Error{ErrorCode::kInvalidArgument, "voice_aliases: expected for " + quote(alias.name) +
                                                    " one of " + voice_names(info) + ", found " +
                                                    quote(alias.voice)};
    }
    if (has_voice(info, alias.name)) {
      return Error{ErrorCode::kInvalidArgument, "voice_aliases: " + quote(alias.name) +
                                                    " is a voice of the model, and would not be "
                                                    "heard under another name"};
    }
  }
  return ok_status();
}

VoiceAliases all_voice_aliases(const VoiceAliases& set, const ServiceInfo& info) {
  VoiceAliases all = set;
  if (info.voices.empty()) return all;
  size_t turn = 0;
  for (const std::string_view name : kOpenAiVoices) {
    // The turn counts every name, so that to set one of them does not move the others.
    const ServedVoice& voice = info.voices[turn++ % info.voices.size()];
    if (has_voice(info, name) || find_alias(set, name) != nullptr) continue;
    all.push_back({std::string(name), voice.name});
  }
  return all;
}

Result<std::string> resolve_voice(std::string_view name, const VoiceAliases& set,
                                  const ServiceInfo& info) {
  if (name.empty() || has_voice(info, name)) return std::string(name);
  const VoiceAliases aliases = all_voice_aliases(set, info);
  const VoiceAlias* const alias = find_alias(aliases, name);
  if (alias != nullptr) return alias->voice;
  if (info.voices.empty()) return std::string(name);
  return Error{ErrorCode::kNotFound,
               "Unknown voice " + quote(name) + "; the voices are: " + voice_names(info) + "."};
}

}  // namespace lyre::server
