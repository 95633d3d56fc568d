#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "lyre/base/philox.h"
#include "lyre/codec/codec.h"

namespace lyre::test {

/// One push of one stream; the spans of the codec live until its next push.
inline PcmSpan push_one(Codec& codec, const CodecWork& work) {
  PcmSpan pcm;
  const Status status = codec.push({&work, 1}, {&pcm, 1});
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  return pcm;
}

/// All final samples of a speech pushed in pieces of the sizes given, again and again until the
/// frames are used up; the last piece carries `finish`.
inline std::vector<float> stream_all(Codec& codec, std::span<const CodeFrame> frames,
                                     const StreamOptions& options, std::vector<size_t> pieces) {
  const StreamId id = *codec.open(options);
  std::vector<float> out;
  size_t done = 0, turn = 0;
  do {
    const size_t count = std::min(pieces[turn++ % pieces.size()], frames.size() - done);
    const bool finish = done + count == frames.size();
    const PcmSpan pcm = push_one(codec, {id, frames.subspan(done, count), finish, false});
    out.insert(out.end(), pcm.final_samples.begin(), pcm.final_samples.end());
    EXPECT_TRUE(pcm.preview_samples.empty());
    done += count;
    if (finish) break;
  } while (true);
  codec.close(id);
  return out;
}

/// Frames of any codes below the codebook size.
inline std::vector<CodeFrame> random_frames(size_t count, int codebook_size, uint32_t seed) {
  std::vector<CodeFrame> frames(count);
  for (size_t f = 0; f < count; ++f) {
    for (size_t slot = 0; slot < frames[f].codes.size(); ++slot) {
      const auto words =
          philox4x32({static_cast<uint32_t>(f), static_cast<uint32_t>(slot), 0, 0}, {seed, 0});
      frames[f].codes[slot] = static_cast<int32_t>(words[0] % static_cast<uint32_t>(codebook_size));
    }
  }
  return frames;
}

}  // namespace lyre::test
