#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/engine/engine.h"

namespace lyre::command {

/// What `lyre warmup-demo` measures in one fresh process, cold or warm.
struct WarmupRun {
  struct Request {
    double first_audio_ms = 0;  // submit until the reader has samples
    double total_ms = 0;        // submit until it has the last ones
  };

  bool warm = false;
  double load_ms = 0;                     // Engine::open() without any warm-up
  double warmup_ms = 0;                   // warmup_models(); 0: cold
  std::vector<std::string> failed_steps;  // of it, "name: why"
  std::vector<Request> requests;          // the first of the process, then the next ones
  double audio_s = 0;                     // of one request
  std::string audio_hash;                 // of its samples; all requests of a process have the same
  /// The codec's warm-up up to its first frame, in the first warm-up and when it is run again:
  /// what the first decode of a process costs, and a later one.
  std::optional<double> codec_first_ms, codec_again_ms;
};

/// One request and `requests` more, all of them the same.
Result<WarmupRun> measure_warmup_run(EngineConfig config, bool warm,
                                     const SynthesisRequest& request, int requests);

/// JSON on one line, from the process that measured to the one that compares.
std::string to_json_line(const WarmupRun& run);
/// kInternal if it is not what to_json_line writes.
Result<WarmupRun> parse_warmup_run(std::string_view line);

}  // namespace lyre::command
