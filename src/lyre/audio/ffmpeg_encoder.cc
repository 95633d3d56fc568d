#include "lyre/audio/ffmpeg_encoder.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/frame.h>
}

#include <algorithm>
#include <optional>
#include <utility>

#include "lyre/audio/adts_header.h"
#include "lyre/audio/ffmpeg_library.h"
#include "lyre/audio/ogg_opus.h"
#include "lyre/audio/pcm16.h"
#include "lyre/base/check.h"
#include "lyre/base/dynamic_library.h"

namespace lyre {
namespace {

/// The functions of libavcodec and libavutil that are used here.
struct Library {
  decltype(&::avcodec_find_encoder_by_name) find_encoder = nullptr;
  decltype(&::avcodec_alloc_context3) alloc_context = nullptr;
  decltype(&::avcodec_free_context) free_context = nullptr;
  decltype(&::avcodec_open2) open_codec = nullptr;
  decltype(&::avcodec_send_frame) send_frame = nullptr;
  decltype(&::avcodec_receive_packet) receive_packet = nullptr;
  decltype(&::av_packet_alloc) alloc_packet = nullptr;
  decltype(&::av_packet_free) free_packet = nullptr;
  decltype(&::av_packet_unref) clear_packet = nullptr;
  decltype(&::av_frame_alloc) alloc_frame = nullptr;
  decltype(&::av_frame_free) free_frame = nullptr;
  decltype(&::av_frame_get_buffer) alloc_samples = nullptr;
  decltype(&::av_frame_make_writable) make_writable = nullptr;
  decltype(&::av_channel_layout_default) set_channels = nullptr;
};

Result<Library> load() {
  LYRE_ASSIGN_OR_RETURN(
      const DynamicLibrary codec,
      DynamicLibrary::open("libavcodec.so." AV_STRINGIFY(LIBAVCODEC_VERSION_MAJOR)));
  LYRE_ASSIGN_OR_RETURN(
      const DynamicLibrary util,
      DynamicLibrary::open("libavutil.so." AV_STRINGIFY(LIBAVUTIL_VERSION_MAJOR)));
  Library library;
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_find_encoder_by_name", library.find_encoder));
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_alloc_context3", library.alloc_context));
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_free_context", library.free_context));
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_open2", library.open_codec));
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_send_frame", library.send_frame));
  LYRE_RETURN_IF_ERROR(codec.find("avcodec_receive_packet", library.receive_packet));
  LYRE_RETURN_IF_ERROR(codec.find("av_packet_alloc", library.alloc_packet));
  LYRE_RETURN_IF_ERROR(codec.find("av_packet_free", library.free_packet));
  LYRE_RETURN_IF_ERROR(codec.find("av_packet_unref", library.clear_packet));
  LYRE_RETURN_IF_ERROR(util.find("av_frame_alloc", library.alloc_frame));
  LYRE_RETURN_IF_ERROR(util.find("av_frame_free", library.free_frame));
  LYRE_RETURN_IF_ERROR(util.find("av_frame_get_buffer", library.alloc_samples));
  LYRE_RETURN_IF_ERROR(util.find("av_frame_make_writable", library.make_writable));
  LYRE_RETURN_IF_ERROR(util.find("av_channel_layout_default", library.set_channels));
  return library;
}

/// Loaded at the first call, by whichever thread.
const Result<Library>& library() {
  static const Result<Library> loaded = load();
  return loaded;
}

struct Free {
  void operator()(AVCodecContext* context) const { library()->free_context(&context); }
  void operator()(AVPacket* packet) const { library()->free_packet(&packet); }
  void operator()(AVFrame* frame) const { library()->free_frame(&frame); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// How libavcodec is told to write an encoding.
struct Codec {
  const char* name;
  AVSampleFormat samples;
};

std::optional<Codec> codec_of(AudioEncoding encoding) {
  switch (encoding) {
    case AudioEncoding::kMp3:
      return Codec{"libmp3lame", AV_SAMPLE_FMT_S16P};
    case AudioEncoding::kOpus:
      return Codec{"libopus", AV_SAMPLE_FMT_S16};
    case AudioEncoding::kAac:
      return Codec{"aac", AV_SAMPLE_FMT_FLTP};
    case AudioEncoding::kFlac:
      return Codec{"flac", AV_SAMPLE_FMT_S16};
    default:
      return std::nullopt;
  }
}

// FLAC alone lets us choose. At 24 kHz one frame of the speech codec (2,048 samples) gives two.
constexpr int kFlacBlockSamples = 1'024;
constexpr int64_t kOpusClockHz = 48'000;

std::span<const uint8_t> extra_data(const AVCodecContext& context) {
  return {context.extradata, static_cast<size_t>(context.extradata_size)};
}

/// The file's mark and its one block of metadata, the stream's description: the encoder's own, in
/// which length and checksum are zero, for unknown.
void append_flac_header(std::span<const uint8_t> description, std::string& out) {
  constexpr uint8_t kLastBlockAndType = 0x80;
  out += "fLaC";
  out += static_cast<char>(kLastBlockAndType);
  for (const int shift : {16, 8, 0}) out += static_cast<char>(description.size() >> shift & 0xFF);
  out.append(reinterpret_cast<const char*>(description.data()), description.size());
}

}  // namespace

class FfmpegEncoder::Impl {
 public:
  Status open(const AudioFormat& format) {
    LYRE_CHECK(codec_of(format.encoding).has_value());
    if (!library().ok()) return failed(library().error().message);
    format_ = format;
    codec_ = *codec_of(format.encoding);
    const AVCodec* const encoder = library()->find_encoder(codec_.name);
    if (encoder == nullptr) {
      return failed(std::string("this libavcodec has no encoder ") + codec_.name);
    }
    context_.reset(library()->alloc_context(encoder));
    frame_.reset(library()->alloc_frame());
    packet_.reset(library()->alloc_packet());
    if (context_ == nullptr || frame_ == nullptr || packet_ == nullptr) return no_memory();
    context_->log_level_offset = kFfmpegSilence;
    context_->sample_fmt = codec_.samples;
    context_->sample_rate = format.sample_rate_hz;
    library()->set_channels(&context_->ch_layout, 1);
    context_->time_base = {1, format.sample_rate_hz};
    context_->bit_rate = format.bit_rate;
    // A speech takes far less than one core.
    context_->thread_count = 1;
    if (format.encoding == AudioEncoding::kFlac) context_->frame_size = kFlacBlockSamples;
    if (const int error = library()->open_codec(context_.get(), encoder, nullptr); error < 0) {
      return failed("cannot open the encoder", error);
    }
    frame_->format = context_->sample_fmt;
    frame_->sample_rate = context_->sample_rate;
    library()->set_channels(&frame_->ch_layout, 1);
    frame_->nb_samples = context_->frame_size;
    if (library()->alloc_samples(frame_.get(), 0) < 0) return no_memory();
    if (format.encoding == AudioEncoding::kOpus) ogg_.emplace(extra_data(*context_));
    return ok_status();
  }

