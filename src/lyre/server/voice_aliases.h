#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/server/speech_service.h"

namespace lyre::server {

/// Another name for a voice of the model.
struct VoiceAlias {
  std::string name;
  std::string voice;
};
/// As an operator sets them, no name twice.
using VoiceAliases = std::vector<VoiceAlias>;

/// Reads "alloy=ada,nova=max"; empty: none. kInvalidArgument says what was expected and found.
Result<VoiceAliases> parse_voice_aliases(std::string_view text);

/// kInvalidArgument: the voice of an alias is none of the model's, or its name is one.
Status check_voice_aliases(const VoiceAliases& aliases, const ServiceInfo& info);

/// Every name that is good beside those of the voices: the operator's, then OpenAI's thirteen. Many
/// clients take no others, so each of them that is neither set nor the name of a voice stands for
/// one of the voices, which they share in turn. None if the model takes any name.
VoiceAliases all_voice_aliases(const VoiceAliases& set, const ServiceInfo& info);

/// The voice that a client's word for it means; every protocol asks here. Empty stays empty, the
/// default voice. kNotFound: there is none; the message lists the voices.
Result<std::string> resolve_voice(std::string_view name, const VoiceAliases& set,
                                  const ServiceInfo& info);

}  // namespace lyre::server
