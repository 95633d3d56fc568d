#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "lyre/audio/pcm16.h"
#include "lyre/audio/wav.h"

namespace lyre {
namespace {

Error io_error(const std::string& name, const char* what, int error) {
  const ErrorCode code = error == ENOENT                     ? ErrorCode::kNotFound
                         : error == ENOSPC || error == EFBIG ? ErrorCode::kResourceExhausted
                                                             : ErrorCode::kInvalidArgument;
  return Error{code, name + ": " + what + ": " + std::generic_category().message(error)};
}

Status write_all(int descriptor, std::span<const uint8_t> bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return io_error(name, "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return ok_status();
}

/// Where the output stands, or -1 if a header there could not be patched: a pipe cannot seek, and
/// what is opened for appending writes at its end wherever one seeks.
int64_t patchable_offset(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || (flags & O_APPEND) != 0) return -1;
  return ::lseek(descriptor, 0, SEEK_CUR);
}

}  // namespace

WavWriter::WavWriter(int descriptor, std::string name, int sample_rate_hz, int64_t start)
    : descriptor_(descriptor),
      name_(std::move(name)),
      sample_rate_hz_(sample_rate_hz),
      start_(start) {}

WavWriter::WavWriter(WavWriter&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      name_(std::move(other.name_)),
      sample_rate_hz_(other.sample_rate_hz_),
      start_(other.start_),
      samples_(other.samples_) {}

WavWriter::~WavWriter() { static_cast<void>(finish()); }

Result<WavWriter> WavWriter::open(const std::filesystem::path& file, int sample_rate_hz) {
  const bool standard_output = file == "-";
  std::string name = standard_output ? "standard output" : file.string();
  // A copy of standard output, so that closing it here leaves the process its own.
  const int descriptor = standard_output
                             ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                             : ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return io_error(name, "cannot open for writing", errno);
  WavWriter writer(descriptor, std::move(name), sample_rate_hz, patchable_offset(descriptor));
  LYRE_RETURN_IF_ERROR(
      write_all(descriptor, wav_header(sample_rate_hz, std::nullopt), writer.name_));
  return writer;
}

Status WavWriter::write(std::span<const float> samples) {
  std::array<uint8_t, 8192> bytes;
  while (!samples.empty()) {
    const auto part = samples.first(std::min(samples.size(), bytes.size() / kPcm16BytesPerSample));
    const auto out = std::span(bytes).first(part.size() * kPcm16BytesPerSample);
    write_pcm16_le(part, out);
    LYRE_RETURN_IF_ERROR(write_all(descriptor_, out, name_));
    samples_ += static_cast<int64_t>(part.size());
    samples = samples.subspan(part.size());
  }
  return ok_status();
}

Status WavWriter::finish() {
  if (descriptor_ < 0) return ok_status();
  const int descriptor = std::exchange(descriptor_, -1);
  Status status = ok_status();
  if (start_ >= 0) {
    const auto header = wav_header(sample_rate_hz_, samples_);
    if (::lseek(descriptor, start_, SEEK_SET) < 0) {
      status = io_error(name_, "cannot return to the header", errno);
    } else {
      status = write_all(descriptor, header, name_);
      // Whoever shares the descriptor (a shell's redirection) goes on behind the audio.
      ::lseek(descriptor, 0, SEEK_END);
    }
  }
  // Some file systems report a full disk only here.
  if (::close(descriptor) < 0 && status.ok()) status = io_error(name_, "cannot close", errno);
  return status;
}

}  // namespace lyre
