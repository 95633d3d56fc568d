#include "lyre/audio/resampler.h"

extern "C" {
#include <libavutil/channel_layout.h>
#include <libswresample/swresample.h>
}

#include <algorithm>
#include <utility>

#include "lyre/audio/ffmpeg_library.h"
#include "lyre/base/dynamic_library.h"

namespace lyre {
namespace {

/// The functions of libswresample that are used here.
struct Library {
  decltype(&::swr_alloc_set_opts2) alloc = nullptr;
  decltype(&::swr_free) free = nullptr;
  decltype(&::swr_init) init = nullptr;
  decltype(&::swr_get_out_samples) most_output = nullptr;
  decltype(&::swr_convert) convert = nullptr;
};

Result<Library> load() {
  LYRE_ASSIGN_OR_RETURN(
      const DynamicLibrary resample,
      DynamicLibrary::open("libswresample.so." AV_STRINGIFY(LIBSWRESAMPLE_VERSION_MAJOR)));
  Library library;
  LYRE_RETURN_IF_ERROR(resample.find("swr_alloc_set_opts2", library.alloc));
  LYRE_RETURN_IF_ERROR(resample.find("swr_free", library.free));
  LYRE_RETURN_IF_ERROR(resample.find("swr_init", library.init));
  LYRE_RETURN_IF_ERROR(resample.find("swr_get_out_samples", library.most_output));
  LYRE_RETURN_IF_ERROR(resample.find("swr_convert", library.convert));
  return library;
}

/// Loaded at the first call, by whichever thread.
const Result<Library>& library() {
  static const Result<Library> loaded = load();
  return loaded;
}

struct Free {
  void operator()(SwrContext* context) const { library()->free(&context); }
};

}  // namespace

class Resampler::Impl {
 public:
  Impl(int from_hz, int to_hz) : from_hz_(from_hz), to_hz_(to_hz) {}

  Status open() {
    if (!library().ok()) return library().error();
    AVChannelLayout mono{};
    mono.order = AV_CHANNEL_ORDER_NATIVE;
    mono.nb_channels = 1;
    mono.u.mask = AV_CH_LAYOUT_MONO;
    SwrContext* context = nullptr;
    const int error = library()->alloc(&context, &mono, AV_SAMPLE_FMT_FLT, to_hz_, &mono,
                                       AV_SAMPLE_FMT_FLT, from_hz_, kFfmpegSilence, nullptr);
    context_.reset(context);
    if (error < 0) return failed(error);
    if (const int opened = library()->init(context); opened < 0) return failed(opened);
    return ok_status();
  }

  Status push(std::span<const float> samples, std::vector<float>& out) {
    taken_ += static_cast<int64_t>(samples.size());
    // In parts whose number an int holds.
    constexpr size_t kMostPart = 1 << 16;
    while (!samples.empty()) {
      const auto part = samples.first(std::min(samples.size(), kMostPart));
      LYRE_RETURN_IF_ERROR(convert(part.data(), static_cast<int>(part.size()), out));
      samples = samples.subspan(part.size());
    }
    return ok_status();
  }

  Status finish(std::vector<float>& out) {
    if (taken_ == 0) return ok_status();
    LYRE_RETURN_IF_ERROR(convert(nullptr, 0, out));
    // The filter's run-out ends a few samples off.
    const int64_t missing = (taken_ * to_hz_ + from_hz_ - 1) / from_hz_ - given_;
    const auto size = static_cast<int64_t>(out.size());
    out.resize(static_cast<size_t>(std::max<int64_t>(0, size + missing)));
    return ok_status();
  }

 private:
  Error failed(int error) const {
    return ffmpeg_error("cannot resample from " + std::to_string(from_hz_) + " to " +
                            std::to_string(to_hz_) + " Hz",
                        error);
  }

  Status convert(const float* samples, int count, std::vector<float>& out) {
    const int most = library()->most_output(context_.get(), count);
    if (most < 0) return failed(most);
    const size_t size = out.size();
    out.resize(size + static_cast<size_t>(most));
    auto* output = reinterpret_cast<uint8_t*>(out.data() + size);
    auto* input = reinterpret_cast<const uint8_t*>(samples);
    const int got = library()->convert(context_.get(), &output, most,
                                       samples == nullptr ? nullptr : &input, count);
    if (got < 0) return failed(got);
    out.resize(size + static_cast<size_t>(got));
    given_ += got;
    return ok_status();
  }

  const int from_hz_;
  const int to_hz_;
  std::unique_ptr<SwrContext, Free> context_;
  int64_t taken_ = 0;
  int64_t given_ = 0;
};

Resampler::Resampler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Resampler::~Resampler() = default;
Resampler::Resampler(Resampler&&) noexcept = default;
Resampler& Resampler::operator=(Resampler&&) noexcept = default;

Result<Resampler> Resampler::open(int from_hz, int to_hz) {
  auto impl = std::make_unique<Impl>(from_hz, to_hz);
  LYRE_RETURN_IF_ERROR(impl->open());
  return Resampler(std::move(impl));
}

Status Resampler::push(std::span<const float> samples, std::vector<float>& out) {
  return impl_->push(samples, out);
}

Status Resampler::finish(std::vector<float>& out) { return impl_->finish(out); }

}  // namespace lyre
