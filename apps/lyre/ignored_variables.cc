#include "lyre/ignored_variables.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lyre/settings.h"

namespace lyre::command {
namespace {

struct Foreign {
  std::string_view name, why;
};
constexpr std::array kForeign = {
    Foreign{"TRT_KV_CACHE_MAX_TOKENS", "see the setting kv_tokens"},
    Foreign{"TRT_FREE_GPU_MEMORY_FRACTION",
            "kv_tokens, max_batch and max_sequence_tokens size the KV memory"},
    Foreign{"TRT_ENABLE_CHUNKED_PREFILL", "prompts are always taken in by parts"},
    Foreign{"TRT_DTYPE", "see the setting weights"},
    Foreign{"TRT_MAX_BEAM_WIDTH", "there is no beam search"},
    Foreign{"TRT_MAX_NUM_TOKENS", "the scheduler plans each step"},
    Foreign{"TRT_MAX_INPUT_LEN", "see the settings max_text_bytes and max_sequence_tokens"},
    Foreign{"TRT_STOP_TOKEN_IDS", "the model's family names the tokens that end speech"},
};

bool is_setting(std::string_view name) {
  // Read elsewhere: the file of settings itself.
  if (name == "LYRE_CONFIG") return true;
  const auto table = settings_table();
  return std::any_of(table.begin(), table.end(),
                     [&](const Setting& setting) { return name == setting.environment; });
}

}  // namespace

std::vector<IgnoredVariable> ignored_variables(const char* const* environment) {
  std::vector<IgnoredVariable> ignored;
  for (; *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    const size_t equals = variable.find('=');
    if (equals == variable.npos || equals + 1 == variable.size()) continue;  // empty: not set
    const std::string_view name = variable.substr(0, equals);
    const auto foreign = std::find_if(kForeign.begin(), kForeign.end(),
                                      [&](const Foreign& known) { return known.name == name; });
    if (foreign != kForeign.end()) {
      ignored.push_back({std::string(name), std::string(foreign->why)});
    } else if (name.starts_with("LYRE_") && !is_setting(name)) {
      ignored.push_back({std::string(name), "there is no such setting"});
    }
  }
  return ignored;
}

}  // namespace lyre::command
