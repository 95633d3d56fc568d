#pragma once

#include <string>

#include "lyre/base/result.h"

namespace lyre {

/// Added to the level of what an FFmpeg context logs, so that it logs nothing: FFmpeg's own switch
/// is one for the whole process, and a program that lyre is a part of may use FFmpeg as well.
/// Above every level that is ever printed; levels have 8 bits.
inline constexpr int kFfmpegSilence = 150;

/// `what` failed with this number of FFmpeg's: kInternal, with FFmpeg's words for it.
Error ffmpeg_error(const std::string& what, int number);

}  // namespace lyre
