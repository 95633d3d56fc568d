#include "lyre/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace lyre::command {
namespace {

constexpr double kBytesPerSecond = 14;  // English read aloud, measured on the demo voice
constexpr double kLongSpeech_s = 10;
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);

}  // namespace

ProgressBar::ProgressBar(std::FILE* stream, size_t text_bytes)
    : stream_(stream != nullptr && ::isatty(::fileno(stream)) == 1 ? stream : nullptr),
      estimated_s_(static_cast<double>(text_bytes) / kBytesPerSecond) {
  if (estimated_s_ < kLongSpeech_s) stream_ = nullptr;
}

ProgressBar::~ProgressBar() {
  if (stream_ != nullptr && shown_ != TimePoint{}) std::fputs("\r\x1b[K", stream_);
}

void ProgressBar::show(double audio_s) {
  const TimePoint now = Clock::now();
  if (stream_ == nullptr || now - shown_ < kRedrawEvery) return;
  shown_ = now;
  const double elapsed_s = std::chrono::duration<double>(now - start_).count();
  std::fprintf(stream_, "\r%s\x1b[K", progress_line(audio_s, estimated_s_, elapsed_s).c_str());
  std::fflush(stream_);
}

std::string progress_line(double audio_s, double estimated_s, double elapsed_s) {
  constexpr int kWidth = 30;
  const double share = std::clamp(audio_s / std::max(estimated_s, 1e-9), 0.0, 0.99);
  const int filled = static_cast<int>(share * kWidth);
  std::string bar(static_cast<size_t>(filled), '#');
  bar.append(static_cast<size_t>(kWidth - filled), '.');
  char line[96];
  std::snprintf(line, sizeof line, "[%s] %.1f s of about %.0f s, %.1fx real time", bar.c_str(),
                audio_s, std::max(estimated_s, audio_s), audio_s / std::max(elapsed_s, 1e-9));
  return line;
}

}  // namespace lyre::command
