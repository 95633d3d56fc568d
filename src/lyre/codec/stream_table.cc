#include "lyre/codec/stream_table.h"

#include <algorithm>
#include <string>

namespace lyre {
namespace {

Error invalid(const CodecWork& work, const std::string& what) {
  return {ErrorCode::kInvalidArgument, "codec stream " + std::to_string(work.stream) + ": " + what};
}

}  // namespace

StreamTable::StreamTable(int max_streams)
    : states_(static_cast<size_t>(max_streams), State::kFree),
      seen_in_(static_cast<size_t>(max_streams), 0),
      free_(max_streams) {}

Result<StreamId> StreamTable::open() {
  const auto it = std::find(states_.begin(), states_.end(), State::kFree);
  if (it == states_.end()) {
    return Error{ErrorCode::kResourceExhausted,
                 "all " + std::to_string(states_.size()) + " codec streams are open"};
  }
  *it = State::kOpen;
  --free_;
  return static_cast<StreamId>(it - states_.begin());
}

void StreamTable::close(StreamId stream) noexcept {
  if (stream < 0 || static_cast<size_t>(stream) >= states_.size()) return;
  State& state = states_[static_cast<size_t>(stream)];
  if (state == State::kFree) return;
  state = State::kFree;
  ++free_;
}

Status StreamTable::check(std::span<const CodecWork> batch, std::span<const PcmSpan> pcm,
                          const CodecInfo& info) {
  if (pcm.size() != batch.size()) {
    return Error{ErrorCode::kInvalidArgument, "codec push: " + std::to_string(pcm.size()) +
                                                  " results for " + std::to_string(batch.size()) +
                                                  " streams"};
  }
  ++checks_;
  for (const CodecWork& work : batch) {
    if (work.stream < 0 || static_cast<size_t>(work.stream) >= states_.size() ||
        states_[static_cast<size_t>(work.stream)] == State::kFree) {
      return invalid(work, "is not open");
    }
    const auto index = static_cast<size_t>(work.stream);
    if (states_[index] == State::kFinished) return invalid(work, "has finished");
    if (seen_in_[index] == checks_) return invalid(work, "occurs twice in one push");
    seen_in_[index] = checks_;
    if (work.frames.size() > static_cast<size_t>(info.most_frames_per_push)) {
      return invalid(work, std::to_string(work.frames.size()) + " frames in one push, at most " +
                               std::to_string(info.most_frames_per_push));
    }
    for (const CodeFrame& frame : work.frames) {
      for (const int32_t code : frame.codes) {
        if (code < 0 || code >= info.codebook_size) {
          return invalid(work, "code " + std::to_string(code) + " is outside the codebook (0 to " +
                                   std::to_string(info.codebook_size - 1) + ")");
        }
      }
    }
  }
  return ok_status();
}

}  // namespace lyre
