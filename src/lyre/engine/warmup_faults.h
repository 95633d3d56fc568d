#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/result.h"
#include "lyre/base/warmup.h"

namespace lyre {

/// Steps of the warm-up that are made to fail, so that one can see what alarms, probes and clients
/// make of it: "codec.first_frame=error, lm.*=throw, server.*=stall:2000". Kinds: error (the step
/// returns one), throw (it throws), alloc (it runs out of memory), stall:MS (it waits first, in
/// parts, and then runs as ever).
class WarmupFaults {
 public:
  WarmupFaults() = default;
  /// kInvalidArgument names the entry that is not understood.
  static Result<WarmupFaults> parse(std::string_view text);

  /// The step with its fault in front, if it has one.
  WarmupStep inject(WarmupStep step) const;

 private:
  enum class Kind : uint8_t { kError, kThrow, kAlloc, kStall };
  struct Fault {
    std::string name;     // without the '*'
    bool prefix = false;  // it had one
    Kind kind = Kind::kError;
    std::chrono::milliseconds stall{0};

    bool concerns(std::string_view step) const noexcept {
      return prefix ? step.starts_with(name) : step == name;
    }
  };
  std::vector<Fault> faults_;
};

}  // namespace lyre
