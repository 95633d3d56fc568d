#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "lyre/base/result.h"
#include "lyre/codec/cuda/stream_plan.h"

namespace lyre::snac_cuda {

/// What the host knows of an open stream.
struct Stream {
  int32_t frames = 0;  // received
  int32_t parity = 0;  // which of its two states is the present one
  StreamOptions options;
};

/// Where the samples of one stream of a push lie among those of all its slots.
struct PushedStream {
  int64_t first_slot = 0;
  int32_t position = 0;  // frame of that slot
};

/// Samples of the push, counted from the first of all slots.
struct PushedSamples {
  int64_t begin = 0, final_end = 0, end = 0;
};

inline PushedSamples samples_of(const StreamPlan& plan, const CodecWork& work,
                                const PushedStream& pushed) {
  const int64_t start = int64_t{pushed.position} * plan.samples;  // in the speech
  const int64_t stop = start + static_cast<int64_t>(work.frames.size()) * plan.samples;
  const int64_t begin = std::max<int64_t>(0, start - plan.delay);
  const int64_t final_end = work.finish ? stop : std::max<int64_t>(0, stop - plan.delay);
  const int64_t end = work.finish || work.preview ? stop : final_end;
  // Row r of the stream's first slot is sample start + r - delay.
  const int64_t shift = pushed.first_slot * plan.samples + plan.delay - start;
  return {begin + shift, final_end + shift, end + shift};
}

/// Most slots of one push.
inline int64_t most_slots_of_push(const StreamPlan& plan, int streams, int frames) {
  return int64_t{streams} * (frames + plan.drain_slots);
}

/// Most rounds of one push: all but the last have more than most_slots - drain_slots slots.
inline int64_t most_rounds_of_push(const StreamPlan& plan, int streams, int frames,
                                   int most_slots) {
  return most_slots_of_push(plan, streams, frames) / (most_slots - plan.drain_slots + 1) + 1;
}

/// Deals the frames of a push, and the slots without codes after the end of a speech or for a
/// preview, to rounds of at most most_slots slots, in order of the batch. A preview drains the
/// stream like an end does, but no state after its frames is saved. Round k is written to
/// slots[k * most_slots ...], so that it need not have run when the next one is written. run(round)
/// runs it; all rounds together give the samples of all slots in order.
/// most_slots > plan.drain_slots; slots: (most_rounds_of_push * most_slots).
template <class Run>
Status for_each_round(const StreamPlan& plan, std::span<const CodecWork> batch,
                      std::span<Stream> streams, int most_slots, std::span<Slot> slots,
                      std::span<PushedStream> pushed, Run&& run) {
  const auto most = static_cast<size_t>(most_slots);
  std::span<Slot> round = slots.first(most);
  size_t count = 0;
  int64_t done = 0;  // slots of earlier rounds
  const auto run_round = [&]() -> Status {
    if (count == 0) return ok_status();
    LYRE_RETURN_IF_ERROR(run(round.first(count)));
    for (const Slot& slot : round.first(count)) {
      if (slot.save != 0) streams[static_cast<size_t>(slot.stream)].parity ^= 1;
    }
    done += static_cast<int64_t>(count);
    count = 0;
    slots = slots.subspan(most);
    if (!slots.empty()) round = slots.first(most);
    return ok_status();
  };
  for (size_t i = 0; i < batch.size(); ++i) {
    const CodecWork& work = batch[i];
    Stream& stream = streams[static_cast<size_t>(work.stream)];
    const auto frames = static_cast<int>(work.frames.size());
    const bool drains = (work.finish || work.preview) && stream.frames + frames > 0;
    pushed[i] = {done + static_cast<int64_t>(count), stream.frames};
    const int32_t end = stream.frames + frames;
    int before = 0;  // slots of this stream in this round
    for (int f = 0; f < frames + (drains ? plan.drain_slots : 0); ++f) {
      // What drains is not saved, so it must not be parted.
      const bool full = f < frames
                            ? count == most
                            : f == frames && count + static_cast<size_t>(plan.drain_slots) > most;
      if (full) {
        LYRE_RETURN_IF_ERROR(run_round());
        before = 0;
      }
      Slot slot;
      slot.stream = work.stream;
      slot.position = pushed[i].position + f;
      slot.before = before;
      slot.end = drains ? end : kUnknownEnd;
      slot.parity = stream.parity;
      slot.noise = stream.options.noise ? 1 : 0;
      slot.seed_low = static_cast<uint32_t>(stream.options.noise_seed);
      slot.seed_high = static_cast<uint32_t>(stream.options.noise_seed >> 32);
      if (f < frames) {
        slot.has_codes = 1;
        std::copy_n(work.frames[static_cast<size_t>(f)].codes.begin(), CodeFrame::kSlots,
                    slot.codes);
        // Only the last frame of a round: the state after it.
        if (before > 0) round[count - 1].save = 0;
        slot.save = 1;
      }
      round[count++] = slot;
      ++before;
    }
    stream.frames = end;
  }
  return run_round();
}

}  // namespace lyre::snac_cuda
