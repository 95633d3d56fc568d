#include "lyre/engine/warmup_faults.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "lyre/base/clock.h"
#include "lyre/base/quote.h"

namespace lyre {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

Error not_understood(std::string_view entry) {
  return {ErrorCode::kInvalidArgument,
          "warmup_faults: expected STEP=error, STEP=throw, STEP=alloc or STEP=stall:MILLISECONDS, "
          "found " +
              quote(entry)};
}

/// The library throws nothing; what is tried out here is a step that does.
template <class Exception>
[[noreturn]] Result<WarmupStep::Progress> thrown(const Exception& exception) {
  std::rethrow_exception(std::make_exception_ptr(exception));
}

/// Waits in parts, so that requests and a stop get through meanwhile as they do in a step of many
/// parts.
std::function<Result<WarmupStep::Progress>()> stalled(
    std::function<Result<WarmupStep::Progress>()> run, std::chrono::milliseconds stall) {
  return [run = std::move(run), stall,
          end = std::optional<TimePoint>()]() mutable -> Result<WarmupStep::Progress> {
    constexpr std::chrono::milliseconds kPart{10};
    const TimePoint now = Clock::now();
    if (!end) end = now + stall;
    if (now >= *end) return run();
    std::this_thread::sleep_for(std::min<Clock::duration>(kPart, *end - now));
    return WarmupStep::Progress::kMore;
  };
}

}  // namespace

Result<WarmupFaults> WarmupFaults::parse(std::string_view text) {
  WarmupFaults faults;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view entry = trimmed(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (entry.empty()) continue;
    const size_t equals = entry.find('=');
    if (equals == entry.npos || equals == 0) return not_understood(entry);
    Fault fault;
    fault.name = trimmed(entry.substr(0, equals));
    fault.prefix = fault.name.ends_with('*');
    if (fault.prefix) fault.name.pop_back();
    const std::string_view kind = trimmed(entry.substr(equals + 1));
    constexpr std::string_view kStall = "stall:";
    if (kind == "error") {
      fault.kind = Kind::kError;
    } else if (kind == "throw") {
      fault.kind = Kind::kThrow;
    } else if (kind == "alloc") {
      fault.kind = Kind::kAlloc;
    } else if (kind.starts_with(kStall)) {
      fault.kind = Kind::kStall;
      const std::string_view number = kind.substr(kStall.size());
      uint32_t ms = 0;
      const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), ms);
      if (failure != std::errc() || end != number.data() + number.size() || ms > 3'600'000) {
        return not_understood(entry);
      }
      fault.stall = std::chrono::milliseconds(ms);
    } else {
      return not_understood(entry);
    }
    faults.faults_.push_back(std::move(fault));
  }
  return faults;
}

WarmupStep WarmupFaults::inject(WarmupStep step) const {
  for (const Fault& fault : faults_) {
    if (!fault.concerns(step.name)) continue;
    switch (fault.kind) {
      case Kind::kError:
        step.run = []() -> Result<WarmupStep::Progress> {
          return Error{ErrorCode::kInternal, "injected error"};
        };
        break;
      case Kind::kThrow:
        step.run = []() -> Result<WarmupStep::Progress> {
          return thrown(std::runtime_error("injected exception"));
        };
        break;
      case Kind::kAlloc:
        step.run = []() -> Result<WarmupStep::Progress> { return thrown(std::bad_alloc()); };
        break;
      case Kind::kStall:
        step.run = stalled(std::move(step.run), fault.stall);
        break;
    }
  }
  return step;
}

}  // namespace lyre
