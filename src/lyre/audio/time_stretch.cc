#include "lyre/audio/time_stretch.h"

#include <soundtouch/SoundTouch.h>

#include <algorithm>
#include <type_traits>

namespace lyre {

class TimeStretch::Impl {
 public:
  Impl(int sample_rate_hz, double speed) {
    static_assert(std::is_same_v<soundtouch::SAMPLETYPE, float>);
    stretch_.setSampleRate(static_cast<unsigned>(sample_rate_hz));
    stretch_.setChannels(1);
    // Speech changes faster than music: shorter pieces than the library's own choice, long enough
    // for three periods of a low voice.
    stretch_.setSetting(SETTING_SEQUENCE_MS, 40);
    stretch_.setSetting(SETTING_SEEKWINDOW_MS, 15);
    stretch_.setSetting(SETTING_OVERLAP_MS, 8);
    // The rate stays: nothing to filter.
    stretch_.setSetting(SETTING_USE_AA_FILTER, 0);
    stretch_.setTempo(speed);
  }

  void push(std::span<const float> samples, std::vector<float>& out) {
    // In parts, so that the library's memory stays small.
    constexpr size_t kMostPart = 4'096;
    while (!samples.empty()) {
      const auto part = samples.first(std::min(samples.size(), kMostPart));
      stretch_.putSamples(part.data(), static_cast<unsigned>(part.size()));
      receive(out);
      samples = samples.subspan(part.size());
    }
  }

  void finish(std::vector<float>& out) {
    // Pads with silence, and gives no more than is due.
    stretch_.flush();
    receive(out);
  }

 private:
  void receive(std::vector<float>& out) {
    const unsigned ready = stretch_.numSamples();
    const size_t size = out.size();
    out.resize(size + ready);
    stretch_.receiveSamples(out.data() + size, ready);
  }

  soundtouch::SoundTouch stretch_;
};

TimeStretch::TimeStretch(int sample_rate_hz, double speed)
    : impl_(std::make_unique<Impl>(sample_rate_hz, speed)) {}
TimeStretch::~TimeStretch() = default;
TimeStretch::TimeStretch(TimeStretch&&) noexcept = default;
TimeStretch& TimeStretch::operator=(TimeStretch&&) noexcept = default;

void TimeStretch::push(std::span<const float> samples, std::vector<float>& out) {
  impl_->push(samples, out);
}

void TimeStretch::finish(std::vector<float>& out) { impl_->finish(out); }

}  // namespace lyre
