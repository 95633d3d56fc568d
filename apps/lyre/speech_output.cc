#include "lyre/speech_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "lyre/audio/pcm16.h"
#include "lyre/base/quote.h"

namespace lyre::command {

SpeechOutput::~SpeechOutput() {
  if (descriptor_ > STDOUT_FILENO) ::close(descriptor_);
}

Status SpeechOutput::open() {
  if (!raw_) {
    LYRE_ASSIGN_OR_RETURN(WavWriter writer, WavWriter::open(file_, sample_rate_hz_));
    wav_.emplace(std::move(writer));
    return ok_status();
  }
  descriptor_ = file_ == "-"
                    ? STDOUT_FILENO
                    : ::open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ >= 0) return ok_status();
  return Error{ErrorCode::kInternal,
               "cannot write " + quote(file_.string()) + ": " + std::strerror(errno)};
}

Status SpeechOutput::write(std::span<const float> samples) {
  if (!opened()) LYRE_RETURN_IF_ERROR(open());
  return raw_ ? write_raw(samples) : wav_->write(samples);
}

Status SpeechOutput::write_raw(std::span<const float> samples) {
  bytes_.resize(samples.size() * kPcm16BytesPerSample);
  write_pcm16_le(samples, bytes_);
  for (std::span<const uint8_t> rest = bytes_; !rest.empty();) {
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return Error{ErrorCode::kInternal,
                   "cannot write " + quote(file_.string()) + ": " + std::strerror(errno)};
    }
    rest = rest.subspan(static_cast<size_t>(count));
  }
  return ok_status();
}

Status SpeechOutput::finish() {
  if (wav_) return wav_->finish();
  if (descriptor_ > STDOUT_FILENO && ::close(std::exchange(descriptor_, -1)) != 0) {
    return Error{ErrorCode::kInternal,
                 "cannot write " + quote(file_.string()) + ": " + std::strerror(errno)};
  }
  return ok_status();
}

std::filesystem::path free_output_name(const std::filesystem::path& folder, bool raw) {
  const std::string extension = raw ? ".pcm" : ".wav";
  std::error_code ignored;
  std::filesystem::path name = "speech" + extension;
  for (int i = 2; std::filesystem::exists(folder / name, ignored); ++i) {
    name = "speech-" + std::to_string(i) + extension;
  }
  return name;
}

}  // namespace lyre::command