  Status encode(std::span<const float> samples, std::string& out) {
    if (samples.empty()) return ok_status();
    if (samples_ == 0) append_header(out);
    for (const float sample : samples) {
      // The encoder may still read the samples of the frame before.
      if (filled_ == 0 && library()->make_writable(frame_.get()) < 0) return no_memory();
      put(pcm16_from_float(sample));
      if (filled_ == context_->frame_size) LYRE_RETURN_IF_ERROR(encode_frame(out));
    }
    return ok_status();
  }

  Status finish(std::string& out) {
    if (samples_ == 0) return ok_status();
    if (filled_ > 0) {
      frame_->nb_samples = filled_;
      LYRE_RETURN_IF_ERROR(send(frame_.get()));
    }
    LYRE_RETURN_IF_ERROR(send(nullptr));
    // One packet behind, since the last is told that it is.
    std::string last;
    for (;;) {
      LYRE_ASSIGN_OR_RETURN(const bool received, receive());
      if (!received) break;
      if (!last.empty()) append_packet(last, out);
      last.assign(reinterpret_cast<const char*>(packet_->data), static_cast<size_t>(packet_->size));
      library()->clear_packet(packet_.get());
    }
    if (ogg_) {
      const int64_t clocks = samples_ * kOpusClockHz / format_.sample_rate_hz;
      ogg_->finish(bytes_of(last), clocks, out);
    } else if (!last.empty()) {
      append_packet(last, out);
    }
    return ok_status();
  }

