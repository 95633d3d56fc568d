#include "audio/decode_audio.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#include <algorithm>
#include <cstring>
#include <memory>

namespace lyre::test {
namespace {

std::string words(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(error, text, sizeof text);
  return text;
}

int read_some(void* opaque, uint8_t* buffer, int size) {
  auto& rest = *static_cast<std::string_view*>(opaque);
  const size_t count = std::min(rest.size(), static_cast<size_t>(size));
  if (count == 0) return AVERROR_EOF;
  std::memcpy(buffer, rest.data(), count);
  rest.remove_prefix(count);
  return static_cast<int>(count);
}

float sample(const AVFrame& frame, int i) {
  switch (frame.format) {
    case AV_SAMPLE_FMT_FLT:
    case AV_SAMPLE_FMT_FLTP:
      return reinterpret_cast<const float*>(frame.data[0])[i];
    case AV_SAMPLE_FMT_S16:
    case AV_SAMPLE_FMT_S16P:
      return static_cast<float>(reinterpret_cast<const int16_t*>(frame.data[0])[i]) / 32768.0f;
    default:
      return 1e9f;  // no test takes this for its speech
  }
}

struct Free {
  void operator()(AVFormatContext* context) const {
    AVIOContext* io = context->pb;
    avformat_close_input(&context);
    if (io != nullptr) av_freep(&io->buffer);
    avio_context_free(&io);
  }
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};

}  // namespace

DecodedAudio decode_audio(std::string_view file) {
  DecodedAudio decoded;
  const auto failed = [&](int error) {
    decoded.error = words(error);
    return decoded;
  };
  av_log_set_level(AV_LOG_QUIET);
  constexpr int kBufferBytes = 4096;
  AVFormatContext* opened = avformat_alloc_context();
  opened->pb = avio_alloc_context(static_cast<unsigned char*>(av_malloc(kBufferBytes)),
                                  kBufferBytes, 0, &file, &read_some, nullptr, nullptr);
  AVIOContext* io = opened->pb;
  if (const int error = avformat_open_input(&opened, nullptr, nullptr, nullptr); error < 0) {
    av_freep(&io->buffer);
    avio_context_free(&io);
    return failed(error);
  }
  const std::unique_ptr<AVFormatContext, Free> format(opened);
  decoded.format = format->iformat->name;
  if (const int error = avformat_find_stream_info(format.get(), nullptr); error < 0) {
    return failed(error);
  }
  if (format->nb_streams != 1) return failed(AVERROR_STREAM_NOT_FOUND);
  const AVCodecParameters& parameters = *format->streams[0]->codecpar;
  const AVCodec* const decoder = avcodec_find_decoder(parameters.codec_id);
  if (decoder == nullptr) return failed(AVERROR_DECODER_NOT_FOUND);
  decoded.codec = avcodec_get_name(parameters.codec_id);
  const std::unique_ptr<AVCodecContext, Free> context(avcodec_alloc_context3(decoder));
  avcodec_parameters_to_context(context.get(), &parameters);
  context->pkt_timebase = format->streams[0]->time_base;
  // A damaged frame is an error, not silence.
  context->err_recognition = AV_EF_EXPLODE | AV_EF_CRCCHECK;
  if (const int error = avcodec_open2(context.get(), decoder, nullptr); error < 0) {
    return failed(error);
  }
  const std::unique_ptr<AVPacket, Free> packet(av_packet_alloc());
  const std::unique_ptr<AVFrame, Free> frame(av_frame_alloc());
  for (bool end = false; !end;) {
    const int read = av_read_frame(format.get(), packet.get());
    if (read < 0 && read != AVERROR_EOF) return failed(read);
    end = read == AVERROR_EOF;
    const int sent = avcodec_send_packet(context.get(), end ? nullptr : packet.get());
    av_packet_unref(packet.get());
    if (sent < 0) return failed(sent);
    int received = 0;
    while ((received = avcodec_receive_frame(context.get(), frame.get())) >= 0) {
      decoded.sample_rate_hz = frame->sample_rate;
      decoded.channels = frame->ch_layout.nb_channels;
      for (int i = 0; i < frame->nb_samples; ++i) decoded.samples.push_back(sample(*frame, i));
    }
    if (received != AVERROR(EAGAIN) && received != AVERROR_EOF) return failed(received);
  }
  return decoded;
}

}  // namespace lyre::test