 private:
  static std::span<const uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  Error failed(const std::string& what) const {
    return Error{ErrorCode::kInternal, std::string(encoding_name(format_.encoding)) + ": " + what};
  }
  Error failed(const char* what, int error) const {
    return ffmpeg_error(std::string(encoding_name(format_.encoding)) + ": " + what, error);
  }
  Error no_memory() const { return failed("out of memory"); }

  void put(int16_t sample) {
    if (codec_.samples == AV_SAMPLE_FMT_FLTP) {
      reinterpret_cast<float*>(frame_->data[0])[filled_] = static_cast<float>(sample) / 32768.0f;
    } else {
      reinterpret_cast<int16_t*>(frame_->data[0])[filled_] = sample;
    }
    ++filled_;
    ++samples_;
  }

  Status encode_frame(std::string& out) {
    LYRE_RETURN_IF_ERROR(send(frame_.get()));
    filled_ = 0;
    for (;;) {
      LYRE_ASSIGN_OR_RETURN(const bool received, receive());
      if (!received) return ok_status();
      append_packet(
          {reinterpret_cast<const char*>(packet_->data), static_cast<size_t>(packet_->size)}, out);
      library()->clear_packet(packet_.get());
    }
  }

  /// Null: the end.
  Status send(AVFrame* frame) {
    if (frame != nullptr) frame->pts = samples_ - filled_;
    const int error = library()->send_frame(context_.get(), frame);
    if (error < 0) return failed("cannot encode", error);
    return ok_status();
  }

  /// False: the encoder wants more samples, or has given its last packet.
  Result<bool> receive() {
    const int error = library()->receive_packet(context_.get(), packet_.get());
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return false;
    if (error < 0) return failed("cannot encode", error);
    return true;
  }

  void append_header(std::string& out) {
    if (format_.encoding == AudioEncoding::kFlac) append_flac_header(extra_data(*context_), out);
    if (ogg_) ogg_->begin(out);
  }

  void append_packet(std::string_view packet, std::string& out) {
    if (ogg_) return ogg_->write(bytes_of(packet), out);
    if (format_.encoding == AudioEncoding::kAac) {
      const auto header = adts_header(format_.sample_rate_hz, packet.size());
      out.append(reinterpret_cast<const char*>(header.data()), header.size());
    }
    out += packet;
  }

  AudioFormat format_;
  Codec codec_{};
  Owned<AVCodecContext> context_;
  Owned<AVFrame> frame_;  // the next samples to encode
  Owned<AVPacket> packet_;
  std::optional<OggOpus> ogg_;
  int filled_ = 0;       // samples in frame_
  int64_t samples_ = 0;  // of the whole stream
};

FfmpegEncoder::FfmpegEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FfmpegEncoder::~FfmpegEncoder() = default;
FfmpegEncoder::FfmpegEncoder(FfmpegEncoder&&) noexcept = default;
FfmpegEncoder& FfmpegEncoder::operator=(FfmpegEncoder&&) noexcept = default;

Result<FfmpegEncoder> FfmpegEncoder::open(const AudioFormat& format) {
  auto impl = std::make_unique<Impl>();
  LYRE_RETURN_IF_ERROR(impl->open(format));
  return FfmpegEncoder(std::move(impl));
}

Status FfmpegEncoder::encode(std::span<const float> samples, std::string& out) {
  return impl_->encode(samples, out);
}

Status FfmpegEncoder::finish(std::string& out) { return impl_->finish(out); }

}  // namespace lyre
